"""Where the time of a run went: seconds and memory of jobs, from Snakemake's benchmark files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Measured(NamedTuple):
    """What one job took."""

    name: str
    seconds: float
    mib: float


def cost(folder: Path, jobs: Mapping[str, Iterable[str]]) -> list[dict[str, Any]]:
    """What the jobs of each rule took, the most expensive rule first.

    folder: of the benchmark files; jobs: their names below it, by rule. A job without a file counts
    for nothing, a file without a job neither. Seconds are those of the clock, starting Python
    included, added up over jobs that ran side by side; memory is the largest resident set.
    """
    measured = {rule: list(_measured(folder, names)) for rule, names in jobs.items()}
    total = sum(job.seconds for found in measured.values() for job in found)
    rows = [_row(rule, found, total) for rule, found in measured.items() if found]
    return sorted(rows, key=lambda row: -row["seconds"])


def _row(rule: str, jobs: list[Measured], total: float) -> dict[str, Any]:
    seconds = sum(job.seconds for job in jobs)
    longest = max(jobs, key=lambda job: job.seconds)
    return {
        "rule": rule,
        "jobs": len(jobs),
        "seconds": round(seconds, 1),
        "share": round(seconds / total, 4) if total else 0.0,
        "longest": longest.name,
        "longest_seconds": round(longest.seconds, 1),
        "peak_mib": round(max(job.mib for job in jobs)),
    }


def _measured(folder: Path, names: Iterable[str]) -> Iterable[Measured]:
    files = ((name, folder / f"{name}.tsv") for name in names)
    return (Measured(name, *taken(path)) for name, path in files if path.is_file())


def taken(path: Path) -> tuple[float, float]:
    """Seconds and MiB of a benchmark file."""
    with path.open(encoding="utf-8") as file:
        row = next(csv.DictReader(file, delimiter="\t"), {})
    return _number(row.get("s")), _number(row.get("max_rss"))


def _number(text: str | None) -> float:
    """A number of a benchmark file, which says NA or - of jobs too short to be measured, and whose
    end is missing if it was being written when the run was killed."""
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
