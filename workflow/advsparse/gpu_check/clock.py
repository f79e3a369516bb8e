"""Measuring within limits: how long something takes, again and again, and how much memory."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from advsparse.lazy import torch


class TooLong(Exception):
    """Something has been stopped that took longer than it was given."""


@dataclass(frozen=True)
class Took:
    """What some repetitions of something took."""

    seconds: float
    """Of one of them: the median."""
    runs: int
    first: float
    """Seconds of the very first, which warms up and compiles."""
    gpu_mib: float
    """The most that tensors took on the GPU; 0 on a CPU."""
    host_mib: float
    """Resident memory of this process by then."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """TooLong once the block has taken so long. In the main thread of a process alone."""

    def stop(number, frame):
        raise TooLong(f"took more than {seconds:.3g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def taken(
    run: Callable[[], object], device: str, *, seconds: float, limit: float, most: int = 50
) -> Took:
    """What ``run`` takes: once to warm up, then for about ``seconds``, at most ``most`` times.

    Raises TooLong where the first two have not ended after ``limit`` seconds.
    """
    import psutil

    cuda = device.startswith("cuda")
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()

    def once() -> float:
        began = time.perf_counter()
        run()
        if cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - began

    with at_most(limit):
        first = once()
        times = [once()]
    while sum(times) < seconds and len(times) < most and sum(times) + times[-1] < limit:
        times.append(once())
    peak = torch.cuda.max_memory_allocated() / 2**20 if cuda else 0.0
    host = psutil.Process().memory_info().rss / 2**20
    return Took(sorted(times)[len(times) // 2], len(times), first, peak, host)
