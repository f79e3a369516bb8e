"""Classifiers: one training each, resumed from its checkpoint after an interruption."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

from advsparse import registry
from advsparse.config.mistakes import Mistake
from advsparse.config.names import Name, Of, Role
from advsparse.config.plan import Plan
from advsparse.models._adversarial import Adversarial
from advsparse.models._training import Training
from advsparse.models._weights import WeightsFile
from advsparse.registry import Plugin
from advsparse.settings import PositiveInt, settings
from advsparse.stages._lineage import made_of, unfit_to_learn_from
from advsparse.stages._points import first_images
from advsparse.stages._stage import Around, Job, Needs, Section, Stage
from advsparse.stages.transformed import in_front


@settings
class AdversarialEntry(Adversarial):
    """How part of each mini-batch is attacked while a classifier is trained."""

    attack: Annotated[Any, Plugin("attacks")]
    """The attack: its kind and hyper-parameters. Any on single images."""


@settings
class ClassifierTraining(Training):
    """How a classifier is trained: mini-batches of its cross-entropy."""

    adversarial: AdversarialEntry | None = None
    """Whether images are attacked while it is trained (adversarial training)."""


@settings
class Model:
    """A classifier: what it is trained on, what it is, how it is trained."""

    dataset: Role
    """The role of its training data; the preset says which dataset plays it."""
    architecture: Annotated[Any, Plugin("models")] | None = None
    """The network: its kind and settings; left out where ``weights_of`` says whose it is."""
    coder: Annotated[Name, Of("coders")] | None = None
    """The trained coder whose codes it classifies; only where the architecture takes one."""
    training: ClassifierTraining = ClassifierTraining()
    """How it is trained."""
    training_images: PositiveInt | None = None
    """How many of the training images it is trained on: the first in an order that is drawn once
    for each dataset; none means all of them."""
    starts_from: Annotated[Name, Of("models", "classifier")] | None = None
    """Another classifier of the same architecture, from whose weights and normalisation its
    training starts (fine-tuning)."""
    adversarial_set: Annotated[Name, Of("attacks", "attack")] | None = None
    """An attack on training images, made beforehand, whose images it is trained on too, with their
    own labels: the union of both sets of canu2021, eq. 5."""
    weights: WeightsFile | None = None
    """A file with all of its weights; then nothing is trained."""
    defense: Annotated[Name, Of("defenses", "defence")] | None = None
    """The defence that it has. Of one in front of the network, it is trained on the training images
    as that transforms them; with adversarial training, on images that are attacked, then
    transformed."""
    weights_of: Annotated[Name, Of("models", "classifier")] | None = None
    """Another classifier, whose network is put behind the defence as it is; then nothing is
    trained."""

    def __post_init__(self) -> None:
        for name in ("starts_from", "adversarial_set", "training_images"):
            if getattr(self, name) is not None and self.weights is not None:
                raise ValueError(f"{name}: weights are given, so that nothing is trained")
        if self.weights_of is None:
            if self.architecture is None:
                raise ValueError("architecture: what network it is has to be said")
            return
        if self.defense is None:
            raise ValueError("weights_of: without a defence it would be the other classifier")
        of_training = ("starts_from", "adversarial_set", "training_images")
        for name in ("architecture", "coder", *of_training, "weights"):
            if getattr(self, name) is not None:
                raise ValueError(f"{name}: is that of the classifier whose weights it takes")


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
        model = self.entry(plan, job)
        files: dict[str, Job | str] = {
            "dataset": Job("dataset", plan.dataset_of(job.paper, job.name))
        }
        if model.defense:
            files["defense"] = Job("defense", model.defense, job.paper)
            trained = model.weights_of is None and model.weights is None
            # Where images are attacked in training, it is those that are transformed.
            trained &= model.training.adversarial is None
            if trained and in_front(plan.paper(job.paper).defenses[model.defense].method):
                files["transformed"] = Job("transformed", model.defense, job.paper)
        if model.weights_of:
            files["network"] = Job("classifier", model.weights_of, job.paper)
        if model.coder:
            files["coder"] = Job("coder", model.coder, job.paper)
        if model.starts_from:
            files["start"] = Job("classifier", model.starts_from, job.paper)
        if model.adversarial_set:
            files["adversarial_set"] = Job("attack", model.adversarial_set, job.paper)
        if model.weights and not self.absent(plan, job):
            files["weights"] = str(model.weights.file(plan.data_directory))
        return files

    def absent(self, plan: Plan, job: Job) -> str | None:
        weights = self.entry(plan, job).weights
        if weights is None or weights.file(plan.data_directory).is_file():
            return None
        return f"there is no {weights.file(plan.data_directory)}, which is to hold its weights"

    def parameters(self) -> dict[str, Callable[[Plan, Job], Any]]:
        return {"contents": self.contents}

    def contents(self, plan: Plan, job: Job) -> str | None:
        """What a job reruns for where the time of its file of weights doesn't tell."""
        weights = self.entry(plan, job).weights
        return weights.contents(plan.data_directory) if weights else None

    def settings(self, plan: Plan, job: Job) -> dict[str, Any]:
        model = self.entry(plan, job)
        told = {
            "threads": plan.configuration.threads,
            "seed": plan.seed(plan.dataset_of(job.paper, job.name), job.name, "training"),
        }
        if model.defense:
            told["defense"] = model.defense
        if model.weights_of:
            return told
        told["architecture"] = registry.spec_of(model.architecture)
        told["training"] = registry.plain(model.training)
        if model.training_images is not None:
            dataset = plan.dataset_of(job.paper, job.name)
            told["images"] = first_images(plan, dataset, model.training_images)
        if model.weights:
            del told["training"]
            told["weights"] = registry.plain(model.weights)
            told["directory"] = plan.configuration.data.directory
        return told

    def inconsistencies(self, paper: Any, around: Around) -> Iterator[Mistake]:
        models = paper.models
        for name, model in models.items():
            for mistake in (*_defended(model, paper), *_taught(model, name, paper)):
                yield mistake.below("models", name)
            start = models.get(model.starts_from)
            if start is not None:
                key = ("models", name, "starts_from")
                if (model.architecture, model.coder) != (start.architecture, start.coder):
                    text = f"{model.starts_from!r} is of another architecture, or of other codes"
                    yield Mistake(key, text)
                elif ("models", name) in made_of(paper, "models", name, by=("starts_from",)):
                    yield Mistake(key, f"{name!r} would start from itself")

    def told(self, plan: Plan, job: Job) -> dict[str, Any]:
        return {"origin": plan.origin(self.entry(plan, job).dataset)}

    def modules(self, plan: Plan, job: Job) -> Iterator[str]:
        model = self.entry(plan, job)
        if model.architecture:
            yield registry.module_of(model.architecture)
        if model.defense:
            yield "advsparse.defenses._io"
        if model.training.adversarial:
            attack = model.training.adversarial.attack
            yield from map(registry.module_of, registry.with_nested(attack))


def _defended(model: Model, paper: Any) -> Iterator[Mistake]:
    """What does not fit about a classifier's defence, and about whose weights it takes."""
    defense = paper.defenses.get(model.defense)
    if defense is not None and defense.dataset != model.dataset:
        yield Mistake(("defense",), f"{model.defense!r} is for other images")
    other = paper.models.get(model.weights_of)
    if other is not None:
        if other.dataset != model.dataset:
            yield Mistake(("weights_of",), f"{model.weights_of!r} classifies other images")
        if other.defense is not None:
            yield Mistake(("weights_of",), f"{model.weights_of!r} has a defence itself")


def _taught(model: Model, name: str, paper: Any) -> Iterator[Mistake]:
    """What does not fit about the adversarial images that a classifier is trained on too."""
    attack = model.adversarial_set
    if attack is None:
        return
    found = [*unfit_to_learn_from(paper, attack, model.dataset, "classifier")]
    defense = paper.defenses.get(model.defense)
    if defense is not None and in_front(defense.method):
        found.append(Mistake((), f"is of images as {model.defense!r} does not let them pass"))
    if ("models", name) in made_of(paper, "attacks", attack):
        found.append(Mistake((), f"{attack!r} is made of {name!r} itself"))
    yield from (mistake.below("adversarial_set") for mistake in found)


def classified(plan: Plan, paper: str, model: str) -> dict[str, Job]:
    """A classifier, and the dataset of the images that it is attacked on."""
    return {
        "dataset": Job("dataset", plan.dataset_of(paper, model)),
        "classifier": Job("classifier", model, paper),
    }
