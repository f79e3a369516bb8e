"""What the types of a configuration can't see: names that lead nowhere, values that clash."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from advsparse import registry
from advsparse.config.messages import Mistake, nearest, short
from advsparse.config.model import (
    AnalysisEntry,
    AttackEntry,
    Configuration,
    Paper,
    shortened,
)
from advsparse.config.sources import Key, shown
from advsparse.data._local import LocalFile

_BRACES = set("{}")
_NO_BRACES = "snakemake takes what stands in braces for a wildcard: rename it"


def inconsistencies(configuration: Configuration, preset: Path) -> Iterator[Mistake]:
    """All that is inconsistent in ``configuration``, whose preset is read from a file."""
    for role, dataset in configuration.roles.items():
        if dataset not in configuration.datasets:
            hint = nearest(dataset, configuration.datasets)
            yield Mistake(("roles", role), f"no dataset {dataset!r}; {hint}")
    for index, key in enumerate(configuration.papers):
        if key in configuration.papers[:index]:
            yield Mistake(("papers", index), f"{key!r} is given twice")
        if key not in configuration.settings:
            text = f"is needed by paper {key!r}, which is to be rebuilt: null removes it"
            yield Mistake(("settings", key), text)
    directory = Path(configuration.data.directory)
    if _BRACES & set(str(directory)):
        yield Mistake(("data", "directory"), _NO_BRACES)
    for name, source in configuration.datasets.items():
        if _BRACES & set(getattr(source, "path", "")):
            yield Mistake(("datasets", name, "path"), _NO_BRACES)
        # Of published datasets, which may yet be fetched, the jobs that read them ask.
        used = name in configuration.roles.values() and isinstance(source, LocalFile)
        for path in source.files(directory) if used else ():
            if not os.path.exists(path):  # noqa: PTH110 - the method raises for some paths
                yield Mistake(("datasets", name, "path"), f"there is no {shown(path)}")
    for key, paper in configuration.settings.items():
        if key in configuration.papers:
            for mistake in _paper_inconsistencies(paper, configuration, preset):
                yield Mistake(("settings", key, *mistake.key), mistake.text)


def _paper_inconsistencies(
    paper: Paper, configuration: Configuration, preset: Path
) -> Iterator[Mistake]:
    for section, entries in (("models", paper.models), ("coders", paper.coders)):
        for name, entry in entries.items():
            if entry.dataset is not None and entry.dataset not in configuration.roles:
                hint = f"neither {shown(preset)} nor your roles say which dataset plays it"
                text = f"no dataset for {entry.dataset!r}: {hint}"
                yield Mistake((section, name, "dataset"), text)
    for name, entry in paper.coders.items():
        yield from _unknown(entry, ("coders", name), signals=paper.signals)
    for name, entry in paper.models.items():
        yield from _unknown(entry, ("models", name), coder=paper.coders)
    for name, entry in paper.analyses.items():
        yield from _unknown(entry, ("analyses", name), coders=paper.coders, attacks=paper.attacks)
        for mistake in _analysis_inconsistencies(entry, paper):
            yield Mistake(("analyses", name, *mistake.key), mistake.text)
    for name, entry in paper.attacks.items():
        for mistake in _attack_inconsistencies(entry, paper):
            yield Mistake(("attacks", name, *mistake.key), mistake.text)
    for name, attacks in paper.needed.experiments.items():
        if name not in paper.experiments:
            yield Mistake(("experiments",), f"the paper's figures read the experiment {name!r}")
        for attack in set(attacks) - set(paper.experiments.get(name, attacks)):
            yield Mistake(("experiments", name), f"the paper's figures need the attack {attack!r}")
    for section in ("attacks", "analyses"):
        there = getattr(paper, section)
        for name, kind in getattr(paper.needed, section).items():
            text = f"the paper's figures need {name!r} to be of the kind {kind!r}"
            if name not in there:
                yield Mistake((section,), text)
            elif registry.kind_of(there[name].method) != kind:
                yield Mistake((section, name, "method"), text)
    for name, attacks in paper.experiments.items():
        for index, attack in enumerate(attacks):
            if attack in attacks[:index]:
                yield Mistake(("experiments", name, index), f"{attack!r} is given twice")
            elif attack not in paper.attacks:
                hint = nearest(attack, paper.attacks)
                yield Mistake(("experiments", name, index), f"no attack {attack!r}; {hint}")


def _unknown(entry: Any, key: Key, **known: Mapping[str, Any]) -> Iterator[Mistake]:
    """The names in fields of ``entry`` that are not among those known there."""
    for field, names in known.items():
        value = getattr(entry, field)
        for index, name in enumerate(value if isinstance(value, list) else [value]):
            if name is not None and name not in names:
                where = (*key, field, index) if isinstance(value, list) else (*key, field)
                yield Mistake(where, f"there is no {name!r}; {nearest(name, names)}")


def _analysis_inconsistencies(entry: AnalysisEntry, paper: Paper) -> Iterator[Mistake]:
    kind = registry.kind_of(entry.method)
    for field in ("coders", "attacks"):
        takes, given = getattr(type(entry.method), field), len(getattr(entry, field))
        if given != takes if takes is not None else not given:
            text = f"{kind} takes {'one or more' if takes is None else takes}, not {given}"
            yield Mistake((field,), text)
    attacks = [paper.attacks.get(name) for name in entry.attacks]
    if None in attacks:
        return
    for index, attack in enumerate(attacks):
        if attack.grid:
            yield Mistake(("attacks", index), "is a grid: an analysis reads single attacks")
        elif (attack.model, attack.images) != (attacks[0].model, attacks[0].images):
            text = f"attacks other images or another classifier than {entry.attacks[0]!r}"
            yield Mistake(("attacks", index), text)
    model = paper.models.get(attacks[0].model) if attacks else None
    coders = [paper.coders.get(name) for name in entry.coders]
    for index, coder in enumerate(coders):
        if coder is None:
            continue
        if not attacks and coder.signals is None:
            yield Mistake(("coders", index), f"has learned from images: {kind} codes signals")
        elif model is not None and coder.dataset != model.dataset:
            yield Mistake(("coders", index), "has learned from other images than are attacked")
        elif coders[0] is not None and coder.signals != coders[0].signals:
            yield Mistake(("coders", index), f"codes other signals than {entry.coders[0]!r}")


def _attack_inconsistencies(entry: AttackEntry, paper: Paper) -> Iterator[Mistake]:
    from advsparse.attacks._fitting import UniversalAttack

    models, images = paper.models, paper.images
    yield from _unknown(entry, (), model=models, surrogate=models, images=images, learn_from=images)
    datasets = {models[m].dataset for m in (entry.surrogate, entry.model) if m in models}
    if len(datasets) > 1:
        text = f"classifies other images than {entry.model!r}, which it is carried over to"
        yield Mistake(("surrogate",), text)
    kind = registry.kind_of(entry.method)
    if isinstance(entry.method, UniversalAttack):
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
    fields = set(type(entry.method).__dataclass_fields__)
    for parameter, values in entry.grid.items():
        if parameter not in fields:
            hint = nearest(parameter, fields)
            yield Mistake(("grid", parameter), f"{kind} has no {parameter!r}; {hint}")
            continue
        for index, value in enumerate(values):
            error = _invalid(entry.method, parameter, value)
            if error:
                yield Mistake(("grid", parameter, index), error)
        if len({(isinstance(value, bool), value) for value in values}) < len(values):
            yield Mistake(("grid", parameter), "a value is given twice")
        elif len({shortened(value) for value in values}) < len(values):
            text = "two values agree in the six digits that file names and rows tell them by"
            yield Mistake(("grid", parameter), text)


def _overlap(paper: Paper, a: str, b: str) -> bool:
    one, two = paper.images.get(a), paper.images.get(b)
    if one is None or two is None or one.split != two.split:
        return False
    return one.start < two.start + two.count and two.start < one.start + one.count


def _invalid(method: Any, parameter: str, value: Any) -> str | None:
    """Why ``method`` can't take ``value`` for ``parameter``; None if it can."""
    spec = registry.settings_of(method) | {parameter: value}
    try:
        TypeAdapter(type(method)).validate_json(json.dumps(spec))
    except ValidationError as error:
        entry = error.errors(include_url=False)[0]
        return f"{entry['msg'][0].lower()}{entry['msg'][1:]}, got {short(value)}"
    return None
