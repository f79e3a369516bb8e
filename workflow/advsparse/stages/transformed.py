"""Training images as a defence in front of a network has transformed them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from advsparse import registry
from advsparse.config.plan import Plan
from advsparse.stages._parts import Divided
from advsparse.stages._points import first_images
from advsparse.stages._stage import Job, Needs


class TransformedStage(Divided):
    """An artifact for each defence in front, which all classifiers share that are trained on it."""

    name, folder, wildcard = "transformed", "transformed", "transformed"
    suffixes = (".safetensors",)
    blamed = resumes = True
    minutes = 240
    divides = "Parts that the images are divided into which a defence transforms for training."

    def names(self, plan: Plan, paper: str) -> Iterable[str]:
        entries = plan.paper(paper).defenses
        return [name for name, entry in entries.items() if in_front(entry.method)]

    def made_from(self, plan: Plan, job: Job) -> Needs:
        entry = plan.paper(job.paper).defenses[job.name]
        files = {
            "dataset": Job("dataset", plan.playing(entry.dataset)),
            "defense": Job("defense", job.name, job.paper),
        }
        if entry.classifier:
            files["classifier"] = Job("classifier", entry.classifier, job.paper)
        return files

    def settings(self, plan: Plan, job: Job) -> dict[str, Any]:
        entry = plan.paper(job.paper).defenses[job.name]
        dataset, kind = plan.playing(entry.dataset), registry.kind_of(entry.method)
        told = {
            "threads": plan.configuration.threads,
            # One draw for each image, whoever is trained on it; at test time others are drawn.
            "seed": plan.seed(dataset, kind, "transformed"),
        }
        count = self._wanted(plan, job)
        return told | ({"images": first_images(plan, dataset, count)} if count else {})

    def _wanted(self, plan: Plan, job: Job) -> int | None:
        """The most training images that a classifier behind the defence asks for; None for all."""
        models = plan.paper(job.paper).models.values()
        behind = [m for m in models if m.defense == job.name and m.weights_of is None]
        counts = [m.training_images for m in behind if m.training_images is not None]
        return max(counts) if counts and len(counts) == len(behind) else None


def in_front(method: Any) -> bool:
    """Whether a defence transforms images."""
    from advsparse.defenses._base import Transformation

    return isinstance(method, Transformation)
