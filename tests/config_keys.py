"""Every key of a merged configuration, and a change of its value that means something."""

from __future__ import annotations

import functools
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest import mock

from advsparse.config import loading
from advsparse.config.model import Configuration
from advsparse.config.sources import Tree, read_yaml
from advsparse.errors import ConfigError

Key = tuple[str, ...]

WORKFLOW = Path(__file__).parents[1] / "workflow"
SCHEMA = WORKFLOW / "schemas/config.schema.json"
PAPERS = WORKFLOW / "papers"


def keys(values: Mapping[str, Any], above: Key = ()) -> Iterator[tuple[Key, Any]]:
    """Each key that holds no mapping, and its value."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from keys(value, (*above, name))
        else:
            yield (*above, name), value


def nested(key: Key, value: Any) -> dict[str, Any]:
    """The mapping that sets one key."""
    for name in reversed(key):
        value = {name: value}
    return value


def merged(*trees: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings over one another, later ones first."""
    result: dict[str, Any] = {}
    for tree in trees:
        for name, value in tree.items():
            below = result.get(name)
            both = isinstance(value, dict) and isinstance(below, dict)
            result[name] = merged(below, value) if both else value
    return result


def configured(project: Path, change: Mapping[str, Any]) -> Configuration:
    """The configuration of a project with the test preset and a change of it."""
    with files_read_once():
        return loading.load([project / "config.yaml"], {"preset": "test"} | dict(change))


def files_read_once() -> AbstractContextManager:
    """A context in which files that are as they were are not read again: most of loading's time."""
    return mock.patch.object(loading, "read_yaml", _remembered)


def _remembered(path: Path) -> Tree:
    path = Path(path).resolve()
    try:
        written = path.stat().st_mtime_ns
    except OSError:
        return read_yaml(path)
    # Written just now, it may be written again in the same tick of the clock of files.
    return read_yaml(path) if time.time_ns() - written < 10**9 else _read(path, written)


@functools.cache
def _read(path: Path, mtime_ns: int) -> Tree:
    return read_yaml(path)


def change(project: Path, key: Key, value: Any, described: Mapping[str, Any]) -> Any:
    """Another value of a key that the configuration allows; None if none is known."""
    for other in _others(key, value, described):
        try:
            configured(project, nested(key, other))
        except ConfigError:
            continue
        return other
    return None


# What the names in keys of these names are names of, in the paper's settings.
_SECTIONS = {
    "model": "models",
    "surrogate": "models",
    "images": "images",
    "learn_from": "images",
    "coder": "coders",
    "signals": "signals",
}


def _others(key: Key, value: Any, described: Mapping[str, Any]) -> Iterator[Any]:
    """Values that a key might take instead, likely ones first."""
    name = key[-1]
    if name == "kind" or value == {}:
        return  # Another kind has other keys, and each key of a mapping is a key of its own.
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + step for step in (1, 2, 6, -1, 40))
    elif isinstance(value, float):
        yield from (value * 1.01, value * 0.99) if value else (0.5,)
    elif isinstance(value, list):
        if value and isinstance(value[0], int | float):
            yield from ([other, *value[1:]] for other in _others(key, value[0], described))
        elif value:
            yield from (value[:i] + value[i + 1 :] for i in reversed(range(len(value))))
        yield from ([0.5], ["http://mirror.example"])
    elif "reads" in key[:-1]:
        paper = described["settings"][key[1]]
        section = {"experiment": "experiments", "analysis": "analyses"}.get(name, "attacks")
        files = [path.name for path in (PAPERS / key[1] / "reference").iterdir()]
        others = {"reference": files, "dataset": list(described["roles"])}
        yield from (other for other in others.get(name, paper[section]) if other != value)
    elif name == "function":
        module, _, function = value.rpartition(".")
        text = (PAPERS / key[1] / f"{module}.py").read_text()
        functions = re.findall(r"(?m)^def ([a-z]\w*)", text)
        yield from (f"{module}.{other}" for other in functions if other != function)
    elif name in _SECTIONS:
        section = described["settings"][key[1]][_SECTIONS[name]]
        # The last one first, which others do not name.
        yield from (other for other in reversed(section) if other != value)
    elif key[0] == "roles":
        yield from (other for other in described["datasets"] if other != value)
    elif name in _words():
        yield from (word for word in (*_words()[name], 1) if word != value)
    elif value is None:
        yield from (1, 0.5)
    else:
        yield from (1, f"{value}, changed")


@functools.cache
def _words() -> dict[str, list[str]]:
    """The words that the schema knows for keys of a name, but for kinds, which have other keys."""
    found: dict[str, list[str]] = {}

    def walk(node: Any, name: str) -> None:
        if isinstance(node, dict):
            for word in node.get("enum", []):
                found.setdefault(name, []).append(word)
            for entry, value in node.items():
                if entry == "properties":
                    for below, schema in value.items():
                        walk(schema, below)
                else:
                    walk(value, name)
        elif isinstance(node, list):
            for value in node:
                walk(value, name)

    walk(json.loads(SCHEMA.read_text()), "")
    return found
