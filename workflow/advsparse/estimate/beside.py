"""An estimate beside what jobs of a finished run took, by their logs."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

from advsparse.estimate.report import Cost
from advsparse.jobs import DONE
from advsparse.stages._places import Places

LEAST = 1.0
"""Seconds that a job has to have taken: what is shorter is all in its beginning."""


def taken(costs: list[Cost], places: Places) -> list[tuple[Cost, float]]:
    """The jobs of which all work was measured, each with the seconds of its own work."""
    found = []
    for one in costs:
        path = Path(places.log(one.work.job))
        if one.unmeasured or not one.seconds or not path.is_file():
            continue
        last = path.read_text(encoding="utf-8", errors="replace").splitlines()[-1:]
        done = DONE.search(last[0]) if last else None
        if done and float(done["work"]) >= LEAST:
            found.append((one, float(done["work"])))
    return found


def lines(pairs: list[tuple[Cost, float]]) -> Iterator[str]:
    """What the estimate came to beside what the jobs took."""
    if not pairs:
        yield "no job of a finished run to compare with"
        return
    yield f"beside a finished run, {len(pairs)} jobs of {LEAST:g} s and more:"
    for one, seconds in sorted(pairs, key=lambda pair: -pair[1]):
        job = one.work.job
        name = f"{job.paper} {job.stage} {job.name}"
        yield f"  {seconds:8.1f} s taken  {one.seconds:8.1f} s estimated  {name}"
    ratios = sorted(one.seconds / seconds for one, seconds in pairs)
    estimated = sum(one.seconds for one, _ in pairs)
    yield (
        f"  estimated over taken: {estimated / sum(seconds for _, seconds in pairs):.2f} in all, "
        f"median {statistics.median(ratios):.2f}, from {ratios[0]:.2f} to {ratios[-1]:.2f}"
    )
