"""From files to a validated configuration."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from advsparse import registry
from advsparse.config.messages import Mistake, from_pydantic, nearest, refuse, short
from advsparse.config.model import AttackEntry, Configuration, Paper, shortened
from advsparse.config.schema import adapter
from advsparse.config.sources import Key, Place, Tree, read_yaml, shown

WORKFLOW = Path(__file__).parents[2]


def load(
    files: list[Path], overrides: Mapping[str, Any] | None = None, workflow: Path = WORKFLOW
) -> Configuration:
    """The configuration of ``files``, later ones over earlier ones, and of ``overrides`` over all.

    Below them lie the preset that they name and the settings of the papers. Raises ConfigError with
    one message for all that is wrong: file, line, key and the nearest known key.
    """
    layers = [read_yaml(file) for file in files]
    tree = Tree()
    for layer in layers:
        tree = tree.overlay(layer, keep_null=True)
    layers.append(_from_command_line(tree, overrides or {}))
    tree = tree.overlay(layers[-1], keep_null=True)
    papers = sorted(path.parent.name for path in (workflow / "papers").glob("*/paper.yaml"))
    preset = _preset(tree, workflow)
    refuse(tree, _unknown_papers(tree, papers))
    merged = Tree()
    for paper in papers:
        path = workflow / "papers" / paper / "paper.yaml"
        merged = merged.overlay(read_yaml(path).below(("settings", paper)))
    # One by one: what null removes, and what another kind replaces, depends on what lies below.
    for layer in [read_yaml(preset), *layers]:
        merged = merged.overlay(layer)
    if merged.values.get("papers") in (None, []):
        merged.values["papers"] = papers
    text = json.dumps(merged.values, ensure_ascii=False, default=str)
    try:
        configuration = adapter().validate_json(text.encode(errors="replace"))
    except ValidationError as error:
        refuse(merged, from_pydantic(error, merged))
        raise
    refuse(merged, _inconsistencies(configuration, preset))
    return configuration


def _from_command_line(tree: Tree, overrides: Mapping[str, Any]) -> Tree:
    """What ``overrides`` says otherwise than the files do, placed on the command line.

    Snakemake hands over its ``--config`` merged with its ``--configfile``, which are in ``tree``.
    """
    top = Tree()

    def walk(values: Mapping, below: Any, key: Key, out: dict) -> None:
        for name, value in values.items():
            here = (*key, str(name))
            known = isinstance(below, dict) and str(name) in below
            old = below[str(name)] if known else None
            if isinstance(value, Mapping) and value:
                inner: dict = {}
                walk(value, old, here, inner)
                if inner:
                    out[str(name)] = inner
                    if not isinstance(old, dict):
                        top.places[here] = Place(None)
            elif not known or not _same(old, value):
                out[str(name)] = value
                top.places[here] = Place(None)

    walk(overrides, tree.values, (), top.values)
    return top


def _same(ours: Any, theirs: Any) -> bool:
    """Whether our YAML reader and Snakemake's, to which 1e-3 is a word and yes is true, read the
    same text."""
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    if isinstance(ours, dict) and isinstance(theirs, Mapping):
        return list(ours) == list(theirs) and all(map(_same, ours.values(), theirs.values()))
    if isinstance(ours, bool) or isinstance(theirs, bool):
        words = {True: ("true", "yes", "on"), False: ("false", "no", "off")}
        return ours is theirs or str(ours).lower() in words.get(theirs, ())
    if isinstance(ours, int | float) and isinstance(theirs, int | float | str):
        try:
            return ours == theirs or str(float(ours)) == str(float(theirs))
        except (ValueError, OverflowError):
            return False
    return ours == theirs or (isinstance(ours, str) and ours == str(theirs) and _wordy(theirs))


def _wordy(value: Any) -> bool:
    return value is not None and not isinstance(value, int | float)


def _preset(tree: Tree, workflow: Path) -> Path:
    """The file of the preset that ``tree`` names."""
    name = tree.values.get("preset", Configuration.__dataclass_fields__["preset"].default)
    known = {path.stem: path for path in (workflow / "presets").glob("*.yaml")}
    if not isinstance(name, str) or name not in known:
        refuse(tree, [Mistake(("preset",), f"no preset {name!r}; {nearest(str(name), known)}")])
    return known[name]


def _unknown_papers(tree: Tree, known: list[str]) -> Iterator[Mistake]:
    named: list[tuple[Key, Any]] = []
    papers, settings = tree.values.get("papers"), tree.values.get("settings")
    if isinstance(papers, list):
        named += [(("papers", index), paper) for index, paper in enumerate(papers)]
    if isinstance(settings, dict):
        named += [(("settings", paper), paper) for paper in settings]
    for key, paper in named:
        if paper not in known:
            yield Mistake(key, f"no paper {paper!r}; {nearest(str(paper), known)}")


def _inconsistencies(configuration: Configuration, preset: Path) -> Iterator[Mistake]:
    """What the types can't see: names that lead nowhere, and values that don't go together."""
    for role, dataset in configuration.roles.items():
        if dataset not in configuration.datasets:
            hint = nearest(dataset, configuration.datasets)
            yield Mistake(("roles", role), f"no dataset {dataset!r}; {hint}")
    for key in configuration.papers:
        if key not in configuration.settings:
            text = f"is needed by paper {key!r}, which is to be rebuilt: null removes it"
            yield Mistake(("settings", key), text)
    directory = Path(configuration.data.directory)
    for name, source in configuration.datasets.items():
        for path in source.files(directory) if name in configuration.roles.values() else ():
            if not os.path.exists(path):  # noqa: PTH110 - the method raises for some paths
                yield Mistake(("datasets", name, "path"), f"there is no {shown(path)}")
    for key, paper in configuration.settings.items():
        if key in configuration.papers:
            for mistake in _paper_inconsistencies(paper, configuration, preset):
                yield Mistake(("settings", key, *mistake.key), mistake.text)


def _paper_inconsistencies(
    paper: Paper, configuration: Configuration, preset: Path
) -> Iterator[Mistake]:
    for name, model in paper.models.items():
        if model.dataset not in configuration.roles:
            hint = f"neither {shown(preset)} nor your roles say which dataset plays it"
            yield Mistake(("models", name, "dataset"), f"no dataset for {model.dataset!r}: {hint}")
    for name, entry in paper.attacks.items():
        for mistake in _attack_inconsistencies(entry, paper):
            yield Mistake(("attacks", name, *mistake.key), mistake.text)
    for name, attacks in paper.needed.items():
        if name not in paper.experiments:
            yield Mistake(("experiments",), f"the paper's figures read the experiment {name!r}")
        for attack in set(attacks) - set(paper.experiments.get(name, attacks)):
            yield Mistake(("experiments", name), f"the paper's figures need the attack {attack!r}")
    for name, attacks in paper.experiments.items():
        for index, attack in enumerate(attacks):
            if attack in attacks[:index]:
                yield Mistake(("experiments", name, index), f"{attack!r} is given twice")
            elif attack not in paper.attacks:
                hint = nearest(attack, paper.attacks)
                yield Mistake(("experiments", name, index), f"no attack {attack!r}; {hint}")


def _attack_inconsistencies(entry: AttackEntry, paper: Paper) -> Iterator[Mistake]:
    from advsparse.attacks._fitting import UniversalAttack

    for field, known in (
        ("model", paper.models),
        ("images", paper.images),
        ("learn_from", paper.images),
    ):
        name = getattr(entry, field)
        if name is not None and name not in known:
            yield Mistake((field,), f"there is no {name!r}; {nearest(name, known)}")
    kind = registry.kind_of(entry.method)
    if isinstance(entry.method, UniversalAttack):
        if entry.learn_from is None:
            yield Mistake((), f"{kind} learns from images: the key 'learn_from' is missing")
        elif _overlap(paper, entry.learn_from, entry.images):
            text = f"shares images with {entry.images!r}, which are to be unseen"
            yield Mistake(("learn_from",), text)
    elif entry.learn_from is not None:
        yield Mistake(("learn_from",), f"{kind} learns from no images")
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
