"""Where the files of jobs are: one rule for all stages. A job's names may be wildcards."""

from __future__ import annotations

from dataclasses import dataclass

from advsparse.stages._registry import stages
from advsparse.stages._stage import Job


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
        top = f"{self.results}/{job.paper}" if job.paper else self.results
        return f"{top}/failures/{stages()[job.stage].folder}/{job.name}.txt"

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
        return "/".join([top, *filter(None, [job.paper]), stages()[job.stage].folder, job.name])
