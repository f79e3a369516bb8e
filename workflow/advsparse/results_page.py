"""docs/results.md and a page for each paper, from the tables of a run:
``python -m advsparse.results_page mini``.

What each paper claims, whether that holds, and every number that it gives beside the reproduced
one. Papers whose tables the run has not built keep the page that they have: a long run can go on in
parts, on one machine after another. A run on stand-ins for the papers' data makes no page.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from advsparse.config.loading import presets
from advsparse.cost import seconds
from advsparse.evaluate.verdict_table import number_of, together, totals
from advsparse.figures.rendering import markdown
from advsparse.verbatim import in_markdown

DOCS = Path("docs")

_MARK = "<!-- Written by: make results PRESET={preset} -->\n"

_OVERVIEW = """\
# Results

What runs on real data found of the papers' claims: for each paper, how many of its claims got which
verdict. [verdicts.md](verdicts.md) explains the classes. A verdict is of the data that its line on
the paper's page names, and of networks as the run's preset trains them. A claim that is
contradicted is a result; where a likely reason was seen, the paper's page gives it.
"""

_WAITING = "Not run on real data yet: {names}.\n"

_INTRODUCTION = """\
What a run of the preset `{preset}` found: built at commit {commit} on {machine}, in {runs}.
All jobs together took {minutes}. [The other papers, and what the verdicts speak of](results.md).
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("preset", choices=presets(), help="whose results are shown")
    preset = parser.parse_args().preset
    try:
        written = write(Path("results") / preset, preset, DOCS)
    except FileNotFoundError as error:
        sys.exit(f"{error.filename} is missing: run snakemake --config preset={preset} first")
    except ValueError as error:
        sys.exit(str(error))
    for path in written:
        print(f"written: {path}")


def write(results: Path, preset: str, docs: Path) -> list[Path]:
    """Write the pages of what was built below ``results``, and the overview; what was written.

    Raises FileNotFoundError where a run has left no table of a paper, ValueError for one on
    stand-ins; nothing is written then.
    """
    record = json.loads((results / "provenance.json").read_text(encoding="utf-8"))
    settings = record["configuration"]["settings"]
    pages = {}
    for paper, of in settings.items():
        tables = [results / paper / "tables" / f"{name}.csv" for name in _shown(of["tables"])]
        if all(table.is_file() for table in tables):
            pages[paper] = _page(results, paper, record, preset, tables)
    if not pages:
        raise FileNotFoundError(2, "", str(results / next(iter(settings)) / "tables"))
    told = docs / "results.json"
    known = json.loads(told.read_text(encoding="utf-8")) if told.is_file() else {}
    known |= {paper: of for paper, (_, of) in pages.items()}
    known = {paper: known[paper] for paper in sorted(known)}
    told.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    for paper, (text, _) in pages.items():
        (docs / _name(paper)).write_text(text, encoding="utf-8")
    waiting = [of["title"] for paper, of in settings.items() if paper not in known]
    (docs / "results.md").write_text(overview(known, preset, waiting), encoding="utf-8")
    return [docs / name for name in ("results.md", *map(_name, pages))]


def overview(
    known: Mapping[str, Mapping[str, Any]], preset: str, waiting: Sequence[str] = ()
) -> str:
    """The page that links those of the papers, from what is known of each of them; and the titles
    of those that have no page."""
    table = pd.DataFrame(
        {
            "paper": [_linked(paper, of["title"]) for paper, of in known.items()],
            "claims": [sum(of["verdicts"].values()) or "a study" for of in known.values()],
            "verdicts": [_counted(of["verdicts"]) for of in known.values()],
            "preset": [of["preset"] for of in known.values()],
            "runs": [of["runs"] for of in known.values()],
            "all jobs took": [of["minutes"] for of in known.values()],
            "commit": [of["commit"] for of in known.values()],
        }
    )
    every = together(of["verdicts"] for of in known.values())
    return "\n".join(
        [
            _MARK.format(preset=preset),
            _OVERVIEW,
            # Its links are made here; what they hold has been escaped.
            table.to_markdown(index=False, disable_numparse=True) + "\n",
            f"All {sum(every.values())} claims together: {_counted(every)}.\n",
            *([_WAITING.format(names="; ".join(map(in_markdown, waiting)))] if waiting else []),
        ]
    )


def _linked(paper: str, title: str) -> str:
    return f"[{in_markdown(title)}]({_name(paper)})"


def _counted(verdicts: Mapping[str, int]) -> str:
    """How many verdicts there are of each class."""
    return ", ".join(f"{count} {kind}" for kind, count in verdicts.items())


def _name(paper: str) -> str:
    return f"results_{paper}.md"


def _shown(tables: Iterable[str]) -> list[str]:
    """The tables that a page shows: of what claims nothing, a study of this project's own, all but
    what went wrong."""
    names = [name for name in ("claims", "numbers") if name in tables]
    return names if "claims" in names else [name for name in tables if name != "warnings"]


def _page(
    results: Path, paper: str, record: Mapping[str, Any], preset: str, tables: list[Path]
) -> tuple[str, dict[str, Any]]:
    """The page of a paper, and what the overview says of it."""
    settings = record["configuration"]["settings"][paper]
    of: dict[str, Any] = {
        "title": settings["title"],
        "preset": preset,
        "commit": _commit(record["commit"]),
        "machine": in_markdown(
            f"{record['machine']['processor']}, {', '.join(record['machine']['devices'])}"
        ),
        "runs": number_of(record["configuration"].get("repetitions", 1)),
        "minutes": f"{_seconds(results / 'benchmarks' / paper) / 60:.0f} minutes",
        "verdicts": {},
    }
    frames = {path.stem: _read(path) for path in tables}
    if "claims" in frames:
        of["verdicts"] = totals(list(frames["claims"]["verdict"]))
    return "\n".join(_parts(of, settings, frames)), of


def _parts(
    of: Mapping[str, Any], settings: Mapping[str, Any], frames: Mapping[str, pd.DataFrame]
) -> Iterator[str]:
    yield _MARK.format(preset=of["preset"])
    yield f"# {in_markdown(of['title'])}\n"
    yield _INTRODUCTION.format(**of)
    if others := settings.get("repetitions"):
        said = ", ".join(f"`{name}` in {number_of(count)}" for name, count in others.items())
        yield f"Not made as often as the rest: {said}.\n"
    for name, frame in frames.items():
        if "data" in frame and frame["data"].str.contains("stand-in", na=False).any():
            raise ValueError(
                f"{name} of {of['title']}: built on stand-ins for the papers' data, which prove "
                "no claim"
            )
        if name == "claims":
            yield f"Of {len(frame)} claims: {_counted(of['verdicts'])}.\n"
            yield "Effects are of a on b, paired image by image, with their 90 % intervals.\n"
            shown = ["where", "paper", "effect", "n", "margin", "verdict", "likely reason", "data"]
            frame = frame[shown]
        else:
            yield f"## {in_markdown(settings['tables'][name]['title'])}\n"
        yield markdown(frame) + "\n"


def _read(table: Path) -> pd.DataFrame:
    """Words stay words: an empty cell alone is nothing."""
    return pd.read_csv(table, keep_default_na=False, na_values=[""])


def _commit(commit: Mapping[str, Any]) -> str:
    known = commit["clean"] is not None
    changed = " (and changes to it)" if known and not commit["clean"] else ""
    return (commit["commit"][:10] if known else in_markdown(commit["commit"])) + changed


def _seconds(benchmarks: Path) -> float:
    return sum(seconds(path) for path in benchmarks.rglob("*.tsv"))


if __name__ == "__main__":
    main()
