"""The points of attacks, and what attacking and learning to attack are both told."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field

from advsparse import registry
from advsparse.config.mistakes import Mistake
from advsparse.config.names import Name, Of, Scalar, shortened
from advsparse.config.plan import Plan, once_per_plan
from advsparse.registry import Plugin
from advsparse.seeding import stable_seed
from advsparse.settings import NonNegativeInt, PositiveInt, settings


@settings
class Images:
    """Some images: a slice of a split in an order drawn once for each dataset."""

    split: Literal["train", "test"] = "test"
    """The split."""
    start: NonNegativeInt = 0
    """First image; slices that don't overlap share no image."""
    count: PositiveInt
    """Number of images; fewer than the split holds, from ``start`` on."""


@settings
class AttackEntry:
    """An attack of a paper, or a grid of them: one job for each point of the grid."""

    method: Annotated[Any, Plugin("attacks")]
    """The attack: its kind and hyper-parameters."""
    grid: dict[str, Annotated[list[Scalar], Field(min_length=1)]] = Field(default_factory=dict)
    """Hyper-parameters that take several values, of the attack or of the one that it wraps: all
    combinations are built."""
    model: Annotated[Name, Of("models")]
    """The classifier that is attacked."""
    images: Annotated[Name, Of("images")]
    """The images that are attacked."""
    learn_from: Annotated[Name, Of("images")] | None = None
    """The images that a universal attack learns from."""
    surrogate: Annotated[Name, Of("models")] | None = None
    """The classifier that a universal attack learns on, to be carried over to ``model``; none
    means ``model`` itself."""
    target: Literal["none", "runner_up", "random"] = "none"
    """Whether an attack is led towards a class: the second choice of the surrogate on the clean
    image, its first where the second is the label, any wrong class being a success; or one of the
    wrong classes, drawn for each image, which alone is a success."""
    against: Literal["label", "prediction"] = "label"
    """What an untargeted attack leads away from: the true label, or the prediction on the clean
    image, whose changes are the fooling rate."""

    def points(self) -> Iterator[dict[str, Scalar]]:
        """The points of the grid; a single empty one where there is no grid."""
        for values in itertools.product(*self.grid.values()):
            yield dict(zip(self.grid, values, strict=True))


@dataclass(frozen=True)
class Point:
    """One point of one attack of a paper."""

    name: str
    """The attack's name in the paper's settings."""
    values: dict[str, Any]
    """Values of the grid's parameters; empty without a grid."""
    entry: AttackEntry

    @cached_property
    def method(self) -> Any:
        """The attack with the point's values."""
        return varied(self.entry.method, self.values)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The settings of the attack, and of the one that it wraps."""
        return all_settings(self.method)

    @property
    def kind(self) -> str:
        """The attack's kind."""
        return registry.kind_of(self.entry.method)

    @property
    def id(self) -> str:
        """The attack in file names and rows: ``deepfool``, ``scada/lambda1=0.1_lambda2=1``."""
        # No commas: Snakemake cannot hand a wildcard with one down to the job of a cluster.
        values = "_".join(f"{name}={shortened(value)}" for name, value in self.values.items())
        return f"{self.name}/{values}" if values else self.name

    @property
    def learns_on(self) -> str:
        """The classifier that a universal attack learns on."""
        return self.entry.surrogate or self.entry.model

    @property
    def led_by(self) -> str | None:
        """The classifier, if another than the attacked one, that says where it is led to."""
        return self.entry.surrogate if self.entry.target == "runner_up" else None


def varied(method: Any, values: Mapping[str, Any]) -> Any:
    """An attack with other values of fields: its own, or of the attack that it wraps."""
    own = {name: value for name, value in values.items() if name in own_fields(method)}
    rest = {name: value for name, value in values.items() if name not in own}
    within = {"attack": varied(method.attack, rest)} if rest else {}
    return dataclasses.replace(method, **own, **within)


def own_fields(method: Any) -> set[str]:
    """The fields of an attack, without those of one that it wraps."""
    return set(type(method).__dataclass_fields__)


@once_per_plan
def points(plan: Plan, paper: str) -> Mapping[str, Point]:
    """The points of all attacks of a paper, by id."""
    every = (point for name in plan.paper(paper).attacks for point in points_of(plan, paper, name))
    return {point.id: point for point in every}


@once_per_plan
def points_of(plan: Plan, paper: str, name: str) -> list[Point]:
    """The points of an attack by its name."""
    entry = plan.paper(paper).attacks[name]
    return [Point(name, values, entry) for values in entry.points()]


def point_read(plan: Plan, paper: str, reading: Mapping[str, Any], stage: str) -> Point:
    """The point that a figure or table reads: of a grid, the nearest to its values, by ratio."""
    wanted = reading.get("nearest", {})

    def distance(point: Point) -> float:
        return sum(
            abs(math.log(max(float(getattr(point.method, key)), 1e-12) / value))
            for key, value in wanted.items()
        )

    return min(points_of(plan, paper, reading[stage]), key=distance)


def unreadable_point(paper: Any, reading: Mapping[str, Any], stage: str) -> Iterator[Mistake]:
    """What is wrong with saying which point of an attack is read."""
    entry = paper.attacks.get(reading[stage])
    if entry is None:
        return
    if entry.grid and not reading.get("nearest"):
        yield Mistake((stage,), "is a grid: 'nearest' has to say which point is read")
    for key, value in reading.get("nearest", {}).items():
        taken = entry.grid.get(key, [getattr(entry.method, key, None)])
        numbers = [isinstance(one, int | float) and not isinstance(one, bool) for one in taken]
        if not all(numbers) or not 0 < value < math.inf:
            text = f"{key!r} is no number of the attack that could be near to {value:g}"
            yield Mistake(("nearest", key), text)


def chosen_images(plan: Plan, paper: str, dataset: str, name: str) -> dict[str, Any]:
    """Which images of a dataset a job works on, by their name in the paper's settings."""
    return _in_order(plan, dataset, plan.paper(paper).images[name])


def first_images(plan: Plan, dataset: str, count: int) -> dict[str, Any]:
    """The first so many training images of a dataset, in the order of all sets of them."""
    return _in_order(plan, dataset, Images(split="train", count=count))


def _in_order(plan: Plan, dataset: str, images: Images) -> dict[str, Any]:
    return dataclasses.asdict(images) | {"order": plan.seed(dataset, "images", images.split)}


def attack_settings(
    plan: Plan, paper: str, point: Point, method: Any, model: str, images: Any
) -> dict[str, Any]:
    """What an attack's job is told, or that in which it learns."""
    dataset = plan.dataset_of(paper, model)
    return {
        "method": registry.spec_of(method),
        "against": point.entry.against,
        "images": chosen_images(plan, paper, dataset, images),
        "threads": plan.configuration.threads,
        # All points of a grid draw the same numbers: what differs is what is varied.
        "seed": plan.seed(dataset, model, point.kind),
    }


def lesson(plan: Plan, paper: str, point: Point) -> dict[str, Any]:
    """What the job is told in which an attack learns."""
    method, entry = point.method.learner(), point.entry
    return attack_settings(plan, paper, point, method, point.learns_on, entry.learn_from)


@once_per_plan
def fits(plan: Plan, paper: str) -> Mapping[str, Point]:
    """What attacks learn, by its name, with an attack that learns it.

    Attacks that learn the same share it. Its name derives from what decides it, so that other
    attacks may come and go.
    """
    learning = [point for point in points(plan, paper).values() if point.entry.learn_from]
    return {fit_of(plan, paper, point.id): point for point in learning}


@once_per_plan
def fit_of(plan: Plan, paper: str, id: str) -> str:
    """The name of what an attack learns."""
    point = points(plan, paper)[id]
    # Called alike in each repetition.
    digest = stable_seed(point.learns_on, lesson(plan.of(0), paper, point))
    return f"{point.kind}-{digest:016x}"


def is_universal(method: Any) -> bool:
    """Whether an attack learns before it attacks."""
    return method.universal


def plugin_modules(point: Point) -> Iterator[str]:
    """The modules of an attack, and of those that it wraps."""
    yield from map(registry.module_of, registry.with_nested(point.method))


def told_of(point: Point) -> dict[str, Any]:
    """What figures and tables are told of an attack."""
    about = {"id": point.id, "name": point.name, "kind": point.kind}
    return about | {"settings": point.settings}


def all_settings(method: Any) -> dict[str, Any]:
    """The settings of an attack and of the one that it wraps, whose norm and eps are its own."""
    settings: dict[str, Any] = {}
    for attack in registry.with_nested(method):
        settings = registry.settings_of(attack) | settings
    return settings
