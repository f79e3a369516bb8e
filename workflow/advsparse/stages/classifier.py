"""Classifiers: one training each, resumed from its checkpoint after an interruption."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from advsparse import registry
from advsparse.config.names import Name, Of, Role
from advsparse.config.plan import Plan
from advsparse.models._training import Training
from advsparse.registry import Plugin
from advsparse.settings import settings
from advsparse.stages._stage import Job, Needs, Section, Stage


@settings
class Model:
    """A classifier: what it is trained on, what it is, how it is trained."""

    dataset: Role
    """The role of its training data; the preset says which dataset plays it."""
    architecture: Annotated[Any, Plugin("models")]
    """The network: its kind and settings."""
    coder: Annotated[Name, Of("coders")] | None = None
    """The trained coder whose codes it classifies; only where the architecture takes one."""
    training: Training = Training()
    """How it is trained."""


class ClassifierStage(Stage):
    """An artifact for each entry of ``models``."""

    name, folder, wildcard = "classifier", "classifiers", "model"
    section = readable = "models"
    suffixes = (".safetensors",)
    blamed = imported = resumes = True
    minutes = 240

    def sections(self) -> Mapping[str, Section]:
        return {"models": Section(Model, "Classifiers by name.", required=True)}

    def needs(self, plan: Plan, job: Job) -> Needs:
        coder = self.entry(plan, job).coder
        files = {"dataset": Job("dataset", plan.dataset_of(job.paper, job.name))}
        return files | ({"coder": Job("coder", coder, job.paper)} if coder else {})

    def settings(self, plan: Plan, job: Job) -> dict[str, Any]:
        model = self.entry(plan, job)
        return {
            "architecture": registry.spec_of(model.architecture),
            "training": dataclasses.asdict(model.training),
            "threads": plan.configuration.threads,
            "seed": plan.seed(plan.dataset_of(job.paper, job.name), job.name, "training"),
        }

    def told(self, plan: Plan, job: Job) -> dict[str, Any]:
        return {"origin": plan.origin(self.entry(plan, job).dataset)}

    def modules(self, plan: Plan, job: Job) -> Iterator[str]:
        yield registry.module_of(self.entry(plan, job).architecture)


def classified(plan: Plan, paper: str, model: str) -> dict[str, Job]:
    """A classifier, and the dataset of the images that it is attacked on."""
    return {
        "dataset": Job("dataset", plan.dataset_of(paper, model)),
        "classifier": Job("classifier", model, paper),
    }
