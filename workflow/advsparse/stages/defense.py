"""Defences: what each has learned before it defends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from advsparse import registry
from advsparse.config.mistakes import Mistake
from advsparse.config.names import Name, Of, Role
from advsparse.config.plan import Plan
from advsparse.registry import Plugin
from advsparse.settings import settings
from advsparse.stages._lineage import made_of, unfit_to_learn_from
from advsparse.stages._points import chosen_images
from advsparse.stages._stage import Around, Job, Needs, Section, Stage


@settings
class DefenseEntry:
    """A defence: what it is, and what it learns from, if it learns."""

    method: Annotated[Any, Plugin("defenses")]
    """The defence: its kind and settings."""
    dataset: Role
    """The role of the images that it is for; classifiers that name it are trained on the same."""
    learn_from: Annotated[Name, Of("images")] | None = None
    """The images that it learns from, of the training split."""
    perturbed_by: Annotated[Name, Of("attacks")] | None = None
    """An attack on training images, whose perturbed images it learns from in the place of clean
    ones."""
    classifier: Annotated[Name, Of("models", "classifier")] | None = None
    """The classifier that it is made for, where it asks for one."""


class DefenseStage(Stage):
    """An artifact for each entry of ``defenses``: arrays alone."""

    name, folder, wildcard = "defense", "defenses", "defense"
    section = readable = "defenses"
    blamed = imported = True
    minutes = 240

    def sections(self) -> Mapping[str, Section]:
        return {"defenses": Section(DefenseEntry, "Defences by name.")}

    def needs(self, plan: Plan, job: Job) -> Needs:
        entry = self.entry(plan, job)
        files: dict[str, Job] = {"dataset": Job("dataset", plan.playing(entry.dataset))}
        if entry.classifier:
            files["classifier"] = Job("classifier", entry.classifier, job.paper)
        if entry.perturbed_by:
            files["attack"] = Job("attack", entry.perturbed_by, job.paper)
        return files

    def settings(self, plan: Plan, job: Job) -> dict[str, Any]:
        entry, dataset = self.entry(plan, job), plan.playing(self.entry(plan, job).dataset)
        chosen = entry.learn_from
        return {
            "method": registry.spec_of(entry.method),
            "images": chosen_images(plan, job.paper, dataset, chosen) if chosen else None,
            "threads": plan.configuration.threads,
            "seed": plan.seed(dataset, registry.kind_of(entry.method), "defense"),
        }

    def modules(self, plan: Plan, job: Job) -> Iterator[str]:
        # Of those that it is made of too.
        yield from map(registry.module_of, registry.with_nested(self.entry(plan, job).method))

    def told(self, plan: Plan, job: Job) -> dict[str, Any]:
        entry = self.entry(plan, job)
        method = registry.settings_of(entry.method)
        kind = registry.kind_of(entry.method)
        return {"kind": kind, "settings": method, "origin": plan.origin(entry.dataset)}

    def inconsistencies(self, paper: Any, around: Around) -> Iterator[Mistake]:
        for name, entry in paper.defenses.items():
            for mistake in _mistakes(entry, paper):
                yield mistake.below("defenses", name)
            if ("defenses", name) in made_of(paper, "defenses", name):
                key = "classifier" if entry.classifier else "perturbed_by"
                text = f"{getattr(entry, key)!r} is made of {name!r} itself"
                yield Mistake(("defenses", name, key), text)


def _mistakes(entry: DefenseEntry, paper: Any) -> Iterator[Mistake]:
    kind, method = registry.kind_of(entry.method), entry.method
    if entry.perturbed_by is not None:
        yield from _perturbed(entry, paper)
    elif method.learns and entry.learn_from is None:
        yield Mistake((), f"{kind} learns from images: the key 'learn_from' is missing")
    if entry.learn_from is not None:
        images = paper.images.get(entry.learn_from)
        if not method.learns:
            yield Mistake(("learn_from",), f"{kind} learns from no images")
        elif images is not None and images.split != "train":
            text = f"{entry.learn_from!r} is of test images, which a defence is not to have seen"
            yield Mistake(("learn_from",), text)
    if method.asks_network and entry.classifier is None:
        yield Mistake((), f"{kind} is made for a network: the key 'classifier' is missing")
    if entry.classifier is not None:
        model = paper.models.get(entry.classifier)
        if not method.asks_network:
            yield Mistake(("classifier",), f"{kind} is the same for all networks")
        elif model is not None and model.dataset != entry.dataset:
            yield Mistake(("classifier",), f"{entry.classifier!r} classifies other images")


def _perturbed(entry: DefenseEntry, paper: Any) -> Iterator[Mistake]:
    """What is wrong with learning from the images of an attack."""
    if entry.learn_from is not None or not entry.method.learns:
        text = "learns from clean images" if entry.method.learns else "learns from no images"
        yield Mistake(("perturbed_by",), f"{registry.kind_of(entry.method)} {text}")
        return
    for mistake in unfit_to_learn_from(paper, entry.perturbed_by, entry.dataset, "defence"):
        yield mistake.below("perturbed_by")
