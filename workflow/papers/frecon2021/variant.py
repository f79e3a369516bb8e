"""Which variant of the paper's algorithm a figure shows, in words for its caption."""

from __future__ import annotations

from typing import Any

_STEPS = {
    "adaptive": "adaptive steps",
    "secant": "secant estimates of the step",
    "fixed": "steps proposed at a fixed size",
}


def variant(method: Any) -> str:
    """What SCADA's settings choose where the paper leaves room, or where print cannot be run."""
    start = "first dictionary projected onto the unit balls"
    if not method.project_start:
        start = "first dictionary normal and not projected, as printed"
    step = "the same step on D and V, as printed"
    if method.dictionary_step != 1:
        step = f"a step on D of {method.dictionary_step:g} times the step on V (printed: the same)"
    return f"{start}, {_STEPS[method.step_rule]}, {step}, at most {method.iterations} iterations"
