"""What follows from the edges between jobs, for all stages at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache, cached_property
from typing import Any

from advsparse.config.plan import Plan
from advsparse.stages._places import folder
from advsparse.stages._registry import stages
from advsparse.stages._stage import All, Job, Repeated, Stage

Inputs = Mapping[str, "Job | list[Job] | str | list[str]"]


class Graph:
    """The jobs of a plan, and which are made from which."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        # Rules ask for each many times, and so does what follows from it.
        self.needs = cache(self._needs)
        self.before = cache(self._before)
        self.modules = cache(self._modules)

    def known(self, stage: Stage) -> Iterator[Job]:
        """All jobs of a stage, be they built or not, the first repetition of each first."""
        for paper in [""] if stage.shared else self.plan.configuration.papers:
            jobs = [Job(stage.name, name, paper) for name in stage.names(self.plan, paper)]
            yield from jobs
            for job in jobs:
                yield from self.repeated(job)[1:]

    def repeated(self, job: Job) -> list[Job]:
        """A job, as often as it is made."""
        stage = stages()[job.stage]
        if not stage.repeats:
            return [job]
        count = stage.repetitions(self.plan, job)
        return [replace(job, repetition=repetition) for repetition in range(count)]

    def _needs(self, job: Job) -> Inputs:
        """What a job reads, by the names of its rule's inputs."""
        needs = stages()[job.stage].needs(self.plan.of(job.repetition), job)
        return {role: self._meant(job, need) for role, need in needs.items()}

    def _meant(self, job: Job, need: Any) -> Any:
        """What a stage has said that ``job`` reads: of the same repetition, or of each."""
        if isinstance(need, All):
            return self._all(job, need.stage)
        if isinstance(need, Repeated):
            again = stages()[need.job.stage].repeats
            return self.repeated(need.job)[: need.count] if again else need.job
        if isinstance(need, list):
            return [self._meant(job, part) for part in need]
        if isinstance(need, Job) and stages()[need.stage].repeats:
            return replace(need, repetition=job.repetition)
        return need

    def _all(self, job: Job, stage: str) -> list[Job]:
        """The paper's jobs of a stage that something else than ``job`` is made from."""
        others = set(self._built(job.paper, without_all=True))
        # In their own order, which doesn't change with who reads them.
        return [other for other in self.known(stages()[stage]) if other in others]

    def _before(self, job: Job) -> tuple[Job, ...]:
        """The jobs that a job is made from and itself, the first to run first."""
        found: dict[Job, None] = {}
        for need in jobs_in(self.needs(job)):
            found.update(dict.fromkeys(self.before(need)))
        return (*found, job)

    def _modules(self, job: Job) -> tuple[str, ...]:
        """The modules that a job imports by name: its own, and those of networks that it loads."""
        found = list(stages()[job.stage].modules(self.plan, job))
        for need in jobs_in(self.needs(job)):
            if stages()[need.stage].imported:
                found += self.modules(need)
        return tuple(dict.fromkeys(found))

    def _built(self, paper: str, without_all: bool = False) -> tuple[Job, ...]:
        """The targets of a paper, and what they are made from.

        without_all: leave out the targets that read all jobs of a stage.
        """
        found: dict[Job, None] = {}
        for stage in stages().values():
            for job in self.known(stage) if stage.target else ():
                needs = stage.needs(self.plan, job).values()
                reads_all = any(isinstance(need, All) for need in needs)
                if job.paper == paper and not (reads_all and without_all):
                    found.update(dict.fromkeys(self.before(job)))
        return tuple(found)

    def targets(self, paper: str) -> list[Job]:
        """What is built of a paper for its own sake: figures, tables, rows, and what goes along."""
        built = self._built(paper)
        along = [
            Job(stage.name, job.name, "" if stage.shared else paper, job.repetition)
            for stage in stages().values()
            for job in built
            if stage.accompanies == job.stage
        ]
        return [job for job in built if stages()[job.stage].target] + along

    @cached_property
    def reached(self) -> list[Job]:
        """All jobs that targets of the papers are made from, and the targets."""
        targets = [job for paper in self.plan.configuration.papers for job in self.targets(paper)]
        return list(dict.fromkeys(job for target in targets for job in self.before(target)))


def jobs_in(needs: Inputs) -> Iterator[Job]:
    """The jobs among what is read."""
    for need in needs.values():
        for part in need if isinstance(need, list) else [need]:
            if isinstance(part, Job):
                yield part


def wildcard_patterns(graph: Graph) -> dict[str, str]:
    """Patterns of the rules' wildcards, so that no rule makes what no paper knows."""
    known: dict[str, set[str]] = {"paper": set(graph.plan.configuration.papers)}
    repetitions = {job.repetition for stage in stages().values() for job in graph.known(stage)}
    # It goes with the paper's folder, and is nothing for the first.
    known["repetition"] = {folder(repetition) for repetition in repetitions | {0}}
    for stage in stages().values():
        known.setdefault(stage.wildcard, set()).update(job.name for job in graph.known(stage))
    return {
        # A group, as Snakemake takes an empty pattern for none.
        wildcard: f"(?:{'|'.join(sorted(map(re.escape, names)))})" if names else "(?!)"
        for wildcard, names in known.items()
    }
