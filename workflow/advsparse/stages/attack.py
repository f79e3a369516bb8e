"""Attacks: one job for each attack and point of its grid."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import combinations, product
from typing import Any

from pydantic import TypeAdapter, ValidationError

from advsparse import lots, registry
from advsparse.config.mistakes import Mistake, nearest, short
from advsparse.config.names import Scalar, shortened
from advsparse.config.plan import Plan
from advsparse.stages._parts import Divided
from advsparse.stages._points import (
    AttackEntry,
    Images,
    attack_settings,
    fit_of,
    is_universal,
    own_fields,
    plugin_modules,
    point_read,
    points,
    told_of,
    unreadable_point,
)
from advsparse.stages._stage import Around, Job, Needs, Section
from advsparse.stages.classifier import classified


class AttackStage(Divided):
    """An artifact for each point of each entry of ``attacks``."""

    name, folder, wildcard = "attack", "attacks", "attack"
    readable = "attacks"
    understood = ("of_kind", "nearest")
    divides = "Parts that the images of each attack are divided into, of 256 images at least."

    def sections(self) -> Mapping[str, Section]:
        return {
            "images": Section(Images, "Sets of images by name.", required=True),
            "attacks": Section(AttackEntry, "Attacks by name.", required=True),
        }

    def names(self, plan: Plan, paper: str) -> Iterable[str]:
        return points(plan, paper)

    def made_from(self, plan: Plan, job: Job) -> Needs:
        point = points(plan, job.paper)[job.name]
        files = classified(plan, job.paper, point.entry.model)
        if point.led_by:
            files["surrogate"] = Job("classifier", point.led_by, job.paper)
        return {**files, **self.joined_with(plan, job)}

    def joined_with(self, plan: Plan, job: Job) -> Needs:
        learns = points(plan, job.paper)[job.name].entry.learn_from
        return {"fit": Job("fit", fit_of(plan, job.paper, job.name), job.paper)} if learns else {}

    def most(self, plan: Plan, job: Job) -> int:
        images = points(plan, job.paper)[job.name].entry.images
        return -(-plan.paper(job.paper).images[images].count // lots.ATTACKED)

    def settings(self, plan: Plan, job: Job) -> dict[str, Any]:
        point = points(plan, job.paper)[job.name]
        model, images = point.entry.model, point.entry.images
        told = attack_settings(plan, job.paper, point, point.method, model, images)
        return told | {"target": point.entry.target}

    def modules(self, plan: Plan, job: Job) -> Iterator[str]:
        return plugin_modules(points(plan, job.paper)[job.name])

    def said(self, plan: Plan, job: Job) -> str:
        return job.name

    def told(self, plan: Plan, job: Job) -> dict[str, Any]:
        point = points(plan, job.paper)[job.name]
        origin = plan.origin(plan.paper(job.paper).models[point.entry.model].dataset)
        return told_of(point) | {"model": point.entry.model, "origin": origin}

    def read(self, plan: Plan, paper: str, reading: Mapping[str, Any]) -> Job:
        return Job(self.name, point_read(plan, paper, reading, self.name).id, paper)

    def unreadable(
        self, paper: Any, reading: Mapping[str, Any], around: Around
    ) -> Iterator[Mistake]:
        unmet = [*super().unreadable(paper, reading, around)]
        yield from unmet or unreadable_point(paper, reading, self.name)

    def inconsistencies(self, paper: Any, around: Around) -> Iterator[Mistake]:
        for name, entry in paper.attacks.items():
            for mistake in (*_learning(entry, paper), *_grid(entry)):
                yield mistake.below("attacks", name)


def _learning(entry: AttackEntry, paper: Any) -> Iterator[Mistake]:
    models = paper.models
    datasets = {models[m].dataset for m in (entry.surrogate, entry.model) if m in models}
    if len(datasets) > 1:
        text = f"classifies other images than {entry.model!r}, which it is carried over to"
        yield Mistake(("surrogate",), text)
    kind = registry.kind_of(entry.method)
    if is_universal(entry.method):
        if entry.learn_from is None:
            yield Mistake((), f"{kind} learns from images: the key 'learn_from' is missing")
        elif _overlap(paper, entry.learn_from, entry.images):
            text = f"shares images with {entry.images!r}, which are to be unseen"
            yield Mistake(("learn_from",), text)
    else:
        if entry.learn_from is not None:
            yield Mistake(("learn_from",), f"{kind} learns from no images")
        if entry.surrogate is not None:
            yield Mistake(("surrogate",), f"{kind} learns nothing that could be carried over")


def _overlap(paper: Any, a: str, b: str) -> bool:
    one, two = paper.images.get(a), paper.images.get(b)
    if one is None or two is None or one.split != two.split:
        return False
    return one.start < two.start + two.count and two.start < one.start + one.count


def _grid(entry: AttackEntry) -> Iterator[Mistake]:
    if not entry.grid:  # as most: their settings have been validated as they are
        return
    kind = registry.kind_of(entry.method)
    fields = set().union(*map(own_fields, registry.with_nested(entry.method)))
    for parameter, values in entry.grid.items():
        if parameter not in fields:
            hint = nearest(parameter, fields)
            yield Mistake(("grid", parameter), f"{kind} has no {parameter!r}; {hint}")
        elif len({(isinstance(value, bool), value) for value in values}) < len(values):
            yield Mistake(("grid", parameter), "a value is given twice")
        elif len({shortened(value) for value in values}) < len(values):
            text = "two values agree in the six digits that file names and rows tell them by"
            yield Mistake(("grid", parameter), text)
    known = {parameter: values for parameter, values in entry.grid.items() if parameter in fields}
    yield from _impossible(entry.method, known)


def _impossible(method: Any, grid: Mapping[str, list[Scalar]]) -> Iterator[Mistake]:
    """The points of a grid that ``method`` can't take, each told by as few values as it takes."""

    @cache
    def error(chosen: tuple[tuple[str, int], ...]) -> str | None:
        return _invalid(method, {name: grid[name][index] for name, index in chosen})

    told = set()
    for indices in product(*(range(len(values)) for values in grid.values())):
        point = tuple(zip(grid, indices, strict=True))
        if not error(point):
            continue
        parts = (part for size in range(1, len(point) + 1) for part in combinations(point, size))
        blamed = next(part for part in parts if error(part))
        if blamed in told:
            continue
        told.add(blamed)
        places = [("grid", *value) for value in blamed]
        values = [grid[name][index] for name, index in blamed]
        if len(blamed) == 1:
            yield Mistake(places[0], f"{error(blamed)}, got {short(values[0])}")
        else:
            named = zip(blamed, values, strict=True)
            said = " and ".join(f"{name}={short(value)}" for (name, _), value in named)
            yield Mistake(places[0], f"{said} clash: {error(blamed)}", places[1])


def _invalid(method: Any, values: Mapping[str, Scalar]) -> str | None:
    """Why ``method`` can't take values of a grid instead of its own; None if it can."""
    spec = _spec(method, values)
    kind: Any = type(method)
    try:
        _adapter(kind).validate_json(json.dumps(spec))
    except ValidationError as error:
        entry = error.errors(include_url=False)[0]
        if entry["type"] == "value_error":
            return str(entry["ctx"]["error"])
        return f"{entry['msg'][0].lower()}{entry['msg'][1:]}"
    return None


def _spec(method: Any, values: Mapping[str, Scalar]) -> dict[str, Any]:
    """The settings of an attack with other values, its own or of the attack that it wraps."""
    fields = own_fields(method)
    spec = registry.settings_of(method) | {k: v for k, v in values.items() if k in fields}
    if rest := {k: v for k, v in values.items() if k not in fields}:
        spec["attack"] = {"kind": registry.kind_of(method.attack), **_spec(method.attack, rest)}
    return spec


@cache
def _adapter(method: type) -> TypeAdapter[Any]:
    """The validator of an attack's settings, made once: it takes a while."""
    return TypeAdapter(method)
