"""What figures and tables read of all repetitions: an input for each that has not failed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_AGAIN = re.compile(r", repetition (\d+)$")


def again(repetition: int) -> str:
    """What the name of something repeated ends in, where it stands among others: nothing the first
    time."""
    return f", repetition {repetition}" if repetition else ""


@dataclass(frozen=True)
class Read:
    """What is read of one repetition."""

    repetition: int
    told: Mapping[str, Any]
    """What the rule tells of it."""
    path: str | None
    """Its artifact; none if it failed."""
    failed: str | None = None
    """Why it failed."""


def repeated(inputs: Mapping[str, Any], settings: Mapping[str, Any], name: str) -> list[Read]:
    """The repetitions of an input, in their order.

    inputs: the paths of those that are there; settings: under ``reads`` what is told of all, under
    ``failures`` why some are not there.
    """
    failures = settings.get("failures", {}).get(name, {})
    failed = {_repetition(key): why for key, why in failures.items()}
    paths = iter(inputs.get(name, []))
    found = []
    for number, told in enumerate(settings["reads"][name]):
        why = failed.get(number)
        found.append(Read(number, told, next(paths) if why is None else None, why))
    return found


def _repetition(key: str) -> int:
    found = _AGAIN.search(key)
    return int(found[1]) if found else 0
