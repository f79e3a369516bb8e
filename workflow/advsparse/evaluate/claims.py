"""Claims of papers as data, and the one function that judges them.

A paper's ``reference/claims.yaml`` says of each claim which rows of which table are compared, how,
and from where on a difference counts. The tables are the paper's own: frames whose rows are told
apart by their columns, with what was found as ``samples`` (an array in each row), or as ``value``
with its 95 % interval in ``low`` and ``high``. A row of what could not be measured says why in
``failed``.
"""

from __future__ import annotations

import fnmatch
import itertools
import json
import numbers
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml
from pydantic import Field, TypeAdapter

from advsparse.evaluate.comparisons import COMPARISONS, Compared
from advsparse.evaluate.findings import Finding
from advsparse.settings import settings

LISTED = 6
"""So many comparisons a verdict shows one by one."""

Value = str | int | float | bool
Rows = dict[str, Value | list[Value]]
"""Values of columns, or several that a column may have; a word may hold ``*``, and be ``smallest``
or ``largest`` of a column of numbers."""


@settings
class Claim:
    """One claim of a paper, and what it takes to judge it."""

    claim: str
    """Its name."""
    where: str
    """Its place in the paper."""
    statement: str
    """What the paper says, in our words."""
    reads: str
    """The table that is read."""
    rows: Rows = Field(default_factory=dict)
    """What all compared rows have."""
    a: Rows
    """What one side has."""
    b: Rows
    """What the other side has."""
    for_each: list[str] = Field(default_factory=list)
    """Columns whose values both sides share: a comparison for each."""
    expects: Literal["above", "below", "alike"]
    """What the claim says of a: that it is above b, below it, or no different."""
    by: Literal["intervals", "welch", "levene"]
    """How the two are compared: by 95 % intervals that lie apart, by Welch's t-test of their means,
    or by Levene's test of their spreads."""
    level: float = 0.05
    """The p below which a test calls a difference one."""
    absolute: bool = False
    """Whether a side is the paper's own number, which only its data at its scale can reproduce."""
    reason: str = ""
    """Why it likely does not hold, where it was found not to."""

    @property
    def criterion(self) -> str:
        """The rule of the verdict, in words."""
        relation = {"above": "above", "below": "below", "alike": "no different from"}
        sides = f"{_named(self.a)} {relation[self.expects]} {_named(self.b)}"
        each = f", for each {' and '.join(self.for_each)}" if self.for_each else ""
        how = COMPARISONS[self.by].words.format(level=self.level)
        return f"{self.reads}: {sides}{each}; {how}"


@dataclass(frozen=True)
class Comparison:
    """Two rows of a table, compared for a claim."""

    claim: Claim
    place: str
    """What both sides share."""
    a: str
    b: str
    found: Compared

    @property
    def speaks(self) -> int:
        """1 for the claim, -1 against it, 0 where the difference is within the noise."""
        if self.claim.expects == "alike":
            return -1 if self.found.different else 1
        if not self.found.different:
            return 0
        return 1 if (self.found.a > self.found.b) == (self.claim.expects == "above") else -1

    def __str__(self) -> str:
        place = f"{self.place}: " if self.place else ""
        p = "" if self.found.p is None else f", p = {self.found.p:.2g}"
        return f"{place}{self.a} ({self.found.a:.4g}), {self.b} ({self.found.b:.4g}){p}"


def read_claims(path: str | Path) -> list[Claim]:
    """The claims of a paper's claims.yaml; raises pydantic's ValidationError."""
    text = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    return TypeAdapter(list[Claim]).validate_json(json.dumps(text))


def judge(
    claim: Claim, tables: Mapping[str, pd.DataFrame], comparable: bool = True
) -> tuple[Finding, list[Comparison]]:
    """What the rows of ``tables`` say of a claim, and each comparison that says it.

    comparable: whether the data and its scale are the paper's, as absolute claims need. A claim is
    not judged where something that it reads has failed.
    """
    table = _matching(tables[claim.reads], claim.rows)
    if failed := _failures(claim, table):
        return Finding("; ".join(dict.fromkeys(failed.values())), failed=tuple(failed)), []
    pairs = list(_pairs(claim, table))
    compared = [_compare(claim, a, b) for a, b in pairs if a is not None and b is not None]
    text = _summary(compared)
    if alone := len(pairs) - len(compared):
        text += f"; {alone} without a counterpart"
    incomparable = claim.absolute and not comparable
    return Finding(text, tuple(one.speaks for one in compared), incomparable=incomparable), compared


def comparisons(claim: Claim, table: pd.DataFrame) -> Iterator[Comparison]:
    """Every row of side a with every row of side b that agrees with it in ``for_each``."""
    for a, b in _pairs(claim, _matching(table, claim.rows)):
        if a is not None and b is not None:
            yield _compare(claim, a, b)


def verdict_line(claim: Claim, finding: Finding, data: str) -> dict[str, str]:
    """One line of a paper's table of claims; ``data`` says what it was found on."""
    return {
        "claim": claim.claim,
        "where": claim.where,
        "paper": claim.statement,
        "criterion": claim.criterion,
        "reproduced": finding.text,
        "verdict": finding.verdict,
        "likely reason": claim.reason if finding.contradicted else "",
        "data": data,
    }


def _pairs(claim: Claim, table: pd.DataFrame) -> Iterator[tuple[pd.Series | None, ...]]:
    """Rows of both sides that share a group; the row of one side alone has None for the other.

    A row that is both the smallest and the largest of its group is not compared with itself.
    """
    each = claim.for_each if len(table) else []
    groups = table.groupby(each, sort=False) if each else [((), table)]
    for _, group in groups:
        of_a, of_b = (_matching(group, side) for side in (claim.a, claim.b))
        pairs = itertools.product(*([row for _, row in side.iterrows()] for side in (of_a, of_b)))
        yield from ((a, b) for a, b in pairs if a.name != b.name)
        if not len(of_a) or not len(of_b):
            yield from ((row, None) for _, row in of_a.iterrows())
            yield from ((None, row) for _, row in of_b.iterrows())


def _compare(claim: Claim, a: pd.Series, b: pd.Series) -> Comparison:
    told = _told(claim.for_each, a), _told(claim.a, a), _told(claim.b, b)
    return Comparison(claim, *told, COMPARISONS[claim.by].compare(a, b, claim.level))


def _failures(claim: Claim, table: pd.DataFrame) -> dict[str, str]:
    """What failed among the rows that either side could have, and why."""
    if "failed" not in table:
        return {}
    failed = table[table["failed"].notna()]
    sides = [_matching(failed, side, extremes=False) for side in (claim.a, claim.b)]
    return {row["attack"]: row["failed"] for side in sides for _, row in side.iterrows()}


def _summary(compared: list[Comparison]) -> str:
    """All comparisons, or where these are many, the two between which all differences lie."""
    if not compared:
        return "nothing to compare"
    if len(compared) <= LISTED:
        return "; ".join(map(str, compared))
    ordered = sorted(compared, key=lambda one: one.found.a - one.found.b)
    ends = (f"{one.found.a - one.found.b:+.3g} [{one}]" for one in (ordered[0], ordered[-1]))
    return f"{len(compared)} differences, {' to '.join(ends)}"


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
        numbers = table[column].dropna()
        edge = numbers.min() if value == "smallest" else numbers.max()
        table = table[table[column] == edge]
    return table


def _is(entry: Any, wanted: Value) -> bool:
    if isinstance(wanted, str):
        return fnmatch.fnmatchcase(str(entry), wanted)
    return entry == wanted


def _told(columns: Iterable[str], row: pd.Series) -> str:
    """The values that a row has in some columns."""
    words = []
    for column in columns:
        number = isinstance(row[column], numbers.Real)
        words.append(f"{column} = {row[column]:g}" if number else str(row[column]))
    return ", ".join(words)


def _named(side: Rows) -> str:
    words = []
    for column, value in side.items():
        value = " or ".join(map(str, value)) if isinstance(value, list) else str(value)
        if value != "*":
            words.append(f"{value} {column}" if value in ("smallest", "largest") else value)
    return " ".join(words)
