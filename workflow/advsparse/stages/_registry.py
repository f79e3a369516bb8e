"""The stages that are there, by name, each after those whose sections its entries name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from typing import Any, get_type_hints

import advsparse.stages
from advsparse.config.names import RESERVED, named
from advsparse.stages._parts import Divided, Part
from advsparse.stages._stage import Section, Stage

_TAKEN = ("logs", "benchmarks", "checkpoints", "failures", "fetched")
"""Folders of results that are no stage's."""


@cache
def stages() -> dict[str, Stage]:
    """One stage for each public module of the package, by name, and one of the parts of each whose
    jobs may be divided."""
    found = {}
    for module in pkgutil.iter_modules(advsparse.stages.__path__):
        if not module.name.startswith("_"):
            stage = _load(module.name)
            found[stage.name] = stage
            if isinstance(stage, Divided):
                parts = Part(stage)
                found[parts.name] = parts
    _refuse_what_clashes(list(found.values()))
    return found


@cache
def sections() -> dict[str, Section]:
    """All sections of a paper's settings, each after those that its entries name; of two that name
    each other the one whose name comes later in the alphabet goes first."""
    declared = {
        name: section for stage in stages().values() for name, section in stage.sections().items()
    }
    ordered: dict[str, Section] = {}

    def add(name: str, *above: str) -> None:
        if name in declared and name not in ordered and name not in above:
            for other in sorted(named_by(declared[name].entry)):
                add(other, name, *above)
            ordered[name] = declared[name]

    for name in sorted(declared):
        add(name)
    return ordered


def named_by(entry: Any) -> set[str]:
    """The sections that the entries of a section name."""
    return {of.section for _, annotation in fields(entry) for of in named(annotation)}


def fields(entry: Any) -> Iterator[tuple[str, Any]]:
    """The fields of an entry's type, with their annotations."""
    cls = getattr(entry, "__origin__", entry)  # below what else is annotated
    yield from get_type_hints(cls, include_extras=True).items()


def _load(name: str) -> Stage:
    module = importlib.import_module(f"{advsparse.stages.__name__}.{name}")
    classes = [value for value in vars(module).values() if isinstance(value, type)]
    own = [cls for cls in classes if cls.__module__ == module.__name__]
    found = [cls for cls in own if issubclass(cls, Stage)]
    if len(found) != 1:
        raise ImportError(f"{module.__file__} must define exactly one Stage, found {len(found)}")
    return found[0]()


def _refuse_what_clashes(found: list[Stage]) -> None:
    """Two stages in one place would write each other's files; wildcards are Snakemake's to name."""
    for index, stage in enumerate(found):
        if stage.folder in _TAKEN:
            raise ImportError(f"the stage {stage.name} writes to {stage.folder}, which is taken")
        if stage.wildcard in RESERVED:
            raise ImportError(f"the stage {stage.name} needs another wildcard: {stage.wildcard!r}")
        for other in found[:index]:
            beside = stage.name == other.accompanies or other.name == stage.accompanies
            apart = other.folder != stage.folder or (
                beside and not {*other.suffixes} & {*stage.suffixes}
            )
            if not apart:
                text = f"the stages {other.name} and {stage.name} both write to {stage.folder}"
                raise ImportError(text)
