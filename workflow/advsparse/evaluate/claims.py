"""Claims of papers as data, and the one function that judges them.

A paper's ``reference/claims.yaml`` says of each claim which rows of which table are compared, how,
and from where on a difference counts. The tables are the paper's own: frames whose rows are told
apart by their columns, with what was found as ``samples`` (an array in each row), or as ``value``
with its 95 % interval in ``low`` and ``high``.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml
from pydantic import Field, TypeAdapter

from advsparse.evaluate.comparisons import COMPARISONS, Compared
from advsparse.evaluate.findings import Finding
from advsparse.settings import settings

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
        p = "" if self.found.p is None else f" (p = {self.found.p:.2g})"
        return f"{self.a} {self.found.a:.4g}, {self.b} {self.found.b:.4g}{p}"


def read_claims(path: str | Path) -> list[Claim]:
    """The claims of a paper's claims.yaml; raises pydantic's ValidationError."""
    text = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    return TypeAdapter(list[Claim]).validate_json(json.dumps(text))


def judge(claim: Claim, tables: Mapping[str, pd.DataFrame]) -> tuple[Finding, list[Comparison]]:
    """What the rows of ``tables`` say of a claim, and each comparison that says it."""
    compared = list(comparisons(claim, tables[claim.reads]))
    text = "; ".join(map(str, compared)) or "nothing to compare"
    return Finding(text, tuple(one.speaks for one in compared)), compared


def comparisons(claim: Claim, table: pd.DataFrame) -> Iterator[Comparison]:
    """Every row of side a with every row of side b that agrees with it in ``for_each``."""
    table = _matching(table, claim.rows)
    groups = table.groupby(claim.for_each, sort=False) if claim.for_each else [((), table)]
    for _, group in groups:
        for _, a in _matching(group, claim.a).iterrows():
            for _, b in _matching(group, claim.b).iterrows():
                found = COMPARISONS[claim.by].compare(a, b, claim.level)
                both = (claim.a, a), (claim.b, b)
                told = (_told([*claim.for_each, *side], row) for side, row in both)
                yield Comparison(claim, *told, found)


def _matching(table: pd.DataFrame, rows: Rows) -> pd.DataFrame:
    """The rows that have the given values; extremes are taken among those that match the rest."""
    extremes = {}
    for column, value in rows.items():
        if value in ("smallest", "largest"):
            extremes[column] = value
        else:
            wanted = value if isinstance(value, list) else [value]
            table = table[[any(_is(entry, one) for one in wanted) for entry in table[column]]]
    for column, value in extremes.items():
        numbers = table[column].dropna()
        edge = numbers.min() if value == "smallest" else numbers.max()
        table = table[table[column] == edge]
    return table


def _is(entry: Any, wanted: Value) -> bool:
    if isinstance(wanted, str):
        return fnmatch.fnmatchcase(str(entry), wanted)
    return entry == wanted


def _told(columns: list[str], row: pd.Series) -> str:
    """What tells a row from the other side's, and both from other comparisons."""
    words = []
    for column in columns:
        number = isinstance(row[column], int | float)
        words.append(f"{column} {row[column]:g}" if number else str(row[column]))
    return " ".join(words)


def _named(side: Rows) -> str:
    words = []
    for column, value in side.items():
        value = " or ".join(map(str, value)) if isinstance(value, list) else str(value)
        words.append(f"{value} {column}" if value in ("smallest", "largest") else value)
    return " ".join(words)
