"""docs/results.md, from the tables of a run: ``python -m advsparse.results_page mini``.

What each paper claims, whether that holds, and every number that it gives beside the reproduced
one. A run of a preset that uses stand-ins for the papers' data makes no such page.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from advsparse.config.loading import presets
from advsparse.evaluate.verdict_table import number_of, totals
from advsparse.figures.rendering import markdown
from advsparse.verbatim import in_markdown

PAGE = Path("docs/results.md")

_INTRODUCTION = """\
<!-- Written by: make results PRESET={preset} -->

# Results

What a run of the preset `{preset}` found of the papers' claims: built at commit {commit} on
{machine}, in {repetitions}, {minutes:.0f} minutes of all jobs together. A verdict is of the data
that its line names and of networks as that preset trains them; [verdicts.md](verdicts.md) explains
its classes. A claim that is contradicted is a result; where a likely reason was seen, it is given.
Effects are of a on b, paired image by image, with their 90 % intervals.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("preset", choices=presets(), help="whose results are shown")
    preset = parser.parse_args().preset
    try:
        text = page(Path("results") / preset, preset)
    except FileNotFoundError as error:
        sys.exit(f"{error.filename} is missing: run snakemake --config preset={preset} first")
    except ValueError as error:
        sys.exit(str(error))
    PAGE.write_text(text, encoding="utf-8")
    print(f"written: {PAGE}")


def page(results: Path, preset: str) -> str:
    """The page as Markdown.

    Raises FileNotFoundError where a table is missing, ValueError for a run on stand-ins.
    """
    record = json.loads((results / "provenance.json").read_text(encoding="utf-8"))
    parts = [_introduction(record, preset)]
    settings = record["configuration"]["settings"]
    # What claims nothing is a study of this project's own.
    for paper in (key for key, of in settings.items() if "claims" in of["tables"]):
        parts += _paper(results / paper / "tables", paper, record)
    return "\n".join(parts)


def _introduction(record: dict[str, Any], preset: str) -> str:
    commit, machine = record["commit"], record["machine"]
    known = commit["clean"] is not None
    changed = " (and changes to it)" if known and not commit["clean"] else ""
    return _INTRODUCTION.format(
        preset=preset,
        commit=(commit["commit"][:10] if known else in_markdown(commit["commit"])) + changed,
        repetitions=number_of(record["configuration"].get("repetitions", 1)),
        machine=in_markdown(f"{machine['processor']}, {', '.join(machine['devices'])}"),
        minutes=sum(stage["seconds"] for stage in record["cost"]) / 60,
    )


def _paper(tables: Path, paper: str, record: dict[str, Any]) -> Iterator[str]:
    claims = pd.read_csv(tables / "claims.csv", keep_default_na=False)
    if claims["data"].str.contains("stand-in").any():
        raise ValueError(f"{tables}: built on stand-ins for the papers' data, which prove no claim")
    numbers = pd.read_csv(tables / "numbers.csv")
    settings = record["configuration"]["settings"][paper]
    yield f"## {in_markdown(settings['title'])}\n"
    yield f"Of {len(claims)} claims: {_counted(claims['verdict'])}.\n"
    if others := settings.get("repetitions"):
        said = ", ".join(f"`{name}` in {number_of(count)}" for name, count in others.items())
        yield f"Not made as often as the rest: {said}.\n"
    shown = ["where", "paper", "effect", "n", "margin", "verdict", "likely reason", "data"]
    yield markdown(claims[shown]) + "\n"
    yield markdown(numbers) + "\n"


def _counted(verdicts: pd.Series) -> str:
    """How many verdicts there are of each class; those on fewer runs by themselves."""
    found = totals(list(verdicts)).items()
    return ", ".join(f"{count} {kind}" for kind, count in found)


if __name__ == "__main__":
    main()
