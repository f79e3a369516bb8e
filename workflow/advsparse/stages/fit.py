"""What universal attacks learn before they attack: dictionaries, single perturbations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from advsparse.config.mistakes import Mistake
from advsparse.config.plan import Plan
from advsparse.stages._points import (
    all_settings,
    fit_of,
    fits,
    is_universal,
    lesson,
    plugin_modules,
    point_read,
    unreadable_point,
)
from advsparse.stages._stage import Around, Job, Needs, Stage
from advsparse.stages.classifier import classified


class FitStage(Stage):
    """An artifact for each thing that attacks of a paper learn; those that learn the same share."""

    name, folder, wildcard = "fit", "dictionaries", "fit"
    readable = "attacks"
    understood = ("of_kind", "nearest")

    def names(self, plan: Plan, paper: str) -> Iterable[str]:
        return fits(plan, paper)

    def needs(self, plan: Plan, job: Job) -> Needs:
        return classified(plan, job.paper, fits(plan, job.paper)[job.name].learns_on)

    def settings(self, plan: Plan, job: Job) -> dict[str, Any]:
        return lesson(plan, job.paper, fits(plan, job.paper)[job.name])

    def modules(self, plan: Plan, job: Job) -> Iterator[str]:
        return plugin_modules(fits(plan, job.paper)[job.name])

    def said(self, plan: Plan, job: Job) -> str:
        # By an attack that it is learned for: they fail one after the other.
        return fits(plan, job.paper)[job.name].id

    def told(self, plan: Plan, job: Job) -> dict[str, Any]:
        # Not of the attack: another one that learns the same is to change nothing.
        point = fits(plan, job.paper)[job.name]
        origin = plan.origin(plan.paper(job.paper).models[point.learns_on].dataset)
        settings = all_settings(point.method.learner())
        return {"kind": point.kind, "settings": settings, "origin": origin}

    def read(self, plan: Plan, paper: str, reading: Mapping[str, Any]) -> Job:
        id = point_read(plan, paper, reading, self.name).id
        return Job(self.name, fit_of(plan, paper, id), paper)

    def unreadable(
        self, paper: Any, reading: Mapping[str, Any], around: Around
    ) -> Iterator[Mistake]:
        unmet = [*super().unreadable(paper, reading, around)]
        name = reading[self.name]
        if not unmet and not is_universal(paper.attacks[name].method):
            unmet = [Mistake((self.name,), f"{name!r} learns nothing that could be read")]
        yield from unmet or unreadable_point(paper, reading, self.name)
