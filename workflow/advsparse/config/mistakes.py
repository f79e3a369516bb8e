"""One thing wrong with a configuration, and the words that all messages about it share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from advsparse.config.sources import Key


@dataclass(frozen=True)
class Mistake:
    """One thing wrong, at one key."""

    key: Key
    text: str
    instead: Key | None = None
    """Where two keys do not go together, the other one: it is named if the user has written it."""

    def below(self, *above: str) -> Mistake:
        """The mistake of an entry, in all of the tree."""
        instead = None if self.instead is None else (*above, *self.instead)
        return Mistake((*above, *self.key), self.text, instead)


def nearest(word: str, known: Iterable[str]) -> str:
    """A sentence that names the known word nearest to ``word``, or all where none is near."""
    known = sorted(known)
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if found:
        return f"did you mean {found[0]!r}?"
    return f"known are {', '.join(known)}" if known else "none is known"


def short(value: Any) -> str:
    """A value as a message shows it."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
