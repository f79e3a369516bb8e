"""YAML files that remember where each key stands, and how they are laid over one another."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from advsparse.errors import ConfigError

Key = tuple[str | int, ...]
Values = dict[str, Any]

_DEEPEST = 50
_MOST = 100_000


@dataclass(frozen=True)
class Place:
    """Where a key stands."""

    file: Path | None
    """None for the command line."""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{shown(self.file)}:{self.line}" if self.file else "the command line (--config)"

    def excerpt(self) -> str:
        """The line itself with a caret below the key; empty for the command line."""
        if not self.file:
            return ""
        text = self.file.read_text(encoding="utf-8").splitlines()[self.line - 1]
        margin = f"{self.line:5d} | "
        return f"{margin}{text}\n{' ' * (len(margin) - 2)}| {' ' * self.column}^"


@dataclass(frozen=True)
class Unreadable:
    """A part of a file that can't be read, beside which the others can."""

    place: Place
    said: str
    """The message behind the place."""
    key: Key | None = None
    """The key that has no value for it; none for one that stands there twice."""

    def __str__(self) -> str:
        return f"{self.place}: {self.said}\n{self.place.excerpt()}"


@dataclass
class Tree:
    """A configuration tree and the place of each of its keys."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[Key, Place] = field(default_factory=dict)
    removed: set[Key] = field(default_factory=set)
    """What null has removed, which another null may name again."""
    unreadable: list[Unreadable] = field(default_factory=list)

    def place(self, key: Key) -> Place | None:
        """The place of ``key``, or of the nearest key above it that was written somewhere."""
        for length in range(len(key), 0, -1):
            if key[:length] in self.places:
                return self.places[key[:length]]
        return None

    def below(self, prefix: Key) -> Tree:
        """This tree as the value of ``prefix``."""
        values: Any = self.values
        for part in reversed(prefix):
            values = {part: values}
        places = {prefix + key: place for key, place in self.places.items()}
        unreadable = [
            replace(part, key=None if part.key is None else prefix + part.key)
            for part in self.unreadable
        ]
        return Tree(values, places, unreadable=unreadable)

    def overlay(self, top: Tree, keep_null: bool = False) -> Tree:
        """``top`` laid over this tree.

        Mappings are merged; everything else replaces. A plugin of another ``kind`` replaces the
        whole mapping, whose keys belong to the former kind, and null removes a mapping or a list;
        with ``keep_null`` the null stays, for what lies below this tree.
        """
        places, removed = dict(self.places), set(self.removed)
        values = merge(self.values, top.values, (), places, None if keep_null else removed)
        return Tree(values, places | top.places, removed, self.unreadable + top.unreadable)


def merge(
    bottom: Values, top: Values, key: Key, places: dict[Key, Place], removed: set[Key] | None
) -> Values:
    """``top`` over ``bottom``, both at ``key``; ``removed`` notes what null removes, if it does."""
    merged = dict(bottom)
    for name, value in top.items():
        old, here = merged.get(name), (*key, name)
        if isinstance(old, dict) and isinstance(value, dict) and _goes_with(old, value):
            merged[name] = merge(old, value, here, places, removed)
        elif isinstance(old, dict) or (isinstance(old, list) and value is None):
            for known in [k for k in places if k[: len(here)] == here]:
                del places[known]
            merged.pop(name)
            if value is None and removed is not None:
                removed.add(here)
            else:
                merged[name] = value
        elif value is None and removed and here in removed:
            continue
        else:
            merged[name] = value
    return merged


def _goes_with(old: Values, new: Values) -> bool:
    """Whether keys of two mappings may stand beside one another: not those of two kinds."""
    return new.get("kind", old.get("kind")) == old.get("kind")


def read_yaml(path: Path) -> Tree:
    """The mapping in a YAML file, with the place of each key, and notes of what is unreadable.

    Raises ConfigError where nothing of it can be read: for a missing file, a syntax error, and
    anything but a mapping at the top.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{shown(path)}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown(path)}: is not UTF-8 text: {error.reason}") from None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        tree = Tree()
        if node is not None:
            if not isinstance(node, yaml.MappingNode):
                raise ConfigError(f"{shown(path)}:1: expected keys with values at the top level")
            tree.values = _construct(loader, node, (), tree, path)
    except RecursionError:
        raise ConfigError(f"{shown(path)}: is nested too deeply, or refers to itself") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(path, mark.line + 1, mark.column) if mark else None
        where = f"{place}" if place else shown(path)
        lines = text.splitlines()
        excerpt = f"\n{place.excerpt()}" if place and place.line <= len(lines) else ""
        raise ConfigError(f"{where}: not valid YAML: {error.problem}{excerpt}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{shown(path)}: not valid YAML: {error}") from None
    return tree


def shown(path: Path) -> str:
    """``path`` as the user would write it: relative to the working directory if below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


_YAML = "tag:yaml.org,2002:"
_BOOL, _INT, _FLOAT = f"{_YAML}bool", f"{_YAML}int", f"{_YAML}float"


class _Loader(yaml.SafeLoader):
    """YAML 1.1 without its surprises: 1e-3 is a number; yes, no, on and off are words, and so are
    times, dates and 12:30; 010 is ambiguous."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        letter: [
            (tag, pattern)
            for tag, pattern in resolvers
            if tag not in (_BOOL, _INT, _FLOAT, f"{_YAML}timestamp", f"{_YAML}value")
        ]
        for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|false|True|False)$"), list("tfTF"))
_Loader.add_implicit_resolver(
    _INT,
    re.compile(r"^[-+]?(?:0|[1-9][0-9_]*|0[0-7_]+|0b[01_]+|0x[0-9a-fA-F_]+)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(
        r"^[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?"
        r"|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?"
        r"|[0-9][0-9_]*[eE][-+]?[0-9]+|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


_NOTHING = object()
"""In place of a value that can't be read."""

_LEADING_ZEROS = re.compile(r"[-+]?0[0-9_]+")


class _AmbiguousError(ValueError):
    """A number that YAML 1.1 reads as octal, YAML 1.2 and people as decimal."""

    def __init__(self, text: str) -> None:
        decimal = text.replace("_", "").replace("+", "")
        sign, digits = decimal[: decimal.startswith("-")], decimal.lstrip("-").lstrip("0") or "0"
        super().__init__(
            f"{text} is ambiguous, as some read leading zeros as octal: "
            f"write {sign}{digits}, or '{text}' for text"
        )


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    if _LEADING_ZEROS.fullmatch(node.value):
        raise _AmbiguousError(node.value)
    if ":" in node.value:  # !!int 1:30
        raise ValueError(node.value)
    return loader.construct_yaml_int(node)


_Loader.add_constructor(_INT, _integer)
# Merges mappings where it is a key; as a value it is a word.
_Loader.add_constructor(f"{_YAML}merge", _Loader.construct_yaml_str)


def _overridden(pairs: list[Any], own: set[int]) -> list[Any]:
    """A mapping's pairs without those that ``<<`` brought in and that it overrides itself."""
    last = {name.value: index for index, (name, _) in enumerate(pairs) if _is_word(name)}
    return [
        (name, value)
        for index, (name, value) in enumerate(pairs)
        if id(name) in own or not _is_word(name) or last[name.value] == index
    ]


def _is_word(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode)


def _construct(loader: _Loader, node: yaml.Node, key: Key, tree: Tree, path: Path) -> Any:
    if len(key) > _DEEPEST:
        raise RecursionError
    if len(tree.places) > _MOST:
        raise ConfigError(f"{shown(path)}: has more than {_MOST} keys, aliases counted each time")
    if isinstance(node, yaml.MappingNode):
        own = {id(name) for name, _ in node.value}
        loader.flatten_mapping(node)
        node.value = _overridden(node.value, own)
        values: Values = {}
        for name_node, value_node in node.value:
            place = _place(name_node, path)
            name = _scalar(loader, name_node, key, place, tree) if _is_word(name_node) else None
            if name is _NOTHING:
                continue
            if name is None or isinstance(name, bool):
                tree.unreadable.append(Unreadable(place, "a key must be a word"))
                continue
            here = (*key, str(name))
            if here in tree.places:
                tree.unreadable.append(Unreadable(place, f"{dotted(here)} is given twice"))
                continue
            tree.places[here] = place
            value = _construct(loader, value_node, here, tree, path)
            if value is not _NOTHING:
                values[str(name)] = value
        return values
    if isinstance(node, yaml.SequenceNode):
        items = []
        for index, item in enumerate(node.value):
            here = (*key, index)
            tree.places[here] = _place(item, path)
            value = _construct(loader, item, here, tree, path)
            items.append(None if value is _NOTHING else value)
        return items
    return _scalar(loader, node, key, _place(node, path), tree)


def _place(node: yaml.Node, path: Path) -> Place:
    return Place(path, node.start_mark.line + 1, node.start_mark.column)


def _scalar(loader: _Loader, node: yaml.Node, key: Key, place: Place, tree: Tree) -> Any:
    """The value of ``node``, at or below ``key``; ``_NOTHING``, and a note, if it has none."""
    try:
        value = loader.construct_object(node, deep=True)
        if isinstance(value, str):
            value.encode()
    except _AmbiguousError as error:
        what = str(error)
    except (ValueError, LookupError):  # such as !!int x, 5000 digits, or half a surrogate pair
        what = f"cannot be read as {node.tag.rpartition(':')[2]}"
    else:
        if value is None or isinstance(value, str | int | float):
            return value
        what = "expected a word, a number, true, false or null"
    said = f"{dotted(key)}: {what}" if key else what
    tree.unreadable.append(Unreadable(place, said, key))
    return _NOTHING


def scalar(text: str) -> str | int | float | bool | None:
    """What ``text`` is where it stands in a file, without quotes; nothing, which has lost its own,
    is text."""
    if not text:
        return text
    loader = _Loader("")
    tag = loader.resolve(yaml.ScalarNode, text, (True, False))
    try:
        return loader.construct_object(yaml.ScalarNode(tag, text))
    except ValueError:  # such as 5000 digits, and leading zeros, which no number has
        return text


def dotted(key: Key) -> str:
    """A key as the user would name it: settings.frecon2021.attacks."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).lstrip(".")
