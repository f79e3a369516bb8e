"""How much of a run was not its jobs' own work: ``python -m advsparse.overhead demo``.

Each moment of the run, from when snakemake began its log to when it ended it, is divided evenly
among the jobs that ran then. The time of a job before its own work (starting Python, importing) and
after it (ending Python) is *starting*, though not what its work imports when it first needs it (a
figure its file formats, say); moments when no job ran are *snakemake*, of which what it does beside
running jobs is no part, as it costs no time. What --keep-going draws after failures is a run of its
own. Read from the logs of the jobs and of snakemake: a run that built nothing has no share.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from advsparse.config.loading import presets
from advsparse.cost import seconds
from advsparse.jobs import DONE


class Ran(NamedTuple):
    """When a job's process began, when its own work did, when that ended and when all did."""

    began: float
    working: float
    worked: float
    ended: float


class Shares(NamedTuple):
    """Seconds of a run, by what they went into."""

    work: float
    starting: float
    snakemake: float

    @property
    def overhead(self) -> float:
        """The part of the run that is not work."""
        return 1 - self.work / sum(self)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("preset", choices=presets(), help="whose last run is measured")
    preset = parser.parse_args().preset
    every = jobs(Path("results") / preset)
    later = float("inf")
    for began, ended in reversed(snakemake_logs(Path(".snakemake/log"))):
        ran = [job for job in every if began <= job.began < later]
        if ran and ended <= began:
            sys.exit("the last run wrote no log, by which its end is known: was it --quiet all?")
        if ran:
            print(report(ran, shares(ran, began, ended)))
            return
        later = began
    sys.exit(f"no log of a run that built something of {preset}: build it here first")


def snakemake_logs(folder: Path) -> list[tuple[float, float]]:
    """When each of snakemake's runs in a folder began and ended, the oldest first.

    Of a run whose log is empty it is not known when it ended: no later than it began.
    """
    found = []
    for path in folder.glob("*.snakemake.log"):
        began = datetime.datetime.strptime(path.name.split(".s")[0], "%Y-%m-%dT%H%M%S.%f")
        about = path.stat()
        found.append((began.timestamp(), about.st_mtime if about.st_size else began.timestamp()))
    return sorted(found)


def jobs(results: Path) -> list[Ran]:
    """The jobs that ended well, from their logs, and from their benchmark files where they are."""
    found = []
    for path in sorted((results / "logs").rglob("*.log")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        if not lines or not (match := DONE.search(lines[-1])):
            continue
        work, start = float(match["work"]), float(match["start"])
        said = datetime.datetime.strptime(lines[-1][:23], "%Y-%m-%d %H:%M:%S,%f").timestamp()
        began = said - work - start
        name = path.relative_to(results / "logs").with_suffix(".tsv")
        benchmark = results / "benchmarks" / name
        whole = seconds(benchmark) if benchmark.is_file() else 0.0
        found.append(Ran(began, began + start, said, max(said, began + whole)))
    return found


def shares(ran: Iterable[Ran], began: float, ended: float) -> Shares:
    """What the time between two moments went into."""
    ran = list(ran)
    moments = sorted({began, ended, *(m for job in ran for m in job if began < m < ended)})
    work = starting = idle = 0.0
    for one, other in itertools.pairwise(moments):
        running = [job for job in ran if job.began < other and job.ended > one]
        working = sum(job.working < other and job.worked > one for job in running)
        if running:
            work += (other - one) * working / len(running)
            starting += (other - one) * (1 - working / len(running))
        else:
            idle += other - one
    return Shares(work, starting, idle)


def report(ran: list[Ran], parts: Shares) -> str:
    """The shares, for a reader."""
    whole = sum(parts)
    lines = [
        f"{len(ran)} job{'s' * (len(ran) > 1)} in {whole:.0f} s, on average "
        f"{sum(job.ended - job.began for job in ran) / whole:.1f} at a time"
    ]
    said = {
        "the jobs' work": parts.work,
        "starting and ending Python": parts.starting,
        "snakemake, while no job ran": parts.snakemake,
    }
    lines += [f"{name:28} {took / whole:6.1%} {took:8.1f} s" for name, took in said.items()]
    return "\n".join([*lines, f"{'not work':28} {parts.overhead:6.1%}"])


if __name__ == "__main__":
    main()
