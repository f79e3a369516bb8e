"""Pictures of datasets: some images of each class."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from advsparse import registry
from advsparse.config.plan import Plan
from advsparse.stages._captions import dataset_caption
from advsparse.stages._stage import Job, Needs, Stage


class PictureStage(Stage):
    """A picture beside each dataset that is used."""

    name, folder, wildcard = "picture", "datasets", "dataset"
    suffixes = (".png", ".pdf")
    shared, computes = True, False
    gpu, light, memory, minutes = False, True, 1000, 10
    accompanies = "dataset"

    def names(self, plan: Plan, paper: str) -> Iterable[str]:
        return plan.configuration.datasets

    def needs(self, plan: Plan, job: Job) -> Needs:
        return {"dataset": Job("dataset", job.name)}

    def settings(self, plan: Plan, job: Job) -> dict[str, Any]:
        source = plan.configuration.datasets[job.name]
        return {
            "dataset": job.name,
            "source": registry.kind_of(source),
            "note": source.note,
            "per_class": 6,
        }

    def parameters(self) -> dict[str, Callable[[Plan, Job], Any]]:
        return {"caption": lambda plan, job: dataset_caption(self.settings(plan, job))}
