"""A paper's claims as a table: a line each, with the verdict and what it rests on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import pandas as pd

from advsparse.evaluate.claims import Claim, Measure
from advsparse.evaluate.effects import ENOUGH
from advsparse.evaluate.judging import Found, Judgement
from advsparse.evaluate.verdicts import Class

LISTED = 4
"""So many effects a line shows one by one."""

NOTE = (
    "An effect is of a on b: the difference of two rates, means or numbers, or their ratio (x), "
    "paired image by image, with its 90 % interval: over runs from three on, over images before, "
    "when a verdict speaks of these networks alone. Classes: docs/verdicts.md."
)


def claims_table(judgements: Sequence[Judgement], data: Callable[[Claim], str]) -> pd.DataFrame:
    """A line for each claim; ``data`` says what it was found on."""
    return pd.DataFrame([_line(one, data(one.claim)) for one in judgements])


def effects_table(judgements: Sequence[Judgement], data: Callable[[Claim], str]) -> pd.DataFrame:
    """A line for each effect that claims speak of, with its tests."""
    records = []
    for one in judgements:
        for found in one.found:
            low, high = found.effect.interval
            records.append(
                {
                    "claim": one.claim.claim,
                    "for": found.key.place,
                    "a": found.key.a,
                    "b": found.key.b,
                    "of": ", ".join(found.key.measure),
                    "scale": found.measure.scale,
                    "expects": found.measure.expects,
                    "effect": found.effect.value,
                    "low": low,
                    "high": high,
                    "p for": found.part.support,
                    "p against": min(found.part.opposition.values()),
                    "n": found.effect.images,
                    "runs": len(found.effect.runs),
                    "data": data(one.claim),
                }
            )
    return pd.DataFrame(records)


def totals(verdicts: Sequence[str]) -> dict[str, int]:
    """How many verdicts there are of each class, in the order of the classes; those on fewer than
    three runs are counted by themselves, whatever they say."""
    return together({_class_of(verdict): 1} for verdict in verdicts)


def together(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Such totals added up, in the order of the classes."""
    found = dict.fromkeys([*map(str, Class), f"fewer than {ENOUGH} runs"], 0)
    for each in counts:
        for kind, count in each.items():
            found[kind] += count
    return {kind: count for kind, count in found.items() if count}


def _class_of(verdict: str) -> str:
    if re.match(r"(one run|\d+ runs): ", verdict):
        return f"fewer than {ENOUGH} runs"
    # The longer words first: one class begins as another does.
    kinds = sorted(map(str, Class), key=len, reverse=True)
    found = next((kind for kind in kinds if verdict.startswith(kind)), None)
    if found is None:
        raise ValueError(
            f"{verdict!r} is no verdict of this version: build the table of claims again"
        )
    return found


def _line(one: Judgement, data: str) -> dict[str, str]:
    runs = one.verdict.runs
    least, most = one.images
    several = number_of(runs)
    if one.claim.unit != "run":
        images = f"{least}" if least == most else f"{least} to {most}"
        several = f"{images} {one.claim.unit}s x {several}"
    return {
        "claim": one.claim.claim,
        "where": one.claim.where,
        "paper": one.claim.statement,
        "judged by": one.claim.criterion,
        "effect": _effects(one.found),
        "n": several if one.found else "",
        "margin": ", ".join(dict.fromkeys(_margin(found.measure) for found in one.found)),
        "verdict": str(one.verdict),
        "likely reason": "; ".join(one.reasons),
        "data": "; ".join([data, *one.without]),
    }


def number_of(runs: int) -> str:
    """So many runs, in words."""
    return "one run" if runs == 1 else f"{runs} runs"


def _margin(measure: Measure) -> str:
    return f"{100 * measure.matters:g} %" if measure.scale == "ratio" else f"{measure.matters:g}"


def _effects(found: Sequence[Found]) -> str:
    """All effects, or where these are many, the two between which all lie of each measure."""
    if len(found) <= LISTED:
        return "; ".join(f"{one.key}: {one}" for one in found)
    by_measure: dict[tuple[tuple[str, ...], str], list[Found]] = {}
    for one in found:
        by_measure.setdefault((one.key.measure, one.measure.scale), []).append(one)
    said = []
    for (measure, scale), several in by_measure.items():
        ordered = sorted(several, key=lambda one: one.effect.value)
        if len(several) == 1:
            said.append(f"{several[0].key}: {several[0]}")
            continue
        worst, best = ordered[0], ordered[-1]
        of = " of ".join((f"{len(several)} {scale}s", *([", ".join(measure)] if measure else [])))
        keys = (one.key._replace(measure=()) for one in (worst, best))
        ends = (f"{one} ({key})" for one, key in zip((worst, best), keys, strict=True))
        said.append(f"{of}, as claimed least {next(ends)} and most {next(ends)}")
    return "; ".join(said)
