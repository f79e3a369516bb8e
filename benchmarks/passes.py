"""Seconds of a pass of attacks that follow gradients, beside those of the passes alone.

What an attack adds are projections, choices of targets, and the care for each image by itself.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch

from advsparse.attacks.apgd import APGD
from advsparse.attacks.ddn import DDN
from advsparse.attacks.fab import FAB
from advsparse.attacks.fmn import FMN
from advsparse.attacks.pgd import PGD
from benchmarks.subject import COUNT, Subject, subject

TITLE = "Time of a pass"
PASSES, RUNS = 100, 9
FAB_STEPS = 30  # of a gradient and a look each
SETTINGS = (
    f"Attacks that may spend {PASSES} passes on each of {COUNT} images, forward and backward ones "
    f"alike: seconds over passes, beside those of forward and backward passes and nothing else. "
    f"Medians of {RUNS} turns."
)
EPS = {"linf": 2 / 255, "l2": 0.5}

ATTACKS: dict[str, tuple[Any, float]] = {
    "PGD linf": (PGD(eps=EPS["linf"], steps=PASSES // 2, passes=PASSES), 1.15),
    "PGD l2": (PGD(norm="l2", eps=EPS["l2"], steps=PASSES // 2, passes=PASSES), 1.15),
    "APGD linf": (APGD(eps=EPS["linf"], steps=PASSES // 2, passes=PASSES), 1.15),
    "APGD l2": (APGD(norm="l2", eps=EPS["l2"], steps=PASSES // 2, passes=PASSES), 1.15),
    "FMN linf": (FMN(norm="linf", passes=PASSES), 1.15),
    "FMN l2": (FMN(norm="l2", passes=PASSES), 1.15),
    "DDN": (DDN(passes=PASSES), 1.15),
    "FAB linf": (FAB(norm="linf", targets=1, steps=FAB_STEPS, passes=PASSES), 1.5),
    "FAB l2": (FAB(norm="l2", targets=1, steps=FAB_STEPS, passes=PASSES), 1.5),
}
"""What is measured, with the ratio to reach."""


def measure() -> dict[str, Any]:
    """A line for each attack."""
    on = subject()
    contenders = {name: _ours(on, attack) for name, (attack, _) in ATTACKS.items()}
    taken: dict[str, list[float]] = {name: [] for name in ("bare", *contenders)}
    for run in range(RUNS + 1):
        for name, contender in {"bare": lambda: bare_passes(on, PASSES), **contenders}.items():
            started = time.perf_counter()
            passes = contender()
            if run:  # a first call loads code
                taken[name].append((time.perf_counter() - started) / passes)
    seconds = {name: statistics.median(times) for name, times in taken.items()}
    rows = [
        [name, f"{1000 * seconds[name]:.2f}", f"{seconds[name] / seconds['bare']:.2f}", f"{goal:g}"]
        for name, (_, goal) in ATTACKS.items()
    ]
    return {
        "section": "alone",
        "title": TITLE,
        "settings": SETTINGS,
        "columns": ["", "ms a pass", "time / that of bare passes", "to reach"],
        "rows": [*rows, ["bare passes", f"{1000 * seconds['bare']:.2f}", "1", ""]],
    }


def _ours(on: Subject, attack) -> Callable[[], float]:
    def run() -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = attack(on.model, on.x, on.y)
        return found.queries.double().mean().item()

    return run


def bare_passes(on: Subject, passes: int) -> int:
    """So many forward and backward passes and nothing else; how many."""
    for _ in range(passes // 2):
        point = on.x.clone().requires_grad_()
        loss = torch.nn.functional.cross_entropy(on.model(point), on.y, reduction="sum")
        torch.autograd.grad(loss, point)
    return passes
