"""Which variant of the paper's algorithm a figure shows, in words for its caption."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_STEPS = {
    "adaptive": "adaptive steps",
    "secant": "secant estimates of the step",
    "fixed": "steps proposed at a fixed size",
}


def variant(method: Mapping[str, Any]) -> str:
    """What SCADA's settings choose where the paper leaves room, or where print cannot be run."""
    start = "first dictionary projected onto the unit balls"
    if not method["project_start"]:
        start = "first dictionary normal and not projected, as printed"
    step = "the same step on D and V, as printed"
    if method["dictionary_step"] != 1:
        times = f"{method['dictionary_step']:g}"
        step = f"a step on D of {times} times the step on V (printed: the same)"
    rule, iterations = _STEPS[method["step_rule"]], method["iterations"]
    return f"{start}, {rule}, {step}, at most {iterations} iterations"
