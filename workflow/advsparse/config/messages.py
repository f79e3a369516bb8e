"""What is wrong with a configuration, said with file, line, key and the nearest known key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from advsparse.config.mistakes import Mistake, nearest, short
from advsparse.config.schema import subschema
from advsparse.config.sources import Key, Place, Tree, Unreadable, dotted
from advsparse.errors import ConfigError

WORKFLOW = Path(__file__).parents[2]
_MOST = 20
_LEADING_ZEROS = re.compile(r"[-+]?0[0-9]+")


def refuse(tree: Tree, mistakes: Iterable[Mistake]) -> None:
    """Raise ConfigError with all ``mistakes`` and all that is unreadable, each at its place, if
    there is any."""
    placed = {
        _placed(tree, mistake) for mistake in mistakes if not _follows(mistake, tree.unreadable)
    }
    blocks = [
        *((_order(tree, m.key), m.text, _block(tree, m)) for m in _told_once(tree, placed)),
        *((_order(tree, p.key or (), p.place), p.said, str(p)) for p in tree.unreadable),
    ]
    said = [block for _, _, block in sorted(blocks)]
    if len(said) > _MOST:
        said[_MOST:] = [f"and {len(said) - _MOST} more"]
    if said:
        raise ConfigError("\n".join(said))


def _follows(mistake: Mistake, unreadable: list[Unreadable]) -> bool:
    """Whether a mistake may be that a value is missing which can't be read."""
    keys = (part.key for part in unreadable if part.key is not None)
    return any(mistake.key == key[:-1] or mistake.key[: len(key)] == key for key in keys)


def _placed(tree: Tree, mistake: Mistake) -> Mistake:
    """A mistake at the one of its keys that the user has written, as it stands there."""
    key, instead = mistake.key, mistake.instead
    if instead in tree.places and own(tree, instead) and not own(tree, key):
        key = instead
    return Mistake(written(key, tree.values), mistake.text)


def _told_once(tree: Tree, placed: set[Mistake]) -> Iterator[Mistake]:
    """The causes; of entries that one in the file stands for, the first with their number."""
    same: dict[tuple[Place, str], list[Key]] = {}
    for mistake in sorted(_causes(tree, placed), key=lambda mistake: [*map(str, mistake.key)]):
        place = tree.place(mistake.key)
        if place is None or place.file is None:
            yield mistake
        else:
            same.setdefault((place, mistake.text), []).append(mistake.key)
    for (_, text), (key, *others) in same.items():
        alike = [other for other in others if other[-1:] == key[-1:]]
        more = f" (and of {len(alike)} more entries that this one stands for)" if alike else ""
        yield Mistake(key, text + more)
        for other in others:
            if other not in alike:
                yield Mistake(other, text)


def _causes(tree: Tree, placed: set[Mistake]) -> set[Mistake]:
    """The mistakes where the user has written something, if there are any.

    The papers and presets go together: what is wrong there follows from what was laid over them,
    also where that is a null.
    """
    written_here = {mistake for mistake in placed if own(tree, mistake.key)}
    others = sorted(placed - written_here, key=lambda mistake: _order(tree, mistake.key))
    for key in tree.removed:
        needed = [mistake for mistake in others if repr(key[-1]) in mistake.text]
        if needed and own(tree, key):
            more = f" (and {len(needed) - 1} more)" if needed[1:] else ""
            first = f"{dotted(needed[0].key)}: {needed[0].text}"
            written_here.add(Mistake(key, f"null removes what is still needed: {first}{more}"))
    return written_here or placed


def own(tree: Tree, key: Key) -> bool:
    """Whether what stands at a key is the user's, and not a paper's or a preset's."""
    place = tree.place(key)
    return place is not None and not (place.file and place.file.resolve().is_relative_to(WORKFLOW))


def written(key: Key, values: Any) -> Key:
    """A key without the names that a list in their place has left out."""
    found: list[str | int] = []
    for part in key:
        if isinstance(values, list) and isinstance(part, str):
            continue
        found.append(part)
        if isinstance(values, list) and isinstance(part, int):
            values = values[part] if part < len(values) else None
        else:
            values = values.get(part) if isinstance(values, dict) else None
    return tuple(found)


def _order(tree: Tree, key: Key, place: Place | None = None) -> tuple[str, int, int, int]:
    """By file and line; of mistakes on one line, those of single values come first, from left to
    right, and then those of what holds them."""
    place = place or tree.place(key)
    return (str(place.file), place.line, -len(key), place.column) if place else ("", 0, 0, 0)


def _block(tree: Tree, mistake: Mistake) -> str:
    place = tree.place(mistake.key)
    if place is None:
        return f"{dotted(mistake.key) or 'configuration'}: {mistake.text}"
    excerpt = place.excerpt()
    text = f"{place}: {dotted(mistake.key)}: {mistake.text}"
    return f"{text}\n{excerpt}" if excerpt else text


def from_pydantic(error: ValidationError, tree: Tree) -> list[Mistake]:
    """The errors of a validation as mistakes at keys of ``tree``."""
    texts: dict[Key, list[str]] = {}
    for entry in error.errors(include_url=False):
        location = entry["loc"]
        if location and location[-1] == "[key]":
            mistake = _bad_name(entry, location[:-1], tree)
        else:
            key, value = _located(location, tree.values, entry["type"].startswith("missing"))
            mistake = _mistake(entry, key, value, tree)
        texts.setdefault(mistake.key, []).append(mistake.text)
    return [Mistake(key, _together(said)) for key, said in texts.items()]


def _together(texts: list[str]) -> str:
    """All that is wrong at a key; where each arm of a union has had its say, in one sentence."""
    same = "input should be a valid "
    if len(texts) == 1 or not all(text.startswith(same) for text in texts):
        return "; ".join(dict.fromkeys(texts))
    wanted = [text.removeprefix(same).partition(", ")[0] for text in texts]
    return f"{same}{', '.join(wanted[:-1])} or {texts[-1].removeprefix(same)}"


def _bad_name(entry: Mapping[str, Any], location: Key, tree: Tree) -> Mistake:
    """What is wrong with a key itself, where keys are free or from a list."""
    key, _ = _located(location, tree.values)
    if entry["type"] == "literal_error":
        known = entry["ctx"]["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        return Mistake(key, f"unknown key {key[-1]!r}; {nearest(str(key[-1]), known)}")
    text = "a name begins with a letter and has letters, digits, '_' and '-' only"
    return Mistake(key, text)


def _located(location: Key, values: Any, missing: bool = False) -> tuple[Key, Any]:
    """The key in the tree for a location of pydantic's, which also names variants of unions."""
    key: list[str | int] = []
    variant = None
    for index, part in enumerate(location):
        if isinstance(values, dict) and part == values.get("kind") and variant is not values:
            variant = values  # a location names the kind once, before the plugin's own keys
            continue
        inside = isinstance(values, list) and isinstance(part, int) and part < len(values)
        if inside or (isinstance(values, dict) and part in values):
            values = values[part]
        elif missing and index == len(location) - 1:
            values = None
        else:
            continue
        key.append(part)
    return tuple(key), values


def _mistake(entry: Mapping[str, Any], key: Key, value: Any, tree: Tree) -> Mistake:
    match entry["type"]:
        case "unexpected_keyword_argument" | "extra_forbidden":
            known = subschema(key[:-1], tree.values).get("properties", {})
            return Mistake(key, f"unknown key {key[-1]!r}; {nearest(str(key[-1]), known)}")
        case "missing" | "missing_argument" | "missing_keyword_only_argument":
            if key in tree.places:
                return Mistake(key, "is needed: null removes it")
            return Mistake(key[:-1], f"the key {key[-1]!r} is missing")
        case "union_tag_not_found":
            return Mistake(key, "the key 'kind' is missing")
        case "union_tag_invalid":
            kinds = [tag.strip().strip("'") for tag in entry["ctx"]["expected_tags"].split(",")]
            kind = entry["ctx"]["tag"]
            return Mistake((*key, "kind"), f"unknown kind {kind!r}; {nearest(kind, kinds)}")
        case "literal_error":
            known = map(str, subschema(key, tree.values).get("enum", []))
            near = difflib.get_close_matches(str(value), known, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            return Mistake(key, f"expected {entry['ctx']['expected']}, got {short(value)}{hint}")
        case "value_error":
            return Mistake(key, str(entry["ctx"]["error"]))
        case "dataclass_type" | "dict_type" | "model_type" | "model_attributes_type":
            return Mistake(key, f"expected a mapping of keys to values, got {short(value)}")
        case _:
            text = entry["msg"][0].lower() + entry["msg"][1:]
            zeros = isinstance(value, str) and _LEADING_ZEROS.fullmatch(value)
            hint = ": a number has no leading zeros" if zeros else ""
            return Mistake(key, f"{text}, got {short(value)}{hint}")
