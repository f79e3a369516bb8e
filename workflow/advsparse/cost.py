"""Where the time of a run went: seconds of jobs, from Snakemake's benchmark files, and memory."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from advsparse.jobs import DONE


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
    return (
        Measured(name, seconds(path), peak(folder, path)) for name, path in files if path.is_file()
    )


def seconds(path: Path) -> float:
    """Seconds of a benchmark file."""
    return _column(path, "s")


def peak(folder: Path, path: Path) -> float:
    """The most memory that a job held, in MiB.

    folder: of the benchmark files, beside that of the logs; path: that of the job.

    Snakemake looks at the process that it has started, now and then: too seldom for a short job,
    and where the fork server runs it, at one that waits. What the job says itself at the end of its
    log is exact, but of a job that hands its work to others is the most that one of them held.
    """
    log = folder.with_name("logs") / path.relative_to(folder).with_suffix(".log")
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    done = DONE.search(lines[-1]) if lines else None
    return max(_column(path, "max_rss"), _number(done["mib"] if done else None))


def _column(path: Path, name: str) -> float:
    with path.open(encoding="utf-8") as file:
        return _number(next(csv.DictReader(file, delimiter="\t"), {}).get(name))


def _number(text: str | None) -> float:
    """A number of a benchmark file, which says NA or - of jobs too short to be measured, and whose
    end is missing if it was being written when the run was killed."""
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
