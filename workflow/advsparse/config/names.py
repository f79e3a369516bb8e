"""What names in a configuration are, and which entries they are names of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
Scalar = bool | int | float | str


RESERVED = {*dir(list), "get", "items", "keys", "update", "failure", "failures"}
"""What no input and no wildcard of a rule may be called: Snakemake's lists of them have attributes
of these names, and what has failed stands under the last two."""


@dataclass(frozen=True)
class Of:
    """Annotation of a field that names an entry of another section of the same paper, or a role."""

    section: str
    noun: str = ""
    """What a message calls such an entry; none speaks of the name alone."""


Role = Annotated[
    Literal["mnist", "cifar10", "tiny_imagenet", "imagenet10", "imagenet10_128", "imagenet"],
    Of("roles"),
]


def named(annotation: Any) -> Iterator[Of]:
    """The :class:`Of` in the annotation of a field, be it an optional or a list."""
    for part in get_args(annotation):
        if isinstance(part, Of):
            yield part
        else:
            yield from named(part)


def shortened(value: Scalar) -> str:
    """A value as file names and rows have it: six digits."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
