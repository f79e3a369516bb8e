"""The work of each job of a plan, counted from its settings."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from advsparse import registry
from advsparse.codedigest import CodeBase
from advsparse.config.loading import WORKFLOW
from advsparse.config.plan import Plan
from advsparse.estimate.kinds import Coding, Defending, Kind, Learning, Network, Pass, Training
from advsparse.estimate.learning import learners, of_learning, steps
from advsparse.estimate.passes import MOST, Count, Counter, Declared
from advsparse.estimate.sizes import Size, size_of
from advsparse.models._adversarial import Adversarial
from advsparse.stages._graph import Graph
from advsparse.stages._points import fits, points
from advsparse.stages._registry import stages
from advsparse.stages._stage import Job
from advsparse.stages.experiment import evaluated

ASSUMED = Count(forward=2.5)
"""Of an attack that can't be counted: a look at the clean image, one at the result, and another one
that says how it is classified."""
_PARTS = "_part"
"""What the name of a stage of parts ends in."""


@dataclass
class Work:
    """What a job has to do."""

    job: Job
    amounts: dict[Kind, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What about it is not counted, or assumed."""
    limit: float = 0.0
    """Seconds that it takes at most on a CPU, by its settings, where no network is what costs."""
    attack: str = ""
    """The kind of its attack."""
    held_mib: float = 0.0
    """Of the images that it attacks or judges, which it holds in single precision: one copy."""

    def add(self, kind: Kind, amount: float) -> None:
        if amount:
            self.amounts[kind] = self.amounts.get(kind, 0.0) + amount


class Counting:
    """Counts the work of the jobs of a plan.

    papers: of which jobs are counted, and of what these share; counter: of attacks' passes.
    """

    def __init__(self, plan: Plan, papers: list[str], counter: Counter) -> None:
        self.plan, self.graph, self.counter = plan, Graph(plan), counter
        self.papers = papers
        self.code = CodeBase(WORKFLOW)

    def all(self, said: Callable[[str], None] = lambda line: None) -> list[Work]:
        """The work of all jobs that targets of the papers are made from."""
        jobs = dict.fromkeys(
            job
            for paper in self.papers
            for target in self.graph.targets(paper)
            for job in self.graph.before(target)
        )
        found = []
        for number, job in enumerate(jobs):
            said(f"{number} of {len(jobs)}: {job.paper} {job.stage} {job.name}")
            found.append(self.of(job))
        return found

    def of(self, job: Job) -> Work:
        """The work of a job; none of those that neither train nor ask a network."""
        work = Work(job)
        # By name, of a part as of the whole: a stage that is not here has no work that is counted.
        count = getattr(self, f"_of_{job.stage.removesuffix(_PARTS)}", None)
        if count is not None:
            count(work)
        return work

    def size(self, dataset: str) -> Size:
        configuration = self.plan.configuration
        source = configuration.datasets[dataset]
        return size_of(source, Path(configuration.data.directory))

    # What networks and defences jobs name.

    def network(self, paper: str, name: str) -> Network:
        """The network of a classifier, as a pass of it costs: with a defence inside, if it has."""
        model = self.plan.paper(paper).models[name]
        defense = self._method(paper, model.defense)
        base = self.network(paper, model.weights_of) if model.weights_of else None
        if base is None:
            size = self.size(self.plan.dataset_of(paper, name))
            front = defense is not None and defense.place == "in front of the network"
            shape = tuple(defense.shape(size.shape)) if front else size.shape
            coder = self.plan.paper(paper).coders[model.coder].method if model.coder else None
            architecture = _text(registry.spec_of(model.architecture))
            of = _text(registry.spec_of(coder)) if coder else None
            base = Network(architecture, shape, size.classes, of)
        if defense is not None and defense.place == "in the network":
            inside = _text(registry.spec_of(defense))
            return Network(base.architecture, base.shape, base.classes, base.coder, inside)
        return base

    def _method(self, paper: str, name: str | None) -> Any:
        return self.plan.paper(paper).defenses[name].method if name else None

    def _shape(self, paper: str, defense: str) -> tuple[int, ...]:
        role = self.plan.paper(paper).defenses[defense].dataset
        return self.size(self.plan.playing(role)).shape

    def defending(self, paper: str, name: str, backward: bool = False) -> Defending:
        """An image that a defence transforms, or gives a score."""
        entry = self.plan.paper(paper).defenses[name]
        network = self.network(paper, entry.classifier) if entry.classifier else None
        method = _text(registry.spec_of(entry.method))
        return Defending(method, self._shape(paper, name), backward, network)

    def _asked(self, work: Work, model: str, count: Count, images: float) -> None:
        """Passes of a classifier with the defence that it may have, ``count`` for each image."""
        paper, entry = work.job.paper, self.plan.paper(work.job.paper).models[model]
        network, defense = self.network(work.job.paper, model), self._method(paper, entry.defense)
        work.add(Pass(network), count.forward * images)
        work.add(Pass(network, backward=True), count.backward * images)
        if defense is not None and defense.place != "in the network":
            work.add(self.defending(paper, entry.defense), count.defended * images)
            back = self.defending(paper, entry.defense, backward=True)
            work.add(back, count.defended_backward * images)

    def _looks(self, work: Work, model: str, images: float) -> None:
        """Predictions of a classifier."""
        entry = self.plan.paper(work.job.paper).models[model]
        defense = self._method(work.job.paper, entry.defense)
        draws = getattr(defense, "ensemble", 1)
        self._asked(work, model, Count(forward=draws, defended=draws), images)

    # Stages.

    def _told(self, job: Job) -> dict[str, Any]:
        return stages()[job.stage].settings(self.plan.of(job.repetition), job)

    def _of_coder(self, work: Work) -> None:
        job = work.job
        entry = self.plan.paper(job.paper).coders[job.name]
        training, method = entry.training, _text(registry.spec_of(entry.method))
        if entry.signals:
            signals = self.plan.paper(job.paper).signals[entry.signals]
            kind = Coding(method, training.batch_size, (signals.size,), signals.atoms)
            each = training.examples or 0
        else:
            size = self.size(self.plan.playing(entry.dataset))
            kind = Coding(method, training.batch_size, size.shape)
            each = min(size.train, training.examples or size.train)
        work.add(kind, training.epochs * each)

    def _of_classifier(self, work: Work) -> None:
        job = work.job
        model = self.plan.paper(job.paper).models[job.name]
        if model.weights_of or model.weights:
            return
        size = self.size(self.plan.dataset_of(job.paper, job.name))
        training, network = model.training, self.network(job.paper, job.name)
        images = min(size.train, model.training_images or size.train)
        if model.adversarial_set:
            point = points(self.plan, job.paper)[model.adversarial_set]
            images += self._images(job.paper, point)
        seen = training.epochs * min(images, training.examples or images)
        work.add(Training(network, training.batch_size, training.precision), seen)
        if training.adversarial is not None:
            self._attacked_in_training(work, model, training.adversarial, seen)

    def _attacked_in_training(self, work: Work, model: Any, how: Adversarial, seen: int) -> None:
        method, paper = registry.spec_of(how.attack), work.job.paper
        defense = self._method(paper, model.defense)
        declared = Declared.of(defense) if defense is not None else None
        size = self.size(self.plan.dataset_of(paper, work.job.name))
        count = self._count(work, method, size, declared=declared)
        self._asked(work, work.job.name, count, how.share * seen)

    def _of_defense(self, work: Work) -> None:
        paper, name = work.job.paper, work.job.name
        entry = self.plan.paper(paper).defenses[name]
        if entry.perturbed_by:
            images = self._images(paper, points(self.plan, paper)[entry.perturbed_by])
        elif entry.learn_from:
            images = self._chosen(paper, self.plan.playing(entry.dataset), entry.learn_from)
        else:
            return
        network = self.network(paper, entry.classifier) if entry.classifier else None
        for method in learners(entry.method):
            asked = network if method.asks_network else None
            kind = Learning(_text(of_learning(method)), self._shape(paper, name), asked)
            work.add(kind, steps(method, images))

    def _of_transformed(self, work: Work) -> None:
        paper, (name, share) = work.job.paper, _part(work.job)
        told = self._told(work.job)
        size = self.size(self.plan.playing(self.plan.paper(paper).defenses[name].dataset))
        images = min(size.train, told["images"]["count"] if "images" in told else size.train)
        work.add(self.defending(paper, name), share * images)

    def _of_fit(self, work: Work) -> None:
        paper, plan = work.job.paper, self.plan
        point = fits(plan, paper)[work.job.name]
        dataset = plan.dataset_of(paper, point.learns_on)
        images = self._chosen(paper, dataset, str(point.entry.learn_from))
        work.attack = point.kind
        count = self._counted(work, point, point.method.learner(), point.learns_on, learns=True)
        self._asked(work, point.learns_on, count, images)

    def _of_attack(self, work: Work) -> None:
        name, share = _part(work.job)
        point = points(self.plan, work.job.paper)[name]
        images = share * self._images(work.job.paper, point)
        work.attack = point.kind
        work.held_mib = self._held(work.job.paper, point.entry.model, images)
        count = self._counted(work, point, point.method, point.entry.model)
        self._asked(work, point.entry.model, count, images)
        # What job scripts ask besides: predictions on clean images and on the result.
        self._looks(work, point.entry.model, 2 * images)

    def _counted(self, work, point, method, model: str, learns: bool = False) -> Count:
        paper = work.job.paper
        defense = self._method(paper, self.plan.paper(paper).models[model].defense)
        declared = Declared.of(defense) if defense is not None else None
        size, target = self.size(self.plan.dataset_of(paper, model)), point.entry.target
        spec = registry.spec_of(method)
        return self._count(work, spec, size, declared=declared, targeted=target, learns=learns)

    def _count(self, work: Work, spec: Mapping[str, Any], size: Size, **options: Any) -> Count:
        attack = registry.from_spec("attacks", spec)
        modules = [*map(registry.module_of, registry.with_nested(attack))]
        if options.get("declared"):
            modules.append("advsparse.defenses._defended")
        code = self.code.digest("advsparse.attacks._fitting", *modules)
        found = self.counter.count(spec, size.shape, size.classes, code=code, **options)
        if found is None:
            work.notes.append(f"{spec['kind']}: assumed to take {ASSUMED.forward} passes an image")
        elif found.at_least:
            work.notes.append(
                f"{spec['kind']}: counted up to {MOST} passes an image, if it takes more"
            )
        return found or ASSUMED

    def _images(self, paper: str, point: Any) -> int:
        """How many images a point of an attack is of."""
        dataset = self.plan.dataset_of(paper, point.entry.model)
        return self._chosen(paper, dataset, point.entry.images)

    def _held(self, paper: str, model: str, images: float) -> float:
        """MiB of so many images in single precision."""
        shape = self.size(self.plan.dataset_of(paper, model)).shape
        return 4 * images * math.prod(shape) / 2**20

    def _chosen(self, paper: str, dataset: str, name: str) -> int:
        images = self.plan.paper(paper).images[name]
        return max(0, min(images.count, self.size(dataset).of(images.split) - images.start))

    def _of_experiment(self, work: Work) -> None:
        paper, name = work.job.paper, work.job.name
        entry = self.plan.paper(paper).experiments[name]
        every = evaluated(self.plan, paper, name)
        for judge in entry.models or dict.fromkeys(point.entry.model for point in every):
            dataset = self.plan.dataset_of(paper, judge)
            test = self.size(dataset).of("test")
            clean = self._chosen(paper, dataset, entry.clean) if entry.clean else test
            self._looks(work, judge, clean)
            judged = [point for point in every if entry.models or point.entry.model == judge]
            # On the attacked network in eight bits, too; on another one clean images once for all.
            sets = {point.entry.images for point in judged if point.entry.model != judge}
            self._looks(work, judge, sum(self._chosen(paper, dataset, one) for one in sets))
            for point in judged:
                times = 2 if point.entry.model == judge else 1
                self._looks(work, judge, times * self._images(paper, point))
            most = max((self._images(paper, point) for point in judged), default=0)
            work.held_mib = max(work.held_mib, self._held(paper, judge, most))

    def _of_analysis(self, work: Work) -> None:
        """Of those that put defences in front: clean images and those of attacks, through each."""
        paper, name = work.job.paper, work.job.name
        entry = self.plan.paper(paper).analyses[name]
        kind = registry.kind_of(entry.method)
        work.notes.append(f"analysis {kind}: no more is counted than transformations of images")
        named = set(entry.attacks)
        attacked = [p for p in points(self.plan, paper).values() if p.name in named]
        images = [self._images(paper, point) for point in attacked]
        if not images:
            return
        seen = images[0] + sum(images)
        model = attacked[0].entry.model
        self._looks(work, model, seen * (1 + len(entry.defenses)))
        for defense in entry.defenses:
            variants = len(getattr(entry.method, "sparsities", [])) or 1
            draws = getattr(self._method(paper, defense), "ensemble", 1)
            work.add(self.defending(paper, defense), seen * variants * draws)

    def _of_certificate(self, work: Work) -> None:
        name, share = _part(work.job)
        entry = self.plan.paper(work.job.paper).certificates[name]
        dataset = self.plan.dataset_of(work.job.paper, entry.model)
        seconds = getattr(entry.method, "seconds", None)
        if seconds:
            work.limit = share * seconds * self._chosen(work.job.paper, dataset, entry.images)


def _text(spec: Mapping[str, Any]) -> str:
    return json.dumps(spec, sort_keys=True)


def _part(job: Job) -> tuple[str, float]:
    """The name of the whole of a job, and which share of it the job is."""
    if not job.stage.endswith(_PARTS):
        return job.name, 1.0
    name, _, part = job.name.rpartition("/")
    return name, 1 / int(part.split("-of-")[1])
