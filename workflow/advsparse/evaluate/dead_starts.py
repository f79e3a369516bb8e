"""Attacks whose codes never left 0: nothing was learned by which a network could be judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEAD = "a dead start: nothing was learned"
"""Why such an attack says nothing."""


def dead_start(metrics: Any) -> Any:
    """Whether an attack's start was dead, by its metrics (name: value); of a frame, that of each
    row."""
    return metrics.get("dead_start", 0) == 1


def why_silent(attack: Mapping[str, Any]) -> str | None:
    """Why an attack says nothing, with ``failed`` and its ``samples``: it failed, or its start was
    dead; None of all others."""
    if attack["failed"] is None and dead_start(attack["samples"]):
        return DEAD
    return attack["failed"]
