"""A paper's number beside the reproduced one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from advsparse.evaluate.statistics import LEVEL, Estimate
from advsparse.evaluate.verdicts import Class
from advsparse.figures.origin import comparable, data_used


def beside(
    quantity: str, where: str, paper: float, found: Sequence[Estimate], origin: Mapping[str, Any]
) -> dict[str, Any]:
    """One line of a table of numbers: the paper's, ours with its 95 % interval, their difference.

    quantity: what it is; where: its place in the paper; found: what each run found; origin: of our
    data, as :meth:`Plan.origin` has it, with its preset. A stand-in's difference from the paper's
    number says nothing, and is left out; a verdict is given where data and preset are the paper's.
    """
    value, low, high, spread = _over_runs(found)
    return {
        "quantity": quantity,
        "where": where,
        "paper": paper,
        "reproduced": value,
        "difference": None if origin["stand_in"] else value - paper,
        "ci_low": low,
        "ci_high": high,
        "n": min((one.n for one in found), default=0),
        "runs": len(found),
        "sd over runs": spread,
        "verdict": _verdict(paper, low, high, origin),
        "data": origin.get("data") or data_used(origin),
        "preset": origin["preset"],
    }


def _over_runs(found: Sequence[Estimate]) -> tuple[float, float, float, float | None]:
    """The mean over runs with its interval, and their standard deviation.

    One run has the interval over its images; several have Student's, or the mean of theirs where
    that is wider.
    """
    if not found:
        return np.nan, np.nan, np.nan, None
    value, low, high = (
        float(np.mean([getattr(one, name) for one in found])) for name in ("value", "low", "high")
    )
    if len(found) == 1:
        return value, low, high, None
    from scipy import stats

    spread = float(np.std([one.value for one in found], ddof=1))
    width = stats.t.ppf((1 + LEVEL) / 2, len(found) - 1) * spread / np.sqrt(len(found))
    return value, float(np.fmin(low, value - width)), float(np.fmax(high, value + width)), spread


def _verdict(paper: float, low: float, high: float, origin: Mapping[str, Any]) -> str:
    if not comparable(origin):
        return f"{Class.INCOMPARABLE}: other data, or a reduced preset"
    return "within the interval" if low <= paper <= high else "outside the interval"


NOTE = (
    "ci_low and ci_high bound the 95 % interval of the reproduced value, over n images or signals "
    "of one run, or over runs where there are several. A difference is shown where the data is the "
    "paper's own kind; a reduced preset trains smaller networks for less long, so that it is no "
    "verdict on the paper's number."
)
"""What a reader of such a table has to know."""
