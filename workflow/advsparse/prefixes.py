"""Names of arrays that say by how they begin which part the arrays are of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")


def below(arrays: Mapping[str, Value], prefix: str) -> dict[str, Value]:
    """Those of ``arrays`` whose names begin with ``prefix``, by what follows it."""
    return {
        name.removeprefix(prefix): value
        for name, value in arrays.items()
        if name.startswith(prefix)
    }


def under(arrays: Mapping[str, Value], prefix: str) -> dict[str, Value]:
    """The arrays as :func:`below` finds them again."""
    return {f"{prefix}{name}": value for name, value in arrays.items()}
