"""From effects to the verdict on a claim, in words that say what was shown and what was not.

A claim is one part or several, each an effect with a margin. It is supported if every part is, each
at the level (an intersection-union test: no correction is called for), and contradicted if any part
is, by Holm's correction over the parts: parts are never tallied. Over the claims of a paper, the
false discovery rate is held (Benjamini and Hochberg).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal, Protocol

import numpy as np

from advsparse.evaluate.effects import ALPHA, ENOUGH, Effect

Expects = Literal["more", "no_less", "alike"]


class Class(StrEnum):
    """What a verdict comes to; totals are by class."""

    SUPPORTED = "supported"
    DIRECTION = "supported in direction, not in size"
    CONTRADICTED = "contradicted"
    NO_DIFFERENCE = "contradicted: no difference"
    UNDECIDED = "undecided"
    RUN = "depends on the run"
    SETTING = "depends on a setting the paper leaves open"
    INCOMPARABLE = "not comparable"
    FAILED = "not judged"


DECIDED = (Class.SUPPORTED, Class.DIRECTION, Class.CONTRADICTED, Class.NO_DIFFERENCE)


class Statement(Protocol):
    """What a claim states, or a part of it, with the p of each test that decides on it."""

    @property
    def effects(self) -> Sequence[Effect]:
        """The effects that it speaks of."""

    @property
    def support(self) -> float:
        """The p of the test for it; NaN where nothing can be tested."""

    @property
    def opposition(self) -> Mapping[Class, float]:
        """The p of each test against it."""

    @property
    def size_support(self) -> float:
        """The p of the test that the size is the paper's; 0 where the claim gives none."""

    @property
    def size_opposition(self) -> float:
        """The p of the test that the size is another one than the paper's."""

    def needed(self) -> int | None:
        """Runs that would decide, about; None where that can't be told."""


@dataclass(frozen=True)
class Part:
    """One effect that a claim speaks of.

    expects: ``more``, that it is above 0; ``no_less``, that it is above minus the margin; or
    ``alike``, that it is 0 to within the margin. margin: the effect that would matter, in the
    effect's unit; size: the paper's own number, about which the effect has to lie within the margin
    too.
    """

    effect: Effect
    margin: float
    expects: Expects = "more"
    size: float | None = None

    @property
    def effects(self) -> tuple[Effect]:
        return (self.effect,)

    @property
    def support(self) -> float:
        if self.expects == "alike":
            return self._within(0.0)
        return self.effect.p("above", 0.0 if self.expects == "more" else -self.margin)

    @property
    def size_support(self) -> float:
        return 0.0 if self.size is None else self._within(self.size)

    @property
    def opposition(self) -> dict[Class, float]:
        if self.expects == "alike":
            return {Class.CONTRADICTED: self._outside(0.0)}
        if self.expects == "no_less":
            return {Class.CONTRADICTED: self.effect.p("below", -self.margin)}
        return {
            Class.CONTRADICTED: self.effect.p("below"),
            Class.NO_DIFFERENCE: self._within(0.0),
        }

    @property
    def size_opposition(self) -> float:
        return 1.0 if self.size is None else self._outside(self.size)

    def needed(self) -> int | None:
        return self.effect.runs_needed(-self.margin if self.expects == "no_less" else 0.0)

    def _within(self, centre: float) -> float:
        """Two one-sided tests: the effect is less than the margin away from ``centre``."""
        low, high = centre - self.margin, centre + self.margin
        return max(self.effect.p("above", low), self.effect.p("below", high))

    def _outside(self, centre: float) -> float:
        low, high = centre - self.margin, centre + self.margin
        return min(self.effect.p("below", low), self.effect.p("above", high))


@dataclass(frozen=True)
class _Several:
    """Statements that make up one."""

    parts: Sequence[Statement]

    size_support, size_opposition = 0.0, 1.0

    @property
    def effects(self) -> tuple[Effect, ...]:
        return tuple(effect for part in self.parts for effect in part.effects)


class AllOf(_Several):
    """A statement that holds if all of its parts do: a trade-off on both of its coordinates."""

    @property
    def support(self) -> float:
        return _worst(part.support for part in self.parts)

    @property
    def opposition(self) -> dict[Class, float]:
        return {Class.CONTRADICTED: _least(_holm([_denial(part) for part in self.parts]))}

    def needed(self) -> int | None:
        return _needed(self.parts)


class AnyOf(_Several):
    """A statement that holds if one of its parts does: one point of a curve that is better.

    Which one is not said beforehand, so that the p of the best counts as often as there are parts.
    It is contradicted only if every part is.
    """

    @property
    def support(self) -> float:
        return min(1.0, len(self.parts) * _least(part.support for part in self.parts))

    @property
    def opposition(self) -> dict[Class, float]:
        return {Class.CONTRADICTED: _worst(_denial(part) for part in self.parts)}

    def needed(self) -> int | None:
        known = [count for part in self.parts if (count := part.needed()) is not None]
        return min(known, default=None)


def _denial(part: Statement) -> float:
    """The p of the test that a part of a statement is not so, by a margin that would matter."""
    if isinstance(part, Part) and part.expects == "more":
        return part.effect.p("below", part.margin)
    return _least(part.opposition.values())


@dataclass(frozen=True)
class Verdict:
    """A class, and what belongs to it."""

    kind: Class
    p: float = math.nan
    """Of the decision that was made, corrected for the parts; NaN where none was."""
    runs: int = 0
    needed: int | None = None
    """Runs that would decide, where it is undecided: about."""
    what: str = ""
    """The setting that it depends on, or why it is not judged."""

    @property
    def counts(self) -> bool:
        """Whether it belongs into totals: one on fewer runs speaks of these networks alone."""
        return self.runs >= ENOUGH or self.kind in (Class.INCOMPARABLE, Class.FAILED)

    def __str__(self) -> str:
        said = str(self.kind)
        if self.kind is Class.UNDECIDED and self.needed:
            said += f" (about {self.needed} runs needed)"
        elif self.what:
            said += f": {self.what}"
        if self.counts or not self.runs:
            return said
        return f"{'one run' if self.runs == 1 else f'{self.runs} runs'}: {said}"


def judged(parts: Sequence[Statement], level: float = ALPHA) -> Verdict:
    """The verdict on a claim of ``parts``, at a ``level`` of each decision."""
    runs = min(len(effect.runs) for part in parts for effect in part.effects)
    support = _worst(part.support for part in parts)
    if support <= level:
        sized = _worst(part.size_support for part in parts)
        if sized <= level:
            return Verdict(Class.SUPPORTED, max(support, sized), runs)
        if (other := _least(_holm([part.size_opposition for part in parts]))) <= level:
            return Verdict(Class.DIRECTION, max(support, other), runs)
        return _undecided(parts, runs)
    strongest = [min(part.opposition.items(), key=lambda item: _rank(item[1])) for part in parts]
    corrected = _holm([p for _, p in strongest])
    against = [
        (kind is Class.NO_DIFFERENCE, p, kind)
        for (kind, _), p in zip(strongest, corrected, strict=True)
        if p <= level
    ]
    if against:  # the other way is more than none at all
        _, p, kind = min(against)
        return Verdict(kind, p, runs)
    if any(_runs_disagree(part, level) for part in parts if isinstance(part, Part)):
        return Verdict(Class.RUN, runs=runs)
    return _undecided(parts, runs)


def over_settings(setting: str, verdicts: Mapping[str, Verdict]) -> Verdict:
    """One verdict for all values of a setting that the paper leaves open, from that for each."""
    found = list(verdicts.values())
    if {_speaks(verdict.kind) for verdict in found} >= {-1, 1}:
        return Verdict(Class.SETTING, runs=min(v.runs for v in found), what=setting)
    # Of verdicts that go together the one that says least.
    least = max(found, key=lambda v: (v.kind not in DECIDED, v.kind is not Class.SUPPORTED, v.p))
    kinds = {verdict.kind for verdict in found}
    if kinds == {Class.CONTRADICTED, Class.NO_DIFFERENCE}:
        return replace(least, kind=Class.CONTRADICTED)
    return least


def discoveries(verdicts: Sequence[Verdict], level: float = ALPHA) -> list[Verdict]:
    """The verdicts of a paper, with its false discovery rate held at a ``level``: a decision that
    does not stand among so many is none."""
    from scipy import stats

    made = [index for index, verdict in enumerate(verdicts) if verdict.kind in DECIDED]
    others = [v for v in verdicts if v.kind in (Class.UNDECIDED, Class.RUN)]
    if not made:
        return list(verdicts)
    # Those that decided nothing were tested too.
    p = [verdicts[index].p for index in made] + [1.0] * len(others)
    adjusted = stats.false_discovery_control(np.clip(p, 0, 1))
    found = list(verdicts)
    for index, q in zip(made, adjusted, strict=False):
        if q > level:
            found[index] = replace(verdicts[index], kind=Class.UNDECIDED, p=math.nan)
    return found


def _holm(p: Sequence[float]) -> list[float]:
    """Holm's corrected p: the smallest of m counts m-fold, the next m - 1-fold, and none less than
    one before it. What has no p has none."""
    order = sorted(range(len(p)), key=lambda index: _rank(p[index]))
    corrected, least = [math.nan] * len(p), 0.0
    for position, index in enumerate(order):
        if math.isnan(p[index]):
            continue
        least = max(least, min(1.0, (len(p) - position) * p[index]))
        corrected[index] = least
    return corrected


def _worst(p: Iterable[float]) -> float:
    return max(map(_rank, p))


def _least(p: Iterable[float]) -> float:
    return min(map(_rank, p))


def _rank(p: float) -> float:
    return math.inf if math.isnan(p) else p


def _runs_disagree(part: Part, level: float) -> bool:
    """Whether runs are significant both ways, each alone and all of them allowed for."""
    if part.effect.unit == "number":
        return False
    count = len(part.effect.runs)
    alone = [part.effect.of_run(index) for index in range(count)]
    return all(any(run.p(side) <= level / count for run in alone) for side in ("above", "below"))


def _needed(parts: Sequence[Statement]) -> int | None:
    """Runs that would decide all parts, about; None where that can't be told."""
    needed = [part.needed() for part in parts]
    known = [count for count in needed if count is not None]
    return max(known) if len(known) == len(needed) else None


def _undecided(parts: Sequence[Statement], runs: int) -> Verdict:
    """The verdict where ``runs`` decide nothing, and then not those that parts alone would need."""
    needed = _needed(parts)
    return Verdict(Class.UNDECIDED, runs=runs, needed=needed and max(needed, runs + 1))


def _speaks(kind: Class) -> int:
    if kind in (Class.SUPPORTED, Class.DIRECTION):
        return 1
    return -1 if kind in (Class.CONTRADICTED, Class.NO_DIFFERENCE) else 0
