"""A paper's number beside the reproduced one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from advsparse.evaluate.findings import INCOMPARABLE
from advsparse.evaluate.statistics import Estimate
from advsparse.figures.origin import comparable, data_used


def beside(
    quantity: str, where: str, paper: float, found: Estimate, origin: Mapping[str, Any]
) -> dict[str, Any]:
    """One line of a table of numbers: the paper's, ours with its 95 % interval, their difference.

    quantity: what it is; where: its place in the paper; origin: of our data, as :meth:`Plan.origin`
    has it, with its preset. A stand-in's difference from the paper's number says nothing, and is
    left out; a verdict is given where data and preset are the paper's.
    """
    return {
        "quantity": quantity,
        "where": where,
        "paper": paper,
        "reproduced": found.value,
        "difference": None if origin["stand_in"] else found.value - paper,
        "ci_low": found.low,
        "ci_high": found.high,
        "n": found.n,
        "verdict": _verdict(paper, found, origin),
        "data": origin.get("data") or data_used(origin),
        "preset": origin["preset"],
    }


def _verdict(paper: float, found: Estimate, origin: Mapping[str, Any]) -> str:
    if not comparable(origin):
        return INCOMPARABLE
    inside = found.low <= paper <= found.high
    return "within the interval" if inside else "outside the interval"


NOTE = (
    "ci_low and ci_high bound the 95 % interval of the reproduced value over n images or signals. "
    "A difference is shown where the data is the paper's own kind; a reduced preset trains smaller "
    "networks for less long, so that it is no verdict on the paper's number."
)
"""What a reader of such a table has to know."""
