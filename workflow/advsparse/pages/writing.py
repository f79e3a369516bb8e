"""Writing the pages."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from advsparse.artifacts import atomic_path, recorded
from advsparse.errors import ArtifactError
from advsparse.evaluate.verdict_table import totals
from advsparse.figures.origin import data_used
from advsparse.pages import attacked, numbers
from advsparse.pages.contents import Job, Paper, Shown, papers
from advsparse.provenance import duration

_HERE = Path(__file__).parent
ASSETS = _HERE / "assets"
"""What pages look like, and what moves on them."""
_FOLDER = "pages"
"""Where all pages but the first are, below the folder of results."""


def write_pages(
    results: Path,
    told: Mapping[str, Any],
    record: Mapping[str, Any],
    shown: Shown,
) -> None:
    """Write all pages of the results in a folder.

    told: what the workflow says of its papers and jobs; record: of the run
    (:func:`advsparse.provenance.record`); shown: for each paper, which figures and tables show
    which claim.
    """
    folder = results / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    _write_assets(folder)
    every = list(papers(results, told, shown))
    names = {job["file"]: job["name"] for job in told["jobs"]}
    common = {
        "record": record,
        "papers": every,
        "data": [data_used(origin) for origin in told["data"]],
        "stand_ins": any(origin["stand_in"] for origin in told["data"]),
    }
    for paper in every:
        _write(folder / f"{paper.key}.html", "paper.html", common | {"paper": paper})
        found = numbers.measured(results, paper.rows, names, paper.key)
        what = {"paper": paper, "rows": found, "columns": numbers.COLUMNS}
        _write(folder / f"{paper.key}-numbers.html", "numbers.html", common | what)
    seen = attacked.pictures(results, told["jobs"], folder)
    _write(folder / "images.html", "images.html", common | {"pictures": seen})
    jobs = [_described(Job(job, results)) for job in told["jobs"]]
    _write(folder / "jobs.html", "jobs.html", common | {"jobs": jobs})
    # The last: whoever finds it finds all that it links.
    first = {"built": [job["there"] for job in jobs], "totals": _totals(every)}
    _write(results / "index.html", "index.html", common | first)


def _totals(every: list[Paper]) -> dict[str, int]:
    """How many claims there are of each class, of all papers."""
    return totals([claim.line["verdict"] for paper in every for claim in paper.claims])


def _described(job: Job) -> dict[str, Any]:
    """What the page of jobs says of one."""
    settings = ""
    with contextlib.suppress(ArtifactError):  # not there, not an artifact, or damaged
        settings = json.dumps(recorded(job.results / job.told["file"]).params, indent=1)
    found = {"there": job.there, "logged": job.logged, "taken": job.taken, "settings": settings}
    return {**job.told, **found}


def _write(path: Path, template: str, what: Mapping[str, Any]) -> None:
    up = "" if path.parent.name != _FOLDER else "../"
    pages = "" if up else f"{_FOLDER}/"
    text = environment().get_template(template).render(what, up=up, pages=pages)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@cache
def environment(*folders: Path):
    """What makes pages of templates: of these here, and of those in other folders."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([_HERE / "templates", *folders]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"duration": duration, "rst": _html, "slug": _slug, "commit": _commit}
    return environment


def _html(text: str) -> str:
    """A caption in reStructuredText as HTML."""
    from docutils.core import publish_parts

    settings = {"report_level": 5, "raw_enabled": False, "file_insertion_enabled": False}
    parts = publish_parts(text, writer="html5", settings_overrides=settings)
    return parts["body"]


def _commit(commit: Mapping[str, Any]) -> str:
    """A commit in words (:func:`advsparse.provenance.commit`)."""
    said = commit["commit"] if commit["clean"] is None else commit["commit"][:10]
    return f"{said} with uncommitted changes" if commit["clean"] is False else said


def _slug(text: str) -> str:
    """A class of verdicts as a class of styles."""
    words = "".join(letter if letter.isalnum() else " " for letter in text.lower())
    return "-".join(words.split())


def _write_assets(folder: Path) -> None:
    """Styles and scripts, the tables' among them: a browser takes no module from a disk, but one
    that a script holds as text."""
    import itables

    bundle = Path(itables.__file__).parent / "html" / "dt_bundle.js"
    held = {
        name: base64.b64encode(bundle.with_suffix(suffix).read_bytes()).decode()
        for name, suffix in (("script", ".js"), ("style", ".css"))
    }
    for file in sorted(ASSETS.iterdir()):
        with atomic_path(folder / file.name) as path:
            path.write_bytes(file.read_bytes())
    with atomic_path(folder / "tables.js") as path:
        path.write_text(f"window.tablesBundle = {json.dumps(held)};\n", encoding="utf-8")
