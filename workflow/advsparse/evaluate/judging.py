"""What the runs of a paper say of its claims: the one place that judges them.

Of each run there is a table for each name that claims read (:mod:`advsparse.evaluate.claims`); the
rules of decision are those of :mod:`advsparse.evaluate.verdicts`.
"""

from __future__ import annotations

import fnmatch
import itertools
import math
import numbers
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from advsparse.evaluate.claims import Claim, Comparison, Measure, Rows, Value
from advsparse.evaluate.effects import Effect, Unit
from advsparse.evaluate.verdicts import (
    AllOf,
    AnyOf,
    Class,
    Part,
    Statement,
    Verdict,
    discoveries,
    judged,
    over_settings,
)

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
            shown = [-shown[0], -shown[2], -shown[1]]
        if self.measure.scale == "ratio":
            shown = list(map(math.exp, shown))
        first, low, high = (f"{value:.3g}" for value in shown)
        sign = "" if first.startswith("-") or self.measure.scale == "ratio" else "+"
        times = "x " if self.measure.scale == "ratio" else ""
        ends = "" if math.isnan(shown[1]) else f" [{low}, {high}]"
        return f"{times}{sign}{first}{ends}"


@dataclass(frozen=True)
class Judgement:
    """The verdict on a claim, with all that it rests on."""

    claim: Claim
    verdict: Verdict
    found: tuple[Found, ...] = ()
    reasons: tuple[str, ...] = ()
    """Those that were seen to be right in what was built."""
    images: tuple[int, int] = (0, 0)
    """Images, signals or numbers of a run: of the effect that has fewest, and most."""
    without: tuple[str, ...] = ()
    """Runs that are left out, with what failed in them."""


def judge(claim: Claim, runs: Sequence[Tables], comparable: bool = True) -> Judgement:
    """What the ``runs`` say of a claim.

    comparable: whether the data and its scale are the paper's, as absolute claims need. A run in
    which something has failed that the claim reads is left out.
    """
    runs = [tables for tables in runs if all(part.reads in tables for part in claim.parts)]
    failed = [_failures(claim, tables) for tables in runs]
    kept = [tables for tables, why in zip(runs, failed, strict=True) if not why]
    without = tuple(
        f"run {number}: {', '.join(why)} failed" for number, why in enumerate(failed) if why
    )
    if not kept:
        names = dict.fromkeys(name for why in failed for name in why)
        why = f"{', '.join(names)} failed" if names else "nothing was measured"
        return Judgement(claim, Verdict(Class.FAILED, what=why), without=without)
    if claim.open is None:
        verdict, found = _verdict(claim.parts, kept)
    else:
        verdict, found = _over_settings(claim, kept)
    if claim.absolute and not comparable:
        verdict = Verdict(Class.INCOMPARABLE, runs=verdict.runs)
    found = _without_common_words(found)
    counts = [one.effect.images for one in found]
    reasons: tuple[str, ...] = ()
    if verdict.kind not in (Class.SUPPORTED, Class.INCOMPARABLE, Class.UNDECIDED):
        reasons = tuple(one.says for one in claim.reasons if _shown(one.shown_by, kept))
    images = (min(counts, default=0), max(counts, default=0))
    return Judgement(claim, verdict, tuple(found), reasons, images, without)


def judge_all(
    claims: Sequence[Claim], runs: Callable[[Claim], Sequence[Tables] | str], comparable: Any
) -> list[Judgement]:
    """The judgements of a paper's claims, whose false discovery rate is held over all of them.

    runs: of a claim the tables of each run, or why there are none; comparable: of a claim whether
    its data is the paper's.
    """
    found = []
    for claim in claims:
        tables = runs(claim)
        if isinstance(tables, str):
            found.append(Judgement(claim, Verdict(Class.FAILED, what=tables)))
        else:
            found.append(judge(claim, tables, comparable(claim)))
    kept = discoveries([one.verdict for one in found])
    return [_with_verdict(one, verdict) for one, verdict in zip(found, kept, strict=True)]


def _with_verdict(one: Judgement, verdict: Verdict) -> Judgement:
    """A judgement as it stands among all; what was decided by itself only has no reasons."""
    reasons = one.reasons if verdict.kind is one.verdict.kind else ()
    return replace(one, verdict=verdict, reasons=reasons)


def _verdict(parts: Sequence[Comparison], runs: Sequence[Tables]) -> tuple[Verdict, list[Found]]:
    statements: list[Statement] = []
    leaves: list[Found] = []
    for part in parts:
        made, found = _statements(part, runs)
        # Without one of its parts a claim is another claim.
        if not made:
            return Verdict(Class.FAILED, what="nothing to compare"), []
        statements += made
        leaves += found
    return judged(statements), leaves


def _over_settings(claim: Claim, runs: Sequence[Tables]) -> tuple[Verdict, list[Found]]:
    """A verdict for each value of what the paper leaves open, and what they come to."""
    assert claim.open is not None
    column = claim.open.column
    of_first = [runs[0][part.reads] for part in claim.parts]
    values = dict.fromkeys(value for table in of_first for value in table.get(column, ()))
    verdicts, leaves = {}, []
    for value in values:
        narrowed = [
            {name: _having(table, column, value) for name, table in tables.items()}
            for tables in runs
        ]
        verdict, found = _verdict(claim.parts, narrowed)
        if found:
            verdicts[str(value)] = verdict
            place = f"{column} {value}" if isinstance(value, numbers.Real) else str(value)
            leaves += [_placed(one, place) for one in found]
    if not verdicts:
        return Verdict(Class.FAILED, what="nothing to compare"), []
    return over_settings(claim.open.says, verdicts), leaves


def _having(table: pd.DataFrame, column: str, value: Any) -> pd.DataFrame:
    return table[table[column] == value] if column in table else table


def _placed(one: Found, place: str) -> Found:
    words = ", ".join(filter(None, (place, one.key.place)))
    return Found(one.key._replace(place=words), one.measure, one.part)


def _shown(parts: Sequence[Comparison], runs: Sequence[Tables]) -> bool:
    """Whether what supports a reason was seen in these runs."""
    if any(part.reads not in tables for part in parts for tables in runs):
        return False
    verdict, _ = _verdict(parts, runs)
    return verdict.kind in (Class.SUPPORTED, Class.DIRECTION)


# From a comparison and the tables of runs to statements that can be tested.


def _statements(part: Comparison, runs: Sequence[Tables]) -> tuple[list[Statement], list[Found]]:
    """The statements of a comparison, and the effects that they speak of."""
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


def _without_common_words(found: Sequence[Found]) -> list[Found]:
    """The effects of a claim, told by what differs between them."""
    common = set.intersection(*(set(one.key.measure) for one in found)) if found else set()
    return [
        replace(
            one,
            key=one.key._replace(
                measure=tuple(word for word in one.key.measure if word not in common)
            ),
        )
        for one in found
    ]


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
        table = _matching(tables[part.reads], part.rows | measure.rows)
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
        yield _told(columns, group.iloc[0]), group


def _sides(part: Comparison, side: Rows, group: pd.DataFrame) -> list[tuple[Any, str, Any]]:
    """The rows of a side, by what tells them apart, with their samples."""
    rows = _matching(group, side)
    if not len(rows):
        return []
    if not part.over:
        return [(row.name, _told(side, row, side), _samples(row)) for _, row in rows.iterrows()]
    found = []
    for _, alike in rows.groupby([*side], sort=False) if side else [((), rows)]:
        curve = np.mean([_samples(row) for _, row in alike.iterrows()], axis=0)
        found.append((tuple(alike.index), _told(side, alike.iloc[0], side), curve))
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
    told, values = _course(part, group)
    if len(values) > 1 and values.shape[1]:
        ranks = np.arange(len(values)) - (len(values) - 1) / 2
        slope = ranks @ values / (ranks**2).sum() * (len(values) - 1)
        yield Key("", f"{told[0]} to {told[-1]}", ""), slope


def _steps(
    part: Comparison, measure: Measure, group: pd.DataFrame
) -> Iterator[tuple[Key, np.ndarray]]:
    """The steps of a trend, one by one."""
    told, values = _course(part, group)
    if len(values) > 2 and values.shape[1]:
        for first, second, step in zip(told, told[1:], np.diff(values, axis=0), strict=False):
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
    told = [_told([part.along], row) for row in rows]
    return told, values[:, ~np.isnan(values).any(0)]


# Rows of tables.


def _failures(claim: Claim, tables: Tables) -> dict[str, str]:
    """What failed among the rows that a claim reads, and why."""
    found: dict[str, str] = {}
    for part in claim.parts:
        table = tables[part.reads]
        if "failed" not in table:
            continue
        failed = table[table["failed"].notna()]
        sides = [part.a] if isinstance(part.b, int | float) else [part.a, part.b]
        for side in sides:
            for _, row in _matching(failed, side, extremes=False).iterrows():
                found[row["attack"]] = row["failed"]
    return found


def _matching(table: pd.DataFrame, rows: Rows, extremes: bool = True) -> pd.DataFrame:
    """The rows that have the given values; extremes are taken among those that match the rest."""
    if not len(table):
        return table
    edges = {}
    for column, value in rows.items():
        if value in ("smallest", "largest"):
            edges[column] = value
        else:
            wanted = value if isinstance(value, list) else [value]
            table = table[[any(_is(entry, one) for one in wanted) for entry in table[column]]]
    for column, value in edges.items() if extremes else ():
        known = table[column].dropna()
        edge = known.min() if value == "smallest" else known.max()
        table = table[table[column] == edge]
    return table


def _is(entry: Any, wanted: Value) -> bool:
    if isinstance(wanted, str):
        return fnmatch.fnmatchcase(str(entry), wanted)
    return entry == wanted


def _told(columns: Iterable[str], row: pd.Series, wanted: Rows | None = None) -> str:
    """The values that a row has in some columns; an extreme is called so, whichever it is."""
    words = []
    for column in columns:
        value, edge = row[column], (wanted or {}).get(column)
        if edge in ("smallest", "largest"):
            words.append(f"{edge} {column}")
        elif isinstance(value, bool | np.bool_):
            words += [column] if value else []
        elif isinstance(value, numbers.Real):
            words.append(f"{column} {value:g}")
        else:
            words.append(str(value))
    return ", ".join(words)
