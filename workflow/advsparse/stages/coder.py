"""Sparse coders that are learned: one training each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from advsparse import registry
from advsparse.coding._signals import Signals
from advsparse.config.mistakes import Mistake
from advsparse.config.names import Name, Of, Role
from advsparse.config.plan import Plan
from advsparse.models._training import Training
from advsparse.registry import Plugin
from advsparse.settings import settings
from advsparse.stages._stage import Around, Job, Needs, Section, Stage


@settings
class CoderEntry:
    """A coder that is learned: from what, what it is, how it is trained."""

    dataset: Role | None = None
    """The role of the images that it learns from; either this or ``signals`` is given."""
    signals: Annotated[Name, Of("signals")] | None = None
    """The synthetic signals that it learns from."""
    method: Annotated[Any, Plugin("coding")]
    """The coder: its kind and settings."""
    training: Training = Training()
    """How it is trained."""

    def __post_init__(self) -> None:
        if (self.dataset is None) == (self.signals is None):
            raise ValueError("exactly one of dataset and signals must be given")


class CoderStage(Stage):
    """An artifact for each entry of ``coders``."""

    name, folder, wildcard = "coder", "coders", "coder"
    section = readable = "coders"
    suffixes = (".safetensors",)
    blamed = imported = resumes = True
    minutes = 240

    def sections(self) -> Mapping[str, Section]:
        return {
            "signals": Section(Signals, "Synthetic signals by name."),
            "coders": Section(CoderEntry, "Coders that are learned, by name."),
        }

    def needs(self, plan: Plan, job: Job) -> Needs:
        role = self.entry(plan, job).dataset
        return {"dataset": Job("dataset", plan.playing(role))} if role else {}

    def settings(self, plan: Plan, job: Job) -> dict[str, Any]:
        coder = self.entry(plan, job)
        learned_from = plan.playing(coder.dataset) if coder.dataset else coder.signals
        told = {
            "method": registry.spec_of(coder.method),
            "training": registry.plain(coder.training),
            "threads": plan.configuration.threads,
            "seed": plan.seed(learned_from, job.name, "training"),
        }
        return told | (signals_settings(plan, job.paper, coder.signals) if coder.signals else {})

    def inconsistencies(self, paper: Any, around: Around) -> Iterator[Mistake]:
        for name, entry in paper.coders.items():
            unused = {"augmentation": None, "label_smoothing": 0.0}
            for key, off in unused.items():
                if getattr(entry.training, key) != off:
                    text = "is of classifiers alone: what coders learn from has no labels"
                    yield Mistake(("coders", name, "training", key), text)

    def told(self, plan: Plan, job: Job) -> dict[str, Any]:
        role = self.entry(plan, job).dataset
        return {"origin": plan.origin(role)} if role else {}

    def modules(self, plan: Plan, job: Job) -> Iterator[str]:
        yield registry.module_of(self.entry(plan, job).method)


def signals_settings(plan: Plan, paper: str, name: str) -> dict[str, Any]:
    """Synthetic signals, with the seed of the dictionary that all their coders share."""
    return {
        "signals": dataclasses.asdict(plan.paper(paper).signals[name]),
        "dictionary_seed": plan.seed(name, "dictionary"),
    }
