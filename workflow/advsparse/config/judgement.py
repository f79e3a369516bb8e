"""All that is wrong with a merged configuration, also where a part of it has no meaning."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from advsparse.config.consistency import inconsistencies
from advsparse.config.messages import from_pydantic, own, written
from advsparse.config.mistakes import Mistake, nearest
from advsparse.config.model import Configuration
from advsparse.config.schema import adapter
from advsparse.config.sources import Key, Tree, Values


def judged(tree: Tree, preset: Path, workflow: Path) -> tuple[Configuration | None, list[Mistake]]:
    """The configuration that ``tree`` describes, if it does, and all that is wrong with it.

    What has mistakes is left out to look at the rest, and what may only follow from that is not
    told.
    """
    papers = sorted(path.parent.name for path in (workflow / "papers").glob("*/paper.yaml"))
    mistakes = [*_unknown_papers(tree, papers)]
    rest = _Rest(tree, mistakes)
    try:
        configuration = _validated(rest.values)
    except ValidationError as error:
        mistakes += from_pydantic(error, Tree(rest.values, tree.places))
        rest = _Rest(tree, mistakes)
        try:
            configuration = _validated(rest.values)
        except ValidationError:
            return None, mistakes
    found = inconsistencies(configuration, preset, workflow)
    mistakes += rest.told_apart(found)
    return (None if mistakes else configuration), mistakes


def _validated(values: Values) -> Configuration:
    text = json.dumps(values, ensure_ascii=False, default=str)
    return adapter().validate_json(text.encode(errors="replace"))


class _Rest:
    """The values of a tree without the smallest entries that mistakes stand in."""

    def __init__(self, tree: Tree, mistakes: list[Mistake]) -> None:
        self.tree = tree
        self.values = copy.deepcopy(tree.values) if mistakes else tree.values
        self.lost: set[str] = set()
        """The names of what is left out."""
        self.positions: list[int] | None = None
        """Where the papers that are left stand in the list that was written; none if all are."""
        for mistake in mistakes:
            self._leave_out(mistake.key)
        if mistakes:
            self._choose_papers()

    def _leave_out(self, key: Key) -> None:
        match key:
            case ("settings", paper, section, name, *_):
                above: Key = ("settings", paper, section, name)
            case ("settings" | "datasets" | "roles" as top, name, *_):
                above = (top, name)
            case ("papers", *_) | ():
                return
            case _:
                above = key[:1]
        values: Any = self.values
        for part in above[:-1]:
            values = values.get(part) if isinstance(values, dict) else None
        if isinstance(values, dict) and above[-1] in values:
            del values[above[-1]]
            self.lost.add(str(above[-1]))

    def _choose_papers(self) -> None:
        """Those that are asked for and can be looked at; where there is none, those that the user
        changes."""
        asked, settings = self.values.get("papers"), self.values.get("settings")
        known = settings if isinstance(settings, dict) else {}
        listed = asked if isinstance(asked, list) else []
        self.positions = [
            index for index, paper in enumerate(listed) if isinstance(paper, str) and paper in known
        ]
        self.values["papers"] = [listed[index] for index in self.positions] or [
            paper for paper in known if own(self.tree, ("settings", paper))
        ]

    def told_apart(self, found: Iterator[Mistake]) -> Iterator[Mistake]:
        """Of the mistakes found in the rest, those that are no consequence of what it lacks."""
        for mistake in found:
            if self.lost & _names_at(self.values, mistake.key):
                continue
            match mistake.key:
                case ("papers", int(index)) if self.positions is not None:
                    yield Mistake(("papers", self.positions[index]), mistake.text)
                case _:
                    yield mistake


def _names_at(values: Any, key: Key) -> set[str]:
    """The words at a key, and in the reading of a figure or table that it belongs to."""
    found: set[str] = set()
    key = written(key, values)
    for depth, part in enumerate(key, 1):
        if isinstance(values, dict):
            values = values.get(part)
        elif isinstance(values, list) and isinstance(part, int) and part < len(values):
            values = values[part]
        else:
            values = None
        if depth == len(key) or "reads" in key[:depth]:
            inside = values.values() if isinstance(values, dict) else values
            found |= {
                word
                for word in (inside if isinstance(values, dict | list) else [values])
                if isinstance(word, str)
            }
    return found


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
