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
from advsparse.stages._stage import Around, Job, Needs, Repeated, Section, Stage
from advsparse.stages.classifier import classified
from advsparse.stages.coder import signals_settings


@settings
class AnalysisEntry:
    """What is computed from coders and attacked images, for figures and tables to show."""

    method: Annotated[Any, Plugin("analyses")]
    """The analysis: its kind and settings."""
    coders: list[Annotated[Name, Of("coders")]] = Field(default_factory=list)
    """The trained coders that it codes with."""
    attacks: list[Annotated[Name, Of("attacks")]] = Field(default_factory=list)
    """The attacks whose images it reads, none of them a grid, all on the same images of one
    classifier."""
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
            "attacks": [Job("attack", attack, job.paper) for attack in entry.attacks],
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
            "attacks": entry.attacks,
            "threads": plan.configuration.threads,
            "seed": plan.seed("analysis", job.name),
        }
        signals = {coders[coder].signals for coder in entry.coders} - {None}
        return told | (signals_settings(plan, job.paper, signals.pop()) if signals else {})

    def modules(self, plan: Plan, job: Job) -> Iterator[str]:
        method = self.entry(plan, job).method
        yield from map(registry.module_of, registry.with_nested(method))

    def told(self, plan: Plan, job: Job) -> dict[str, Any]:
        paper, model = plan.paper(job.paper), self._model(plan, job)
        attacks = self.entry(plan, job).attacks
        kinds = {name: registry.kind_of(paper.attacks[name].method) for name in attacks}
        return {"attacks": kinds} | (
            {"origin": plan.origin(paper.models[model].dataset)} if model else {}
        )

    def inconsistencies(self, paper: Any, around: Around) -> Iterator[Mistake]:
        for name, entry in paper.analyses.items():
            for mistake in _inconsistencies(entry, paper):
                yield mistake.below("analyses", name)

    def _model(self, plan: Plan, job: Job) -> str | None:
        """The classifier whose attacked images an analysis reads; none for signals alone."""
        attacks = self.entry(plan, job).attacks
        return plan.paper(job.paper).attacks[attacks[0]].model if attacks else None


def _inconsistencies(entry: AnalysisEntry, paper: Any) -> Iterator[Mistake]:
    kind = registry.kind_of(entry.method)
    for field in ("coders", "attacks"):
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
        if attack.grid:
            yield Mistake(("attacks", index), "is a grid: an analysis reads single attacks")
        elif (attack.model, attack.images) != (attacks[0].model, attacks[0].images):
            text = f"attacks other images or another classifier than {entry.attacks[0]!r}"
            yield Mistake(("attacks", index), text)
    model = paper.models.get(attacks[0].model) if attacks else None
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
