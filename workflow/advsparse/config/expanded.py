"""Entries that stand for several: ``for_each``.

    attacks:
      "pgd_for_{model}":
        for_each: {model: [jpeg, tvm]}
        method: {kind: pgd, norm: linf, eps: 0.03}
        model: "{model}"
        images: attacked

is two attacks, ``pgd_for_jpeg`` and ``pgd_for_tvm``: an entry for each combination of the values,
which take the place of the words in braces, in its name and all below it. What is nothing but such
a word becomes the value itself, a number say. An entry that stands under such a name by itself, in
a preset for example, is laid over it, and null removes it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from advsparse.config.sources import Key, Place, Tree, Unreadable, dotted, merge

FOR_EACH = "for_each"

_WORD = re.compile(r"\{(\w+)\}")


def expanded(tree: Tree) -> Tree:
    """The tree with the entries that those with ``for_each`` stand for in their place.

    Each has the place of the entry that it comes from. What can't be expanded is unreadable.
    """
    return _Expansion(tree).result()


@dataclass
class _Expansion:
    tree: Tree

    def result(self) -> Tree:
        self.found = Tree(removed=set(self.tree.removed), unreadable=[*self.tree.unreadable])
        self.several: set[Key] = set()
        self.found.values = self._mapping(self.tree.values, (), (), {})
        # Of what null removed, the place of the null is left.
        for key, place in self.tree.places.items():
            if not any(key[:length] in self.several for length in range(1, len(key) + 1)):
                self.found.places.setdefault(key, place)
        return self.found

    def _value(self, value: Any, old: Key, new: Key, words: Mapping[str, Any]) -> Any:
        if old in self.tree.places:
            self.found.places[new] = self.tree.places[old]
        if isinstance(value, dict):
            return self._mapping(value, old, new, words)
        if isinstance(value, list):
            return [self._value(v, (*old, i), (*new, i), words) for i, v in enumerate(value)]
        return _filled(value, words) if isinstance(value, str) else value

    def _mapping(self, values: Mapping[str, Any], old: Key, new: Key, words: Mapping[str, Any]):
        several = {k for k, v in values.items() if isinstance(v, dict) and FOR_EACH in v}
        found: dict[str, Any] = {}
        for name in (name for name in values if name in several):
            here = (*old, name)
            self.several.add(here)
            rest = {k: v for k, v in values[name].items() if k != FOR_EACH}
            for more in self._combinations(values[name], here):
                filled = str(_filled(name, {**words, **more}))
                if filled in found:
                    what = f"{dotted((*new, filled))} is given twice"
                    self._refuse(here, f"{what}: its name has to hold each word of {FOR_EACH}")
                    break
                found[filled] = self._value(rest, here, (*new, filled), {**words, **more})
        alone: dict[str, Any] = {}
        below, self.found.places = self.found.places, {}
        for name, value in values.items():
            if name not in several:
                filled = str(_filled(name, words))
                alone[filled] = self._value(value, (*old, name), (*new, filled), words)
        above, self.found.places = self.found.places, below
        if found:
            alone = merge(found, alone, new, below, set())
        below.update(above)
        return alone

    def _combinations(self, value: Mapping[str, Any], here: Key) -> Iterator[dict[str, Any]]:
        """The values of the words for each entry that one stands for."""
        given = value[FOR_EACH]
        if not isinstance(given, dict) or not all(
            isinstance(values, list) and values and not any(map(_is_nested, values))
            for values in given.values()
        ):
            key = (*here, FOR_EACH)
            self._refuse(key, f"{dotted(key)}: expected words, each with a list of its values")
            return
        for combination in itertools.product(*given.values()):
            yield dict(zip(given, combination, strict=True))

    def _refuse(self, key: Key, said: str) -> None:
        place = self.tree.place(key) or Place(None)
        self.found.unreadable.append(Unreadable(place, said))


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict | list) or value is None


def _filled(text: str, words: Mapping[str, Any]) -> Any:
    """A text with values in the place of the words that it names."""
    if "{" not in text:  # as nearly all
        return text
    if (whole := _WORD.fullmatch(text)) and whole[1] in words:
        return words[whole[1]]
    return _WORD.sub(lambda found: str(words.get(found[1], found[0])), text)
