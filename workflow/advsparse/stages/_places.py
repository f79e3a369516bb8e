"""Where the files of jobs are: one rule for all stages. A job's names may be wildcards."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from advsparse.stages._registry import stages
from advsparse.stages._stage import Job

_AGAIN = "repetition-"


@dataclass(frozen=True)
class Places:
    """The files below the folder of a preset's results."""

    results: str

    def file(self, job: Job, suffix: str | None = None) -> str:
        """One of the files that a job makes; without a suffix, the artifact that others read."""
        return f"{self._place(job, self.results)}{suffix or stages()[job.stage].suffixes[0]}"

    def files(self, job: Job) -> list[str]:
        """All files that a job makes."""
        return [self.file(job, suffix) for suffix in stages()[job.stage].suffixes]

    def record(self, job: Job) -> str:
        """What a job leaves behind if it fails."""
        above = "/".join([self.results, *_above(job)])
        return f"{above}/failures/{stages()[job.stage].folder}/{job.name}.txt"

    def checkpoint(self, job: Job) -> str:
        """What a job goes on from that was interrupted."""
        return f"{self._place(job, f'{self.results}/checkpoints')}.safetensors"

    def log(self, job: Job) -> str:
        return f"{self.results}/logs/{self.name(job)}.log"

    def benchmark(self, job: Job) -> str:
        return f"{self.results}/benchmarks/{self.name(job)}.tsv"

    def name(self, job: Job) -> str:
        """What a job's log and benchmark are called, without folder and suffix."""
        # A picture lies beside its dataset, and is called after it.
        called_alike = stages()[job.stage].accompanies
        return self._place(job, "").lstrip("/") + (f"_{job.stage}" if called_alike else "")

    def _place(self, job: Job, top: str) -> str:
        return "/".join([top, *_above(job), stages()[job.stage].folder, job.name])


def _above(job: Job) -> list[str]:
    """The folder of a job's paper, and of its repetition in there."""
    return [f"{job.paper}{folder(job.repetition)}"] if job.paper else []


def folder(repetition: int) -> str:
    """The folder of a repetition below that of a paper, slash included: none for the first."""
    return f"/{_AGAIN}{repetition}" if repetition else ""


def repetition_of(folder: str) -> int:
    """The repetition whose folder it is, with or without a slash."""
    return int(folder.lstrip("/").removeprefix(_AGAIN) or 0)


def without_repetition(parts: Sequence[str]) -> list[str]:
    """The parts of a path, without the folder of a repetition."""
    return [part for part in parts if not re.fullmatch(rf"{_AGAIN}[0-9]+", part)]
