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
from advsparse.data._published import Published
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
        """The attack in file names and rows: ``deepfool``, ``scada/lambda1=0.1_lambda2=1``."""
        # No commas: Snakemake cannot hand a wildcard with one down to the job of a cluster.
        point = "_".join(f"{name}={shortened(value)}" for name, value in self.point.items())
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

    def coder_dataset(self, paper: str, name: str) -> str | None:
        """The dataset that a coder learns from; none for synthetic signals."""
        role = self.paper(paper).coders[name].dataset
        return self.configuration.roles[role] if role else None

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

    def dataset_contents(self, name: str) -> str | None:
        """What a dataset's job reruns for where the time of a file or folder doesn't tell."""
        directory = Path(self.configuration.data.directory)
        return self.configuration.datasets[name].contents(directory)

    def absent(self, name: str) -> str | None:
        """What a dataset lacks to be read, and what to do about it; None if nothing."""
        return self.configuration.datasets[name].absent(Path(self.configuration.data.directory))

    def published_files(self) -> list[tuple[str, str]]:
        """Kind and name of each file of the published datasets that the papers use."""
        papers = self.configuration.papers
        used = {self.dataset_of(key, name) for key in papers for name in self.paper(key).models}
        used |= {self.coder_dataset(key, name) for key in papers for name in self.paper(key).coders}
        sources = [self.configuration.datasets[name] for name in sorted(used - {None})]
        return sorted(
            {
                (registry.kind_of(source), file.name)
                for source in sources
                if isinstance(source, Published)
                for file in source.published().files
            }
        )

    def fetch_settings(self, kind: str, file: str) -> dict[str, Any]:
        data = self.configuration.data
        return {
            "kind": kind,
            "file": file,
            "directory": data.directory,
            "mirrors": data.mirrors,
        }

    def dataset_settings(self, name: str) -> dict[str, Any]:
        source = self.configuration.datasets[name]
        settings = {"source": registry.spec_of(source)}
        if self.dataset_files(name):
            settings["directory"] = self.configuration.data.directory
        return settings

    def coder_settings(self, paper: str, name: str) -> dict[str, Any]:
        coder = self.paper(paper).coders[name]
        learned_from = self.coder_dataset(paper, name) or coder.signals
        settings = {
            "method": registry.spec_of(coder.method),
            "training": dataclasses.asdict(coder.training),
            "threads": self.configuration.threads,
            "seed": self._seed(learned_from, name, "training"),
        }
        return settings | (self._signals(paper, coder.signals) if coder.signals else {})

    def _signals(self, paper: str, name: str) -> dict[str, Any]:
        """Synthetic signals, with the seed of the dictionary that all their coders share."""
        signals = self.paper(paper).signals[name]
        return {
            "signals": dataclasses.asdict(signals),
            "dictionary_seed": self._seed(name, "dictionary"),
        }

    def classifier_settings(self, paper: str, name: str) -> dict[str, Any]:
        model = self.paper(paper).models[name]
        return {
            "architecture": registry.spec_of(model.architecture),
            "training": dataclasses.asdict(model.training),
            "threads": self.configuration.threads,
            "seed": self._seed(self.dataset_of(paper, name), name, "training"),
        }

    def fit_settings(self, paper: str, id: str) -> dict[str, Any]:
        job = self.attack(paper, id)
        model, images = self.learns_on(paper, id), job.entry.learn_from
        return self._attack_settings(paper, job, job.method.learner(), model, images)

    def learns_on(self, paper: str, id: str) -> str:
        """The classifier that a universal attack learns on."""
        entry = self.attack(paper, id).entry
        return entry.surrogate or entry.model

    def led_by(self, paper: str, id: str) -> str | None:
        """The classifier, if another than the attacked one, that says where an attack is led to."""
        entry = self.attack(paper, id).entry
        return entry.surrogate if entry.target != "none" else None

    def fit_of(self, paper: str, id: str) -> str:
        """The name of what an attack learns: attacks that learn the same share it.

        It derives from what decides the fit, so that other attacks may come and go.
        """
        digest = stable_seed(self.learns_on(paper, id), self.fit_settings(paper, id))
        return f"{self.attack(paper, id).kind}-{digest:016x}"

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
        job = self.attack(paper, id)
        model, images = job.entry.model, job.entry.images
        settings = self._attack_settings(paper, job, job.method, model, images)
        return settings | {"target": job.entry.target}

    def _attack_settings(
        self, paper: str, job: AttackJob, method: Any, model: str, images: str
    ) -> dict[str, Any]:
        dataset = self.dataset_of(paper, model)
        return {
            "method": registry.spec_of(method),
            "against": job.entry.against,
            "images": self._images(dataset, self.paper(paper).images[images]),
            "threads": self.configuration.threads,
            # All points of a grid draw the same numbers: what differs is what is varied.
            "seed": self._seed(dataset, model, job.kind),
        }

    def analysed_models(self, paper: str, name: str) -> list[str]:
        """The classifier whose attacked images an analysis reads; none for signals alone."""
        attacks = self.paper(paper).analyses[name].attacks
        return list(dict.fromkeys(self.paper(paper).attacks[attack].model for attack in attacks))

    def analysis_settings(self, paper: str, name: str) -> dict[str, Any]:
        """What an analysis is told; of its coders, what they have learned from."""
        entry = self.paper(paper).analyses[name]
        settings = {
            "method": registry.spec_of(entry.method),
            "coders": entry.coders,
            "attacks": entry.attacks,
            "threads": self.configuration.threads,
            "seed": self._seed("analysis", name),
        }
        signals = {self.paper(paper).coders[coder].signals for coder in entry.coders} - {None}
        return settings | (self._signals(paper, signals.pop()) if signals else {})

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
            for name in ("preset", "papers", "device", "threads", "seed", "roles")
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
            "note": source.note,
        }

    def _images(self, dataset: str, images: Images) -> dict[str, Any]:
        order = self._seed(dataset, "images", images.split)
        return dataclasses.asdict(images) | {"order": order}

    def _seed(self, *parts: Any, repetition: int = 0) -> int:
        return stable_seed(self.configuration.seed, *parts, repetition)

    # Code that a stage runs beyond what its script imports: plugins are imported by name.

    def classifier_modules(self, paper: str, model: str) -> Iterator[str]:
        entry = self.paper(paper).models[model]
        yield registry.module_of(entry.architecture)
        if entry.coder:
            yield from self.coder_modules(paper, entry.coder)

    def attack_modules(self, paper: str, id: str) -> Iterator[str]:
        job = self.attack(paper, id)
        for attack in registry.with_nested(job.method):
            yield registry.module_of(attack)
        for model in filter(None, (job.entry.model, self.led_by(paper, id))):
            yield from self.classifier_modules(paper, model)

    def fit_modules(self, paper: str, fit: str) -> Iterator[str]:
        id = self.fitted(paper, fit)
        yield from map(registry.module_of, registry.with_nested(self.attack(paper, id).method))
        yield from self.classifier_modules(paper, self.learns_on(paper, id))

    def coder_modules(self, paper: str, name: str) -> Iterator[str]:
        yield registry.module_of(self.paper(paper).coders[name].method)

    def analysis_modules(self, paper: str, name: str) -> Iterator[str]:
        entry = self.paper(paper).analyses[name]
        for plugin in registry.with_nested(entry.method):
            yield registry.module_of(plugin)
        for coder in entry.coders:
            yield from self.coder_modules(paper, coder)
        for model in self.analysed_models(paper, name):
            yield from self.classifier_modules(paper, model)

    def dataset_module(self, name: str) -> str:
        return registry.module_of(self.configuration.datasets[name])


def _all_settings(job: AttackJob) -> dict[str, Any]:
    """The settings of an attack and of the attack that it wraps, whose norm and eps are its own."""
    settings: dict[str, Any] = {}
    for attack in registry.with_nested(job.method):
        settings = registry.settings_of(attack) | settings
    return settings
