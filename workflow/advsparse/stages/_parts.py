"""Stages that work image by image, a job of which can be divided into parts: jobs of their own.

``shards`` of the configuration says how many. A part is whole lots (:mod:`advsparse.lots`), so that
what the parts are joined to is what one job alone would have made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, ClassVar

from advsparse.config.plan import Plan
from advsparse.stages._stage import Job, Needs, Stage


class Divided(Stage):
    """A stage whose jobs may be divided. It has a rule of its own, and one of its parts."""

    divides: ClassVar[str]
    """What ``shards`` divides, for its documentation."""

    def made_from(self, plan: Plan, job: Job) -> Needs:
        """What a job reads that is not divided, and each part of one that is."""
        raise NotImplementedError

    def joined_with(self, plan: Plan, job: Job) -> Needs:
        """What a job reads besides its parts where it is divided."""
        return {}

    def most(self, plan: Plan, job: Job) -> int | None:
        """The largest number of parts that a job can have, where that is known."""
        return None

    def parts(self, plan: Plan, job: Job) -> list[Job]:
        """The parts of a job; none where it is not divided."""
        count = getattr(plan.configuration.shards, self.name)
        most = self.most(plan, job)
        count = count if most is None else min(count, most)
        numbers = range(1, count + 1) if count > 1 else ()
        named = (f"{job.name}/{number}-of-{count}" for number in numbers)
        return [replace(job, stage=Part.of(self), name=name) for name in named]

    def needs(self, plan: Plan, job: Job) -> Needs:
        if parts := self.parts(plan, job):
            return {**self.joined_with(plan, job), "parts": parts}
        return self.made_from(plan, job)


class Part(Stage):
    """The parts of the jobs of a stage that are divided."""

    blamed = True

    def __init__(self, whole: Divided) -> None:
        self.whole = whole
        self.name = self.wildcard = self.of(whole)
        self.folder = f"{whole.name}_parts"
        self.suffixes = whole.suffixes
        self.resumes, self.gpu = whole.resumes, whole.gpu
        self.memory, self.minutes = whole.memory, whole.minutes

    @staticmethod
    def of(whole: Divided) -> str:
        """The name of the stage of another one's parts."""
        return f"{whole.name}_part"

    def names(self, plan: Plan, paper: str) -> Iterable[str]:
        for name in self.whole.names(plan, paper):
            for part in self.whole.parts(plan, Job(self.whole.name, name, paper)):
                yield part.name

    def repetitions(self, plan: Plan, job: Job) -> int:
        return self.whole.repetitions(plan, self._divided(job)[0])

    def needs(self, plan: Plan, job: Job) -> Needs:
        return self.whole.made_from(plan, self._divided(job)[0])

    def settings(self, plan: Plan, job: Job) -> dict[str, Any]:
        whole, part = self._divided(job)
        return {**self.whole.settings(plan, whole), "part": part}

    def modules(self, plan: Plan, job: Job) -> Iterator[str]:
        yield from self.whole.modules(plan, self._divided(job)[0])

    def said(self, plan: Plan, job: Job) -> str:
        whole, (number, count) = self._divided(job)
        return f"part {number} of {count} of {self.whole.said(plan, whole)}"

    def _divided(self, job: Job) -> tuple[Job, list[int]]:
        """The job that one is part of, and which of how many parts."""
        name, part = job.name.rsplit("/", 1)
        whole = replace(job, stage=self.whole.name, name=name)
        return whole, [int(number) for number in part.split("-of-")]
