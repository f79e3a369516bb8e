"""Time, and what it was spent on."""

from __future__ import annotations

import logging
import statistics
import time
import warnings
from dataclasses import asdict, dataclass

import torch

from advsparse.threat import Threat
from benchmarks.attacks import OURS, Comparison
from benchmarks.subject import Subject

logger = logging.getLogger(__name__)

POINT = 0.005
"""Robust accuracies this close count as equal."""

LONGER = 1.01
"""And so do median norms of this quotient."""


@dataclass(frozen=True)
class Measured:
    """One contender."""

    library: str
    seconds: float
    """Median over the runs."""
    runs: int
    robust: float
    """Share of the images still classified correctly."""
    median_norm: float
    """Of the perturbations that fooled."""
    note: str


def measure(comparison: Comparison, on: Subject) -> list[Measured]:
    """Every contender, in turns, so that what slows the machine meanwhile slows all of them."""
    made = {name: make() for name, make in comparison.contenders.items()}
    seconds: dict[str, list[float]] = {name: [] for name in made}
    found = {}
    for run in range(comparison.runs):
        for name, attack in made.items():
            if run and name in comparison.once:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if not run and comparison.runs >= 5 and name not in comparison.once:
                    attack()  # a first call loads code, which shows where calls are short
                started = time.perf_counter()
                found[name] = attack()
                seconds[name].append(time.perf_counter() - started)
            logger.info("%s, %s: %.2f s", comparison.title, name, seconds[name][-1])
    return [
        Measured(
            name,
            statistics.median(taken),
            len(taken),
            *_strength(on, found[name].detach(), comparison.norm),
            comparison.notes.get(name, ""),
        )
        for name, taken in seconds.items()
    ]


def _strength(on: Subject, attacked: torch.Tensor, norm: str) -> tuple[float, float]:
    robust = on.robust(attacked)
    distance = Threat(norm=norm).distance(attacked.to(on.x), on.x)[~robust]
    return robust.double().mean().item(), distance.median().item() if len(distance) else 0.0


def ratio(measured: list[Measured], comparison: Comparison) -> tuple[float, str, bool]:
    """Our time to the fastest peer's, which one that is, and whether we are as strong as any."""
    ours = next(one for one in measured if one.library == OURS)
    peers = [one for one in measured if one.library not in (OURS, *comparison.notes)]
    strongest = min(one.robust for one in peers)
    rivals = [one for one in peers if one.robust <= strongest + POINT]
    as_strong = ours.robust <= strongest + POINT
    if not comparison.within_budget:  # where any norm up to it is as good as another
        longest = LONGER * min(one.median_norm for one in rivals)
        rivals = [one for one in rivals if one.median_norm <= longest]
        as_strong &= ours.median_norm <= longest
    fastest = min(rivals, key=lambda one: one.seconds)
    return ours.seconds / fastest.seconds, fastest.library, as_strong


def as_data(comparison: Comparison, measured: list[Measured]) -> dict:
    """What the page is made from."""
    value, peer, as_strong = ratio(measured, comparison)
    return {
        "title": comparison.title,
        "norm": comparison.norm,
        "settings": comparison.settings,
        "goal": comparison.goal,
        "ratio": value,
        "peer": peer,
        "as_strong": as_strong,
        "contenders": [asdict(one) for one in measured],
    }
