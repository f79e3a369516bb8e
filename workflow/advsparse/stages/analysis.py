"""Analyses: what coders make of signals and of attacked images, for figures and tables to show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field

from advsparse import registry
from advsparse.config.mistakes import Mistake
from advsparse.config.names import Name, Of
from advsparse.config.plan import Plan
from advsparse.registry import Plugin
from advsparse.settings import settings
from advsparse.stages._points import Point, points_of, told_of
from advsparse.stages._stage import Around, Job, Needs, Repeated, Section, Stage
from advsparse.stages.classifier import classified
from advsparse.stages.coder import signals_settings
from advsparse.stages.transformed import in_front


@settings
class AnalysisEntry:
    """What is computed from coders and attacked images, for figures and tables to show."""

    method: Annotated[Any, Plugin("analyses")]
    """The analysis: its kind and settings."""
    coders: list[Annotated[Name, Of("coders")]] = Field(default_factory=list)
    """The trained coders that it codes with."""
    attacks: list[Annotated[Name, Of("attacks")]] = Field(default_factory=list)
    """The attacks whose images it reads, all on the same images of one classifier; grids are for
    some analyses only."""
    defenses: list[Annotated[Name, Of("defenses", "defence")]] = Field(default_factory=list)
    """The defences that it puts in front of that classifier."""
    crossed: bool = False
    """Whether the classifiers of all repetitions judge what the attacks of each have found, which
    know nothing of any (black-box attacks)."""


class AnalysisStage(Stage):
    """An artifact for each entry of ``analyses``."""

    name, folder, wildcard = "analysis", "analyses", "analysis"
    section = readable = "analyses"
    understood = ("of_kind",)

    def sections(self) -> Mapping[str, Section]:
        return {"analyses": Section(AnalysisEntry, "Analyses by name.")}

    def repetitions(self, plan: Plan, job: Job) -> int:
        return plan.repetitions(job.paper, job.name)

    def needs(self, plan: Plan, job: Job) -> Needs:
        entry, model = self.entry(plan, job), self._model(plan, job)
        files: dict[str, Any] = {
            "coders": [Job("coder", coder, job.paper) for coder in entry.coders],
            "attacks": [Job("attack", point.id, job.paper) for point in self._points(plan, job)],
            "defenses": [Job("defense", defense, job.paper) for defense in entry.defenses],
        }
        if model:
            files |= classified(plan, job.paper, model)
        count = self.repetitions(plan, job)
        if entry.crossed and model and count > 1:
            files["judges"] = Repeated(Job("classifier", model, job.paper), count)
        return files

    def settings(self, plan: Plan, job: Job) -> dict[str, Any]:
        entry, coders = self.entry(plan, job), plan.paper(job.paper).coders
        told = {
            "method": registry.spec_of(entry.method),
            "coders": entry.coders,
            "attacks": [point.id for point in self._points(plan, job)],
            "threads": plan.configuration.threads,
            "seed": plan.seed("analysis", job.name),
        }
        signals = {coders[coder].signals for coder in entry.coders} - {None}
        told |= {"defenses": entry.defenses} if entry.defenses else {}
        return told | (signals_settings(plan, job.paper, signals.pop()) if signals else {})

    def modules(self, plan: Plan, job: Job) -> Iterator[str]:
        entry = self.entry(plan, job)
        yield from map(registry.module_of, registry.with_nested(entry.method))
        if entry.defenses:
            yield "advsparse.defenses._io"

    def told(self, plan: Plan, job: Job) -> dict[str, Any]:
        paper, model = plan.paper(job.paper), self._model(plan, job)
        attacks = self.entry(plan, job).attacks
        kinds = {name: registry.kind_of(paper.attacks[name].method) for name in attacks}
        told: dict[str, Any] = {"attacks": kinds}
        if model:
            told["origin"] = plan.origin(paper.models[model].dataset)
        if type(self.entry(plan, job).method).grids:
            told |= {"model": model, "points": list(map(told_of, self._points(plan, job)))}
        return told

    def inconsistencies(self, paper: Any, around: Around) -> Iterator[Mistake]:
        for name, entry in paper.analyses.items():
            for mistake in _inconsistencies(entry, paper):
                yield mistake.below("analyses", name)

    def _points(self, plan: Plan, job: Job) -> list[Point]:
        """The points of the attacks that an analysis reads."""
        names = self.entry(plan, job).attacks
        return [point for name in names for point in points_of(plan, job.paper, name)]

    def _model(self, plan: Plan, job: Job) -> str | None:
        """The classifier whose attacked images an analysis reads; none for signals alone."""
        attacks = self.entry(plan, job).attacks
        return plan.paper(job.paper).attacks[attacks[0]].model if attacks else None


def _inconsistencies(entry: AnalysisEntry, paper: Any) -> Iterator[Mistake]:
    kind = registry.kind_of(entry.method)
    for field in ("coders", "attacks", "defenses"):
        takes, given = getattr(type(entry.method), field), len(getattr(entry, field))
        if given != takes if takes is not None else not given:
            text = f"{kind} takes {'one or more' if takes is None else takes}, not {given}"
            yield Mistake((field,), text)
    if entry.crossed and not type(entry.method).crosses:
        yield Mistake(("crossed",), f"{kind} looks at one classifier, or none")
    attacks = [paper.attacks.get(name) for name in entry.attacks]
    if None in attacks:
        return
    for index, attack in enumerate(attacks):
        if attack.grid and not type(entry.method).grids:
            yield Mistake(("attacks", index), "is a grid: an analysis reads single attacks")
        elif (attack.model, attack.images) != (attacks[0].model, attacks[0].images):
            text = f"attacks other images or another classifier than {entry.attacks[0]!r}"
            yield Mistake(("attacks", index), text)
    model = paper.models.get(attacks[0].model) if attacks else None
    for index, name in enumerate(entry.defenses):
        defense = paper.defenses.get(name)
        if defense is not None and not in_front(defense.method):
            yield Mistake(("defenses", index), "changes no images in front of a network")
        elif defense is not None and model is not None and defense.dataset != model.dataset:
            yield Mistake(("defenses", index), "is for other images than are attacked")
    coders = [paper.coders.get(name) for name in entry.coders]
    for index, coder in enumerate(coders):
        if coder is None:
            continue
        if not attacks and coder.signals is None:
            yield Mistake(("coders", index), f"has learned from images: {kind} codes signals")
        elif model is not None and coder.dataset != model.dataset:
            yield Mistake(("coders", index), "has learned from other images than are attacked")
        elif coders[0] is not None and coder.signals != coders[0].signals:
            yield Mistake(("coders", index), f"codes other signals than {entry.coders[0]!r}")
