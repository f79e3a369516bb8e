"""Every number that was measured, as rows for a table that a reader sorts and filters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from advsparse.artifacts import read_rows
from advsparse.errors import ArtifactError

COLUMNS = {
    "experiment": "experiment",
    "dataset": "dataset",
    "model": "judged by",
    "defense": "defence",
    "attack": "attack",
    "attacked": "made on",
    "metric": "metric",
    "value": "value",
    "ci_low": "from",
    "ci_high": "to",
    "n": "n",
    "repetition": "run",
    "note": "note",
}
"""What is shown of a row (:mod:`advsparse.artifacts.rows`), and what it is called."""

_NUMBERS = ("value", "ci_low", "ci_high")


def measured(
    results: Path, files: Iterable[str], jobs: Mapping[str, str], paper: str
) -> list[dict[str, Any]]:
    """The rows of files, each with the names of the jobs behind it.

    jobs: their names, by the files that they leave. A file that is not there is left out.
    """
    found = []
    for file in files:
        try:
            rows, _ = read_rows(results / file, stage="rows")
        except ArtifactError:
            continue
        above = paper + _repetition(file)
        for row in rows.to_dict("records"):
            cells = {name: _said(name, row.get(name)) for name in COLUMNS}
            behind = {
                "experiment": jobs.get(file, ""),
                "attack": jobs.get(f"{above}/attacks/{cells['attack']}.npz", ""),
                "model": jobs.get(f"{above}/classifiers/{cells['model']}.safetensors", ""),
                "defense": jobs.get(f"{above}/defenses/{cells['defense']}.npz", ""),
            }
            found.append({"cells": cells, "behind": behind})
    return found


def _repetition(file: str) -> str:
    """The folder of the repetition that a file is of, if it is not the first."""
    part = file.split("/")[1]
    return f"/{part}" if part.startswith("repetition-") else ""


def _said(name: str, value: Any) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.4g}" if name in _NUMBERS else str(value)
