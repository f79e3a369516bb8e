"""Datasets: made or read once, used by all papers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from advsparse import registry
from advsparse.config.mistakes import Mistake
from advsparse.config.plan import Plan
from advsparse.data._published import Published
from advsparse.stages._stage import Around, Job, Needs, Stage


class DatasetStage(Stage):
    """An artifact for each entry of the configuration's ``datasets``."""

    name, folder, wildcard = "dataset", "datasets", "dataset"
    suffixes = (".safetensors",)
    shared = blamed = True
    readable = "roles"
    gpu, minutes = False, 30

    def names(self, plan: Plan, paper: str) -> Iterable[str]:
        return plan.configuration.datasets

    def needs(self, plan: Plan, job: Job) -> Needs:
        return {"files": [] if self.absent(plan, job) else files(plan, job.name)}

    def absent(self, plan: Plan, job: Job) -> str | None:
        return plan.configuration.datasets[job.name].absent(plan.data_directory)

    def settings(self, plan: Plan, job: Job) -> dict[str, Any]:
        settings = {"source": registry.spec_of(plan.configuration.datasets[job.name])}
        if files(plan, job.name):
            settings["directory"] = plan.configuration.data.directory
        return settings

    def parameters(self) -> dict[str, Callable[[Plan, Job], Any]]:
        return {"contents": self.contents}

    def contents(self, plan: Plan, job: Job) -> str | None:
        """What a job reruns for where the time of a file or folder doesn't tell."""
        return plan.configuration.datasets[job.name].contents(plan.data_directory)

    def read(self, plan: Plan, paper: str, reading: Mapping[str, Any]) -> Job:
        return Job(self.name, plan.playing(reading[self.name]))

    def unreadable(
        self, paper: Any, reading: Mapping[str, Any], around: Around
    ) -> Iterator[Mistake]:
        yield from around.unplayed(reading[self.name], self.name)

    def modules(self, plan: Plan, job: Job) -> Iterator[str]:
        yield registry.module_of(plan.configuration.datasets[job.name])


def files(plan: Plan, name: str) -> list[str]:
    """The files that a dataset is read from."""
    return [str(path) for path in plan.configuration.datasets[name].files(plan.data_directory)]


def published_files(plan: Plan, built: Iterable[Job]) -> list[tuple[str, str]]:
    """Kind and name of each file of the published datasets among what is built."""
    used = {job.name for job in built if job.stage == DatasetStage.name}
    sources = [plan.configuration.datasets[name] for name in sorted(used)]
    return sorted(
        {
            (registry.kind_of(source), file.name)
            for source in sources
            if isinstance(source, Published)
            for file in source.published().files
        }
    )


def fetch_settings(plan: Plan, kind: str, file: str) -> dict[str, Any]:
    """What the download of a file is told."""
    data = plan.configuration.data
    return {
        "kind": kind,
        "file": file,
        "directory": data.directory,
        "mirrors": data.mirrors,
    }
