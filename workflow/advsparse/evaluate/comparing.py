"""From a comparison and the tables of runs to effects, and to statements that can be tested."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from advsparse.evaluate.claims import Comparison, Measure, Rows
from advsparse.evaluate.effects import Effect, Unit
from advsparse.evaluate.matching import matching, told
from advsparse.evaluate.verdicts import AllOf, AnyOf, Part, Statement

Tables = Mapping[str, pd.DataFrame]
"""The tables of a run, by name."""


class Key(NamedTuple):
    """What a comparison compares, alike in each run: what both sides share, and the sides."""

    place: str
    a: str
    b: str
    measure: tuple[str, ...] = ()

    def __str__(self) -> str:
        sides = f"{self.a} against {self.b}" if self.b else self.a
        words = ", ".join((sides, *self.measure))
        return f"{self.place}: {words}" if self.place else words


@dataclass(frozen=True)
class Found:
    """One effect that a claim speaks of, as the claim's table shows it."""

    key: Key
    measure: Measure
    part: Part

    @property
    def effect(self) -> Effect:
        return self.part.effect

    def __str__(self) -> str:
        """The effect of a on b with its interval; a ratio is told as one."""
        shown = [self.effect.value, *self.effect.interval]
        if self.measure.expects in ("below", "not_above"):
            shown = [0.0 - shown[0], 0.0 - shown[2], 0.0 - shown[1]]  # no -0 of 0
        if self.measure.scale == "ratio":
            shown = list(map(math.exp, shown))
        first, low, high = (f"{value:.3g}" for value in shown)
        sign = "" if first.startswith("-") or self.measure.scale == "ratio" else "+"
        times = "x " if self.measure.scale == "ratio" else ""
        ends = "" if math.isnan(shown[1]) else f" [{low}, {high}]"
        return f"{times}{sign}{first}{ends}"


def statements(part: Comparison, runs: Sequence[Tables]) -> tuple[list[Statement], list[Found]]:
    """What a comparison states of the tables of ``runs``, and the effects that it speaks of."""
    if part.along is not None:
        return _along(part, runs)
    measures = [part, *part.and_also, *part.or_else]
    # A measure reads rows of its own: both sides are found anew for each.
    by_measure = [_effects(part, measure, runs) for measure in measures]
    made: list[Statement] = []
    leaves: list[Found] = []
    groups: dict[tuple[str, str], list[Statement]] = {}
    for key in dict.fromkeys(key for effects in by_measure for key in effects):
        found = [
            Found(key._replace(measure=_of(measure)), measure, _part(effects[key], measure))
            for measure, effects in zip(measures, by_measure, strict=True)
            if key in effects
        ]
        if len(found) < len(measures):
            continue
        leaves += found
        parts = [one.part for one in found]
        one: Statement = parts[0]
        if len(parts) > 1:
            one = AnyOf(parts) if part.or_else else AllOf(parts)
        if part.one_of == "a":
            groups.setdefault((key.place, key.b), []).append(one)
        else:
            made.append(one)
    if part.one_of == "a":
        made += [AnyOf(several) for several in groups.values()]
    return made, leaves


def _along(part: Comparison, runs: Sequence[Tables]) -> tuple[list[Statement], list[Found]]:
    """The trend along a column, and each of its steps, which must not go the other way."""
    step = replace(part, expects="not_below" if part.expects == "above" else "not_above")
    found = []
    for measure, take in ((part, _slope), (step, _steps)):
        effects = _effects(part, measure, runs, take)
        found += [
            Found(key._replace(measure=_of(part)), measure, _part(effect, measure))
            for key, effect in effects.items()
        ]
    return [one.part for one in found], found


def _of(measure: Measure) -> tuple[str, ...]:
    """The words that tell of what a measure is taken."""
    words = (value for value in measure.rows.values() if isinstance(value, str))
    return tuple(word for word in words if "*" not in word)


def _part(effect: Effect, measure: Measure) -> Part:
    margin, size = measure.matters, measure.size
    if measure.scale == "ratio":
        margin = math.log1p(margin)
        size = None if size is None else math.log(size)
    if size is not None and measure.expects == "below":
        size = -size
    ways = {"alike": "alike", "above": "more", "below": "more"}
    return Part(effect, margin, ways.get(measure.expects, "no_less"), size)  # type: ignore[arg-type]


Take = Callable[[Comparison, Measure, pd.DataFrame], Iterator[tuple[Key, np.ndarray]]]
"""From the rows of a group to effects on each image, by what is compared."""


def _effects(
    part: Comparison, measure: Measure, runs: Sequence[Tables], take: Take | None = None
) -> dict[Key, Effect]:
    """The effects on each image, positive as claimed, of each pair of rows, over the runs.

    Pairs that not all runs have are left out, unless none would be left.
    """
    found: dict[Key, list[list[np.ndarray]]] = {}
    for tables in runs:
        table = matching(tables[part.reads], part.rows | measure.rows)
        of_run: dict[Key, list[np.ndarray]] = {}
        for judged_by in _judges(part, table):
            of_judge: dict[Key, np.ndarray] = {}
            for place, group in _groups(judged_by, part.for_each):
                for key, effect in (take or _pairs)(part, measure, group):
                    of_judge[_unlike(key._replace(place=place), of_judge)] = effect
            for key, effect in of_judge.items():
                of_run.setdefault(key, []).append(effect)
        for key, effects in of_run.items():
            found.setdefault(key, []).append(effects)
    common = {key: effects for key, effects in found.items() if len(effects) == len(runs)}
    sign = -1.0 if measure.expects in ("below", "not_above") else 1.0
    return {key: _over_judges(measure, sign, effects) for key, effects in (common or found).items()}


def _judges(part: Comparison, table: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of each value that is crossed with the runs; all of them where none is."""
    if part.crossed is None or not len(table):
        return [table]
    return [group for _, group in table.groupby(part.crossed, sort=False)]


def _over_judges(measure: Measure, sign: float, effects: list[list[np.ndarray]]) -> Effect:
    """An effect of which each run has one array for each judge, or a single one."""
    runs = [sign * np.mean(of_run, axis=0) for of_run in effects]
    counts = {len(of_run) for of_run in effects}
    crossed = None
    if len(counts) == 1 and counts != {1}:
        crossed = sign * np.array([[one.mean() for one in of_run] for of_run in effects])
    return Effect(tuple(runs), _unit(measure, runs), crossed=crossed)


def _unlike(key: Key, others: Mapping[Key, Any]) -> Key:
    """A key that none of the same run has: rows may be told by columns in which they are alike."""
    numbered = (key._replace(b=f"{key.b} ({number})") for number in itertools.count(2))
    return next(one for one in itertools.chain([key], numbered) if one not in others)


def _unit(measure: Measure, effects: Sequence[np.ndarray]) -> Unit:
    if measure.scale == "number":
        return "number"
    whole = all(np.isin(one, (-1.0, 0.0, 1.0)).all() for one in effects)
    return "rate" if measure.scale == "rate" and whole else "mean"


def _pairs(
    part: Comparison, measure: Measure, group: pd.DataFrame
) -> Iterator[tuple[Key, np.ndarray]]:
    of_a = _sides(part, part.a, group)
    if isinstance(part.b, int | float):
        of_b = [("", f"{part.b:g}", None)]
    else:
        of_b = _sides(part, part.b, group)
    for (name_a, told_a, a), (name_b, told_b, b) in itertools.product(of_a, of_b):
        if name_a == name_b:  # a row that is both the smallest and the largest of its group
            continue
        other = np.full_like(a, part.b) if b is None else b
        effect = _effect(measure, a, other)
        if len(effect):
            yield Key("", told_a, told_b), effect


def _groups(table: pd.DataFrame, columns: list[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    if not len(table):
        return
    if not columns:
        yield "", table
        return
    for _, group in table.groupby(columns, sort=False):
        yield told(columns, group.iloc[0]), group


def _sides(part: Comparison, side: Rows, group: pd.DataFrame) -> list[tuple[Any, str, Any]]:
    """The rows of a side, by what tells them apart, with their samples."""
    rows = matching(group, side)
    if not len(rows):
        return []
    if not part.over:
        return [(row.name, told(side, row, side), _samples(row)) for _, row in rows.iterrows()]
    found = []
    for _, alike in rows.groupby([*side], sort=False) if side else [((), rows)]:
        curve = np.mean([_samples(row) for _, row in alike.iterrows()], axis=0)
        found.append((tuple(alike.index), told(side, alike.iloc[0], side), curve))
    return found


def _samples(row: pd.Series) -> np.ndarray:
    return np.atleast_1d(np.asarray(row["samples"], dtype=np.float64))


def _effect(measure: Measure, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """What each image says, of those that have a value on both sides."""
    if a.shape != b.shape:
        raise ValueError(f"sides of {len(a)} and {len(b)} values can't be paired")
    if measure.scale == "ratio":
        there = (a > 0) & (b > 0)
        return np.log(a[there]) - np.log(b[there])
    there = ~(np.isnan(a) | np.isnan(b))
    return a[there] - b[there]


def _slope(
    part: Comparison, measure: Measure, group: pd.DataFrame
) -> Iterator[tuple[Key, np.ndarray]]:
    """The slope on ranks along a column, from its first value to its last."""
    names, values = _course(part, group)
    if len(values) > 1 and values.shape[1]:
        ranks = np.arange(len(values)) - (len(values) - 1) / 2
        slope = ranks @ values / (ranks**2).sum() * (len(values) - 1)
        yield Key("", f"{names[0]} to {names[-1]}", ""), slope


def _steps(
    part: Comparison, measure: Measure, group: pd.DataFrame
) -> Iterator[tuple[Key, np.ndarray]]:
    """The steps of a trend, one by one."""
    names, values = _course(part, group)
    if len(values) > 2 and values.shape[1]:
        for first, second, step in zip(names, names[1:], np.diff(values, axis=0), strict=False):
            yield Key("", f"{first} to {second}", ""), step


def _course(part: Comparison, group: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    """The values along a column, of the images that have one everywhere; logarithms of ratios."""
    assert part.along is not None
    rows = [row for _, row in group.sort_values(part.along).iterrows()]
    values = np.array([_samples(row) for row in rows])
    if not len(values):
        return [], values
    if part.scale == "ratio":
        values = np.log(np.where(values > 0, values, np.nan))
    return [told([part.along], row) for row in rows], values[:, ~np.isnan(values).any(0)]
