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
from typing import Literal

import numpy as np

from advsparse.evaluate.effects import ALPHA, ENOUGH, Effect

Expects = Literal["more", "alike"]


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


@dataclass(frozen=True)
class Part:
    """One effect that a claim speaks of.

    expects: ``more``, that it is above 0, or ``alike``, that it is 0 to within the margin; margin:
    the effect that would matter, in the effect's unit; size: the paper's own number, about which the
    effect has to lie within the margin too.
    """

    effect: Effect
    margin: float
    expects: Expects = "more"
    size: float | None = None
    name: str = ""

    @property
    def support(self) -> float:
        """The p of the test for the claim."""
        if self.expects == "alike":
            return self._within(0.0)
        return self.effect.p("above")

    @property
    def size_support(self) -> float:
        """The p of the test that the size is the paper's; 0 where the claim gives none."""
        return 0.0 if self.size is None else self._within(self.size)

    @property
    def opposition(self) -> dict[Class, float]:
        """The p of each test against the claim."""
        if self.expects == "alike":
            return {Class.CONTRADICTED: self._outside(0.0)}
        return {
            Class.CONTRADICTED: self.effect.p("below"),
            Class.NO_DIFFERENCE: self._within(0.0),
        }

    @property
    def size_opposition(self) -> float:
        """The p of the test that the size is another one than the paper's."""
        return 1.0 if self.size is None else self._outside(self.size)

    def _within(self, centre: float) -> float:
        """Two one-sided tests: the effect is less than the margin away from ``centre``."""
        low, high = centre - self.margin, centre + self.margin
        return max(self.effect.p("above", low), self.effect.p("below", high))

    def _outside(self, centre: float) -> float:
        low, high = centre - self.margin, centre + self.margin
        return min(self.effect.p("below", low), self.effect.p("above", high))


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
    """The setting that it depends on, or what failed."""

    @property
    def counts(self) -> bool:
        """Whether it belongs into totals: a verdict on fewer runs speaks of these networks alone."""
        return self.runs >= ENOUGH or self.kind in (Class.INCOMPARABLE, Class.FAILED)

    def __str__(self) -> str:
        said = str(self.kind)
        if self.kind is Class.UNDECIDED and self.needed:
            said += f" (about {self.needed} runs needed)"
        elif self.kind is Class.SETTING:
            said += f": {self.what}"
        elif self.kind is Class.FAILED:
            said += f": {self.what} failed"
        if self.counts or not self.runs:
            return said
        return f"{'one run' if self.runs == 1 else f'{self.runs} runs'}: {said}"


def judged(parts: Sequence[Part], level: float = ALPHA) -> Verdict:
    """The verdict on a claim of ``parts``, at a ``level`` of each decision."""
    runs = min(len(part.effect.runs) for part in parts)
    support = _worst(part.support for part in parts)
    if support <= level:
        sized = _worst(part.size_support for part in parts)
        if sized <= level:
            return Verdict(Class.SUPPORTED, max(support, sized), runs)
        if (other := min(_holm([part.size_opposition for part in parts]))) <= level:
            return Verdict(Class.DIRECTION, max(support, other), runs)
        return Verdict(Class.UNDECIDED, runs=runs, needed=_needed(parts))
    strongest = [min(part.opposition.items(), key=lambda item: _rank(item[1])) for part in parts]
    corrected = _holm([p for _, p in strongest])
    kind, p = min(
        ((kind, p) for (kind, _), p in zip(strongest, corrected, strict=True)),
        key=lambda item: _rank(item[1]),
    )
    if p <= level:
        return Verdict(kind, p, runs)
    if any(_runs_disagree(part, level) for part in parts):
        return Verdict(Class.RUN, runs=runs)
    return Verdict(Class.UNDECIDED, runs=runs, needed=_needed(parts))


def over_settings(setting: str, verdicts: Mapping[str, Verdict]) -> Verdict:
    """One verdict for all values of a setting that the paper leaves open, from that for each."""
    found = list(verdicts.values())
    if {_speaks(verdict.kind) for verdict in found} >= {-1, 1}:
        return Verdict(Class.SETTING, runs=min(v.runs for v in found), what=setting)
    # Of verdicts that go together the one that says least.
    return max(found, key=lambda v: (v.kind not in DECIDED, v.kind is not Class.SUPPORTED, v.p))


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


def _rank(p: float) -> float:
    return math.inf if math.isnan(p) else p


def _runs_disagree(part: Part, level: float) -> bool:
    """Whether runs are significant both ways, each alone and all of them allowed for."""
    count = len(part.effect.runs)
    alone = [part.effect.of_run(index) for index in range(count)]
    return all(any(run.p(side) <= level / count for run in alone) for side in ("above", "below"))


def _needed(parts: Sequence[Part]) -> int | None:
    """Runs that would decide all parts, about; None where that can't be told."""
    needed = [part.effect.runs_needed() for part in parts]
    known = [count for count in needed if count is not None]
    return max(known) if len(known) == len(needed) else None


def _speaks(kind: Class) -> int:
    if kind in (Class.SUPPORTED, Class.DIRECTION):
        return 1
    return -1 if kind in (Class.CONTRADICTED, Class.NO_DIFFERENCE) else 0
