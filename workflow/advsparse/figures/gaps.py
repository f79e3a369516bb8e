"""Figures and tables where something has failed: the gap is drawn, with its reason."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import pandas as pd

from advsparse.figures.origin import stamp
from advsparse.figures.style import WIDTH, plt
from advsparse.verbatim import in_figure

COLOUR = "#B00020"
"""Of everything that says failed."""


def note_failures(figure: Any, table: pd.DataFrame) -> None:
    """Write above a figure which attacks of ``table`` (id, failed) are missing, and why."""
    gaps = table[table["failed"].notna()].drop_duplicates("id")
    if len(gaps):
        # One reason is often that of several attacks, such as the points of a grid.
        lines = [
            f"failed: {', '.join(group['id'])}: {words}"
            for words, group in gaps.groupby("failed", sort=False)
        ]
        text = "\n".join(textwrap.fill(line, 120, max_lines=3) for line in lines)
        figure.suptitle(in_figure(text), fontsize=7, color=COLOUR, x=0.01, ha="left")


def draw_gap(inputs: Mapping[str, str], settings: Mapping[str, Any]):
    """What stands for a figure of which something has failed that it can't be drawn without."""
    words = settings["failures"]["failure"]
    figure = plt.figure(figsize=(WIDTH, 2.0))
    text = in_figure(textwrap.fill(f"failed: {words}", 90))
    figure.text(0.5, 0.5, text, ha="center", va="center", color=COLOUR)
    if "reads" in settings:
        stamp(figure, settings)
    return figure, pd.DataFrame({"failed": [words]})


def make_gap(inputs: Mapping[str, str], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What stands for a table of which something has failed that it can't be made without."""
    words = settings["failures"]["failure"]
    frame = pd.DataFrame({"failed": [words]})
    return {"frame": frame, "title": "Failed", "note": "What this table is of has failed."}
