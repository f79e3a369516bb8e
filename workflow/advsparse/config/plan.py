"""From a validated configuration to jobs: which files are built, from what, with which settings.

Every stage gets its own narrow slice of the configuration; a slice holds what the stage's result
depends on and nothing else, so that a change reruns exactly what it touches.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from advsparse import registry
from advsparse.config.model import AttackEntry, Configuration, Images, Paper, shortened
from advsparse.seeding import stable_seed


@dataclass(frozen=True)
class AttackJob:
    """One point of one attack of a paper."""

    name: str
    """The attack's name in the paper's settings."""
    point: dict[str, Any]
    """Values of the grid's parameters; empty without a grid."""
    entry: AttackEntry

    @cached_property
    def method(self) -> Any:
        """The attack with the point's values."""
        return dataclasses.replace(self.entry.method, **self.point)

    @property
    def kind(self) -> str:
        """The attack's kind."""
        return registry.kind_of(self.entry.method)

    @property
    def id(self) -> str:
        """The attack in file names and rows: ``deepfool``, ``scada/lambda1=0.1,lambda2=1``."""
        point = ",".join(f"{name}={shortened(value)}" for name, value in self.point.items())
        return f"{self.name}/{point}" if point else self.name


class Plan:
    """The jobs of a configuration."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.results = f"results/{configuration.preset}"

    def paper(self, key: str) -> Paper:
        return self.configuration.settings[key]

    def dataset_of(self, paper: str, model: str) -> str:
        """The dataset that plays the role which a paper's classifier is trained on."""
        return self.configuration.roles[self.paper(paper).models[model].dataset]

    def attack(self, paper: str, id: str) -> AttackJob:
        """The job of an attack by its id."""
        return self._attacks[paper][id]

    def attack_ids(self, paper: str) -> list[str]:
        """The ids of all attacks of a paper, whether an experiment has them or not."""
        return list(self._attacks[paper])

    def attacks(self, paper: str, name: str) -> list[AttackJob]:
        """The jobs of an attack by its name: the points of its grid."""
        entry = self.paper(paper).attacks[name]
        return [AttackJob(name, point, entry) for point in entry.points()]

    def experiment(self, paper: str, name: str) -> list[AttackJob]:
        """The jobs whose evaluation rows make up an experiment."""
        return [
            job
            for attack in self.paper(paper).experiments[name]
            for job in self.attacks(paper, attack)
        ]

    def models_of(self, paper: str, experiment: str) -> list[str]:
        """The classifiers that an experiment attacks, in order of appearance."""
        return list(dict.fromkeys(job.entry.model for job in self.experiment(paper, experiment)))

    def nearest(self, paper: str, name: str, **values: float) -> AttackJob:
        """The point of an attack's grid nearest to ``values``, by ratio."""

        def distance(job: AttackJob) -> float:
            return sum(
                abs(math.log(max(float(getattr(job.method, key)), 1e-12) / value))
                for key, value in values.items()
            )

        return min(self.attacks(paper, name), key=distance)

    @cached_property
    def _attacks(self) -> dict[str, dict[str, AttackJob]]:
        return {
            key: {
                job.id: job for name in self.paper(key).attacks for job in self.attacks(key, name)
            }
            for key in self.configuration.papers
        }

    # What each stage is told.

    def dataset_files(self, name: str) -> list[str]:
        """The files that a dataset is read from."""
        directory = Path(self.configuration.data.directory)
        return [str(path) for path in self.configuration.datasets[name].files(directory)]

    def dataset_settings(self, name: str) -> dict[str, Any]:
        source = self.configuration.datasets[name]
        settings = {"source": registry.spec_of(source)}
        if self.dataset_files(name):
            settings["directory"] = self.configuration.data.directory
        return settings

    def classifier_settings(self, paper: str, name: str) -> dict[str, Any]:
        model = self.paper(paper).models[name]
        return {
            "architecture": registry.spec_of(model.architecture),
            "training": dataclasses.asdict(model.training),
            "threads": self.configuration.threads,
            "seed": self._seed(self.dataset_of(paper, name), name, "training"),
        }

    def fit_settings(self, paper: str, id: str) -> dict[str, Any]:
        settings = self._attack_settings(paper, id, self.attack(paper, id).entry.learn_from)
        method = self.attack(paper, id).method
        learned = {k: v for k, v in settings["method"].items() if k not in method.only_applied}
        return settings | {"method": learned}

    def fit_of(self, paper: str, id: str) -> str:
        """The name of what an attack learns: attacks that learn the same share it.

        It derives from what decides the fit, so that other attacks may come and go.
        """
        job = self.attack(paper, id)
        digest = stable_seed(job.entry.model, self.fit_settings(paper, id))
        return f"{job.kind}-{digest:016x}"

    def fitted(self, paper: str, fit: str) -> str:
        """An attack that learns ``fit``, by its id."""
        return self._fits[paper][fit]

    @cached_property
    def _fits(self) -> dict[str, dict[str, str]]:
        return {
            paper: {
                self.fit_of(paper, id): id
                for id, job in jobs.items()
                if job.entry.learn_from is not None
            }
            for paper, jobs in self._attacks.items()
        }

    def attack_settings(self, paper: str, id: str) -> dict[str, Any]:
        return self._attack_settings(paper, id, self.attack(paper, id).entry.images)

    def _attack_settings(self, paper: str, id: str, images: str) -> dict[str, Any]:
        job = self.attack(paper, id)
        dataset = self.dataset_of(paper, job.entry.model)
        return {
            "method": registry.spec_of(job.method),
            "against": job.entry.against,
            "images": self._images(dataset, self.paper(paper).images[images]),
            "threads": self.configuration.threads,
            # All points of a grid draw the same numbers: what differs is what is varied.
            "seed": self._seed(dataset, job.entry.model, registry.kind_of(job.method)),
        }

    def experiment_settings(self, paper: str, name: str) -> dict[str, Any]:
        jobs = self.experiment(paper, name)
        return {
            "attacks": [
                {
                    "id": job.id,
                    "model": job.entry.model,
                    "dataset": self.dataset_of(paper, job.entry.model),
                }
                for job in jobs
            ],
            "threads": self.configuration.threads,
            "seed": self.configuration.seed,
        }

    def described(self) -> dict[str, Any]:
        """The merged configuration with all defaults, as far as the selected papers go."""
        configuration = self.configuration
        described = {
            name: getattr(configuration, name)
            for name in ("preset", "papers", "threads", "seed", "roles")
        }
        described["data"] = dataclasses.asdict(configuration.data)
        described["datasets"] = {
            name: registry.spec_of(source) for name, source in configuration.datasets.items()
        }
        described["settings"] = {
            key: registry.plain(self.paper(key)) for key in configuration.papers
        }
        return described

    def points(self, paper: str, experiment: str) -> list[dict[str, Any]]:
        """The attacks of an experiment, for figures and tables to tell one from another."""
        return [
            {"id": job.id, "name": job.name, "kind": job.kind, "settings": _all_settings(job)}
            for job in self.experiment(paper, experiment)
        ]

    def origin(self, paper: str, model: str) -> dict[str, Any]:
        """On which data a paper's classifier works, for figures and tables to say."""
        dataset = self.dataset_of(paper, model)
        source = self.configuration.datasets[dataset]
        return {
            "preset": self.configuration.preset,
            "dataset": dataset,
            "role": self.paper(paper).models[model].dataset,
            "stand_in": type(source).stand_in,
        }

    def _images(self, dataset: str, images: Images) -> dict[str, Any]:
        order = self._seed(dataset, "images", images.split)
        return dataclasses.asdict(images) | {"order": order}

    def _seed(self, *parts: Any, repetition: int = 0) -> int:
        return stable_seed(self.configuration.seed, *parts, repetition)

    # Code that a stage runs beyond what its script imports: plugins are imported by name.

    def classifier_modules(self, paper: str, model: str) -> Iterator[str]:
        kind = registry.kind_of(self.paper(paper).models[model].architecture)
        yield registry.module_name("models", kind)

    def attack_modules(self, paper: str, id: str) -> Iterator[str]:
        job = self.attack(paper, id)
        for attack in registry.with_nested(job.method):
            yield registry.module_name("attacks", registry.kind_of(attack))
        yield from self.classifier_modules(paper, job.entry.model)

    def dataset_module(self, name: str) -> str:
        return registry.module_name("data", registry.kind_of(self.configuration.datasets[name]))


def _all_settings(job: AttackJob) -> dict[str, Any]:
    """The settings of an attack and of the attack that it wraps, whose norm and eps are its own."""
    settings: dict[str, Any] = {}
    for attack in registry.with_nested(job.method):
        settings = registry.settings_of(attack) | settings
    return settings
