"""Repetitions that undecided claims need: ``python -m advsparse.runs_needed mini``.

From a run's tables of claims and the ``benchmark:`` files of its jobs: how many repetitions each
undecided claim would take with a power of 80 %, if its effect is what it seems, and what they cost
beyond those that are built.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from advsparse.config.loading import presets
from advsparse.cost import seconds
from advsparse.evaluate.effects import ENOUGH
from advsparse.stages._places import repetition_of, without_repetition
from advsparse.stages._registry import stages

_NEEDED = re.compile(r"undecided \(about (\d+) runs needed\)")


class Needed(NamedTuple):
    """An undecided claim."""

    paper: str
    claim: str
    runs: int | None
    """Repetitions that would decide; none where that can't be told."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("preset", choices=presets(), help="whose finished run is looked at")
    results = Path("results") / parser.parse_args().preset
    try:
        record = json.loads((results / "provenance.json").read_text(encoding="utf-8"))
        found = list(undecided(results, record["configuration"]["papers"]))
    except FileNotFoundError as error:
        sys.exit(f"{error.filename} is missing: run snakemake --config preset={results.name} first")
    costs = seconds_a_repetition(results / "benchmarks")
    for line in lines(found, costs, record["configuration"]["repetitions"]):
        print(line)


def undecided(results: Path, papers: list[str]) -> Iterator[Needed]:
    """The undecided claims of a preset's results, in the order of its papers."""
    for paper in papers:
        table = pd.read_csv(results / paper / "tables" / "claims.csv", keep_default_na=False)
        for claim, verdict in zip(table["claim"], table["verdict"], strict=True):
            if found := _NEEDED.search(verdict):
                yield Needed(paper, claim, int(found[1]))
            elif "undecided" in verdict:
                yield Needed(paper, claim, None)


def seconds_a_repetition(benchmarks: Path) -> dict[str, float]:
    """What a repetition of a paper takes: all its jobs that are repeated, one after the other, in
    the repetition that took longest, as of some only parts may be built."""
    shared = {stage.folder for stage in stages().values() if not stage.repeats}
    found: dict[str, dict[int, float]] = {}
    for path in benchmarks.rglob("*.tsv"):
        paper, *inside = path.relative_to(benchmarks).with_suffix("").parts
        below = without_repetition(inside)
        if not below or below[0] in shared or paper in shared:
            continue
        repetition = 0 if below == inside else repetition_of(inside[0])
        of_paper = found.setdefault(paper, {})
        of_paper[repetition] = of_paper.get(repetition, 0.0) + seconds(path)
    return {paper: max(costs.values()) for paper, costs in found.items()}


def lines(found: list[Needed], costs: dict[str, float], built: int) -> Iterator[str]:
    """What is told of undecided claims where so many repetitions are built."""
    if not found:
        yield "no claim is undecided"
    for one in found:
        if one.runs is None:
            hint = f"; {ENOUGH} runs would tell how many it takes" if built < ENOUGH else ""
            yield f"{one.paper} {one.claim}: undecided{hint}"
            continue
        more = max(0, one.runs - built)
        hours = more * costs.get(one.paper, 0.0) / 3600
        cost = f"{more} more, {hours:.2g} hours of jobs"
        yield f"{one.paper} {one.claim}: about {one.runs} runs, {cost}"


if __name__ == "__main__":
    main()
