"""The same computed twice, by this library and by another one."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

RUNS, FEW = 5, 3
"""Runs of each, and of what is long."""
SHORT, LONG = 0.1, 0.5
"""Seconds that a run takes at least, being repeated within, and those beyond which it is long."""

Array = Any


@dataclass(frozen=True)
class Peer:
    """The same computed twice, of a number of images."""

    library: str
    task: str
    images: int
    ours: Callable[[], Array]
    theirs: Callable[[], Array]
    equal: float
    """The largest difference with which results count as the same."""
    difference: Callable[[Array, Array], float] = lambda ours, theirs: float(
        np.abs(np.asarray(ours, dtype=np.float64) - theirs).max()
    )


@dataclass(frozen=True)
class Measured:
    """What was measured of a peer."""

    library: str
    task: str
    ours: float
    """Images a second."""
    theirs: float
    difference: float
    equal: float

    @property
    def ratio(self) -> float | None:
        """Our time to the peer's; none where results are not the same."""
        return self.theirs / self.ours if self.difference <= self.equal else None


def beside(peer: Peer) -> Measured:
    """Both, in turns, and how much their results differ."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a peer's, each time it is run
        (ours, theirs), results = in_turns([peer.ours, peer.theirs])
    return Measured(
        peer.library,
        peer.task,
        peer.images / ours,
        peer.images / theirs,
        peer.difference(*results),
        peer.equal,
    )


def in_turns(contenders: list[Callable[[], Any]]) -> tuple[list[float], list[Any]]:
    """The median seconds of each, in turns, and what each returns.

    A first run warms up. What is short is then repeated within a run, what is long has fewer runs.
    """
    first, results = zip(*(_timed(contender, 1) for contender in contenders), strict=True)
    repeats = [max(1, int(SHORT / max(taken, 1e-6))) for taken in first]
    runs = RUNS if max(first) < LONG else FEW
    seconds = [
        [_timed(contender, count)[0] for contender, count in zip(contenders, repeats, strict=True)]
        for _ in range(runs)
    ]
    return [statistics.median(taken) for taken in zip(*seconds, strict=True)], list(results)


def _timed(contender: Callable[[], Any], count: int) -> tuple[float, Any]:
    started = time.perf_counter()
    for _ in range(count):
        result = contender()
    return (time.perf_counter() - started) / count, result
