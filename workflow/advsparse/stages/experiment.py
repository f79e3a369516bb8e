"""Experiments: evaluation rows of attacks that belong together, which figures and tables read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from advsparse.config.mistakes import Mistake
from advsparse.config.names import Name, Of
from advsparse.config.plan import Plan
from advsparse.settings import settings
from advsparse.stages._points import Point, chosen_images, points_of, told_of
from advsparse.stages._stage import Around, Job, Needs, Section, Stage, unmet


@settings
class ExperimentEntry:
    """Attacks whose evaluation rows belong together; given as a list, all of them as they are."""

    attacks: Annotated[list[Annotated[Name, Of("attacks", "attack")]], Field(min_length=1)]
    """The attacks."""
    models: list[Annotated[Name, Of("models", "classifier")]] = Field(default_factory=list)
    """The classifiers that judge the images of each attack, whichever of them, or of others on the
    same data, it was made on (transfer); none means that one alone."""
    clean: Annotated[Name, Of("images")] | None = None
    """The test images whose accuracy without an attack is measured; none means all of them, which
    takes long behind a defence that does."""


def _from_list(value: Any) -> Any:
    return {"attacks": value} if isinstance(value, list) else value


_Given = Annotated[list[Name], Field(min_length=1)] | ExperimentEntry
Experiment = Annotated[
    ExperimentEntry,
    BeforeValidator(_from_list, json_schema_input_type=_Given),
]


class ExperimentStage(Stage):
    """Rows for each entry of ``experiments``."""

    name, folder, wildcard = "experiment", "rows", "experiment"
    suffixes = (".csv", ".npz")
    section = readable = "experiments"
    understood = ("attacks",)
    computes, target = False, True
    minutes = 30

    def sections(self) -> Mapping[str, Section]:
        said = "Attacks whose evaluation rows belong together, by the name of the experiment."
        return {"experiments": Section(Experiment, said, required=True)}

    def repetitions(self, plan: Plan, job: Job) -> int:
        return plan.repetitions(job.paper, job.name)

    def needs(self, plan: Plan, job: Job) -> Needs:
        attacked = [point.entry.model for point in evaluated(plan, job.paper, job.name)]
        models = dict.fromkeys(self.entry(plan, job).models or attacked)
        datasets = sorted({plan.dataset_of(job.paper, model) for model in models})
        return {
            "attacks": [
                Job("attack", point.id, job.paper) for point in evaluated(plan, job.paper, job.name)
            ],
            "classifiers": [Job("classifier", model, job.paper) for model in models],
            "datasets": [Job("dataset", dataset) for dataset in datasets],
        }

    def settings(self, plan: Plan, job: Job) -> dict[str, Any]:
        told = {
            "attacks": [
                {
                    "id": point.id,
                    "model": point.entry.model,
                    "dataset": plan.dataset_of(job.paper, point.entry.model),
                }
                for point in evaluated(plan, job.paper, job.name)
            ],
            "judges": self.entry(plan, job).models,
            "defenses": self._defenses(plan, job),
            "threads": plan.configuration.threads,
            "seed": plan.configuration.seed,
            "repetition": plan.repetition,
        }
        if clean := self.entry(plan, job).clean:
            datasets = dict.fromkeys(attack["dataset"] for attack in told["attacks"])
            told["clean"] = {
                dataset: chosen_images(plan, job.paper, dataset, clean) for dataset in datasets
            }
        return told

    def _defenses(self, plan: Plan, job: Job) -> dict[str, str]:
        """The defences of those classifiers that have one."""
        attacked = [point.entry.model for point in evaluated(plan, job.paper, job.name)]
        judges = self.entry(plan, job).models or attacked
        models = plan.paper(job.paper).models
        found = {name: models[name].defense for name in sorted({*judges})}
        return {name: defense for name, defense in found.items() if defense}

    def works_with_gaps(self, plan: Plan, job: Job) -> bool:
        return True

    def told(self, plan: Plan, job: Job) -> dict[str, Any]:
        points = evaluated(plan, job.paper, job.name)
        role = plan.paper(job.paper).models[points[0].entry.model].dataset
        return {
            "points": [told_of(point) for point in points],
            "model": points[0].entry.model,
            "origin": plan.origin(role),
        }

    def unreadable(
        self, paper: Any, reading: Mapping[str, Any], around: Around
    ) -> Iterator[Mistake]:
        name = reading[self.name]
        yield from super().unreadable(paper, reading, around)
        entry = paper.experiments.get(name)
        for attack, kind in reading.get("attacks", {}).items() if entry else ():
            key = ("attacks", attack)
            if attack not in entry.attacks:
                text = f"the paper's figures need the attack {attack!r}"
                yield Mistake(key, text, ("experiments", name))
            elif attack in paper.attacks:
                yield from unmet(paper, "attacks", attack, kind, *key)
                model = paper.attacks[attack].model
                if entry.models and model not in entry.models:
                    text = f"the paper's figures need {model!r}, which {attack!r} attacks"
                    yield Mistake(key, text, ("experiments", name, "models"))

    def inconsistencies(self, paper: Any, around: Around) -> Iterator[Mistake]:
        for name, entry in paper.experiments.items():
            for index, attack in enumerate(entry.attacks):
                if attack in entry.attacks[:index]:
                    key = ("experiments", name, "attacks", index)
                    yield Mistake(key, f"{attack!r} is given twice")
            images = paper.images.get(entry.clean)
            if images is not None and images.split != "test":
                yield Mistake(
                    ("experiments", name, "clean"), f"{entry.clean!r} is of training images"
                )
            yield from _judges(name, entry, paper)


def _judges(name: str, entry: ExperimentEntry, paper: Any) -> Iterator[Mistake]:
    attacked = [paper.attacks[attack].model for attack in entry.attacks if attack in paper.attacks]
    for index, model in enumerate(entry.models):
        key = ("experiments", name, "models", index)
        if model in entry.models[:index]:
            yield Mistake(key, f"{model!r} is given twice")
        for other in dict.fromkeys(attacked):
            known = model in paper.models and other in paper.models
            if known and paper.models[model].dataset != paper.models[other].dataset:
                yield Mistake(key, f"classifies other images than {other!r}, which is attacked")


def evaluated(plan: Plan, paper: str, name: str) -> list[Point]:
    """The points whose evaluation rows make up an experiment."""
    attacks = plan.paper(paper).experiments[name].attacks
    return [point for attack in attacks for point in points_of(plan, paper, attack)]
