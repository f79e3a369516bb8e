"""What the runs of a paper say of its claims: the one place that judges them.

Of each run there is a table for each name that claims read (:mod:`advsparse.evaluate.claims`); what
is compared in them is found by :mod:`advsparse.evaluate.comparing`, and the rules of decision are
those of :mod:`advsparse.evaluate.verdicts`.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from advsparse.evaluate.claims import Claim, Comparison
from advsparse.evaluate.comparing import Found, Tables, statements
from advsparse.evaluate.matching import matching
from advsparse.evaluate.verdicts import (
    Class,
    Statement,
    Verdict,
    discoveries,
    judged,
    over_settings,
)


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


def judge(claim: Claim, runs: Sequence[Tables | str], comparable: bool = True) -> Judgement:
    """What the ``runs`` say of a claim: the tables of each, or what failed of a run without any.

    comparable: whether the data and its scale are the paper's, as absolute claims need. A run in
    which something has failed that the claim reads is left out, and so is one that lacks a table.
    """
    kept: list[Tables] = []
    failed: dict[int, list[str]] = {}
    for number, run in enumerate(runs):
        if isinstance(run, str):
            failed[number] = [run]
        elif all(part.reads in run for part in claim.parts):
            if why := _failures(claim.parts, run):
                failed[number] = why
            else:
                kept.append(run)
    if not kept:
        names = dict.fromkeys(name for why in failed.values() for name in why)
        said = f"{', '.join(names)} failed" if names else "nothing was measured"
        return Judgement(claim, Verdict(Class.FAILED, what=said))
    without = tuple(f"run {number}: {', '.join(why)} failed" for number, why in failed.items())
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
    claims: Sequence[Claim],
    runs: Callable[[Claim], Sequence[Tables | str]],
    comparable: Callable[[Claim], bool],
) -> list[Judgement]:
    """The judgements of a paper's claims, whose false discovery rate is held over all of them.

    runs: of a claim what :func:`judge` is given; comparable: of a claim whether its data is the
    paper's.
    """
    found = [judge(claim, runs(claim), comparable(claim)) for claim in claims]
    kept = discoveries([one.verdict for one in found])
    return [_with_verdict(one, verdict) for one, verdict in zip(found, kept, strict=True)]


def _with_verdict(one: Judgement, verdict: Verdict) -> Judgement:
    """A judgement as it stands among all; what was decided by itself only has no reasons."""
    reasons = one.reasons if verdict.kind is one.verdict.kind else ()
    return replace(one, verdict=verdict, reasons=reasons)


def _verdict(parts: Sequence[Comparison], runs: Sequence[Tables]) -> tuple[Verdict, list[Found]]:
    every: list[Statement] = []
    leaves: list[Found] = []
    for part in parts:
        made, found = statements(part, runs)
        # Without one of its parts a claim is another claim.
        if not made:
            return Verdict(Class.FAILED, what="nothing to compare"), []
        every += made
        leaves += found
    return judged(every), leaves


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
    """Whether what supports a reason was seen in these runs, in none of which any of it failed."""
    if any(part.reads not in tables for part in parts for tables in runs):
        return False
    if any(_failures(parts, tables) for tables in runs):
        return False
    verdict, _ = _verdict(parts, runs)
    return verdict.kind in (Class.SUPPORTED, Class.DIRECTION)


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


def _failures(parts: Sequence[Comparison], tables: Tables) -> list[str]:
    """What failed among the rows that the parts of a claim, or of a reason, read."""
    found: dict[str, None] = {}
    for part in parts:
        table = tables[part.reads]
        if "failed" not in table:
            continue
        failed = table[table["failed"].notna()]
        # Of what failed not every column is known.
        within = {
            column: value
            for column, value in part.rows.items()
            if column in failed and failed[column].notna().all()
        }
        sides = [part.a] if isinstance(part.b, int | float) else [part.a, part.b]
        for side in sides:
            for _, row in matching(failed, within | side, extremes=False).iterrows():
                named = [row.get(name) for name in ("called", "attack")]
                found[next((name for name in named if isinstance(name, str)), part.reads)] = None
    return list(found)
