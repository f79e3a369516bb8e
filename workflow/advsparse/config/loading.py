"""From files to a validated configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from advsparse.config.consistency import inconsistencies
from advsparse.config.messages import from_pydantic, refuse
from advsparse.config.mistakes import Mistake, nearest
from advsparse.config.model import Configuration
from advsparse.config.schema import adapter
from advsparse.config.sources import Key, Place, Tree, read_yaml, scalar

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
    layers.append(_from_command_line(overrides or {}))
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
    refuse(merged, inconsistencies(configuration, preset, workflow))
    return configuration


def presets(workflow: Path = WORKFLOW) -> dict[str, Path]:
    """The files of all presets, by name."""
    return {path.stem: path for path in sorted((workflow / "presets").glob("*.yaml"))}


def _from_command_line(overrides: Mapping[str, Any]) -> Tree:
    """What ``overrides`` says, placed on the command line.

    Of all that is not at the top level, Snakemake hands over words, which are read as in a file.
    """
    tree = Tree()

    def read(value: Any, key: Key) -> Any:
        if key:
            tree.places[key] = Place(None)
        if isinstance(value, list):
            return [read(item, (*key, index)) for index, item in enumerate(value)]
        if isinstance(value, Mapping):
            return {str(name): read(item, (*key, str(name))) for name, item in value.items()}
        return scalar(value) if isinstance(value, str) and len(key) > 1 else value

    tree.values = read(overrides, ())
    return tree


def _preset(tree: Tree, workflow: Path) -> Path:
    """The file of the preset that ``tree`` names."""
    name = tree.values.get("preset", Configuration.__dataclass_fields__["preset"].default)
    known = presets(workflow)
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
