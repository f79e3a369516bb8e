"""From files to a validated configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from advsparse.config.expanded import expanded
from advsparse.config.judgement import judged
from advsparse.config.messages import refuse
from advsparse.config.mistakes import Mistake, nearest
from advsparse.config.model import Configuration
from advsparse.config.sources import Key, Place, Tree, read_yaml, scalar
from advsparse.errors import ConfigError

WORKFLOW = Path(__file__).parents[2]


def load(
    files: list[Path], overrides: Mapping[str, Any] | None = None, workflow: Path = WORKFLOW
) -> Configuration:
    """The configuration of ``files``, later ones over earlier ones, and of ``overrides`` over all.

    Below them lie the preset that they name and the settings of the papers. Raises ConfigError with
    one message for all that is wrong: file, line, key and the nearest known key.
    """
    papers = {path.parent.name: path for path in sorted((workflow / "papers").glob("*/paper.yaml"))}
    read = _read([*files, *papers.values()])
    layers = [*(read[file] for file in files), _from_command_line(overrides or {})]
    below = Tree()
    for paper, path in papers.items():
        below = below.overlay(read[path].below(("settings", paper)))

    def over(preset: Path) -> Tree:
        merged = below
        # One by one: what null removes, and what another kind replaces, depends on what is below.
        for layer in [read_yaml(preset), *layers]:
            merged = merged.overlay(layer)
        merged = expanded(merged)
        if merged.values.get("papers") in (None, []):
            merged.values["papers"] = [*papers]
        return merged

    known, name = presets(workflow), _preset(layers)
    if not isinstance(name, str) or name not in known:
        wrong = Mistake(("preset",), f"no preset {name!r}; {nearest(str(name), known)}")
        trees = {preset: over(preset) for preset in known.values()}
        # What is wrong with any preset is wrong with the one that was meant.
        always = [set(judged(tree, preset, workflow)[1]) for preset, tree in trees.items()]
        refuse(next(iter(trees.values())), [wrong, *set.intersection(*always)])
    tree = over(known[name])
    configuration, mistakes = judged(tree, known[name], workflow)
    refuse(tree, mistakes)
    assert configuration is not None  # or there were mistakes
    return configuration


def _read(files: list[Path]) -> dict[Path, Tree]:
    """What stands in files; ConfigError with all that is wrong if one of them can't be read."""
    trees: dict[Path, Tree] = {}
    said: list[str] = []
    broken = False
    for file in files:
        try:
            trees[file] = read_yaml(file)
            said += map(str, trees[file].unreadable)
        except ConfigError as error:
            said.append(str(error))
            broken = True
    if broken:
        raise ConfigError("\n".join(said))
    return trees


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


def _preset(layers: list[Tree]) -> Any:
    """The name of the preset that the last one of ``layers`` gives which gives any."""
    default = Configuration.__dataclass_fields__["preset"].default
    return next((t.values["preset"] for t in reversed(layers) if "preset" in t.values), default)
