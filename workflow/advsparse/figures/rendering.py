"""From what a paper's functions return to files."""

from __future__ import annotations

import importlib
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from advsparse.artifacts import atomic_path
from advsparse.verbatim import in_cell, in_html, in_latex, in_markdown

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 14px/1.45 system-ui, sans-serif; margin: 1.5em; color: #222 }}
table {{ border-collapse: collapse }}
th, td {{ padding: .35em .8em; border-bottom: 1px solid #ddd }}
th, td {{ text-align: left; vertical-align: top }}
th {{ border-bottom: 2px solid #888 }}
tr:hover td {{ background: #f6f6f6 }}
p {{ max-width: 60em }}
</style></head><body><h1 style="font-size: 1.2em">{title}</h1><p>{note}</p>
{table}
</body></html>
"""


def paper_function(path: str) -> Callable[..., Any]:
    """A function of a paper's module: ``papers.frecon2021.figures.draw_atoms``."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def save_figure(figure: Any, numbers: Any, output: Any) -> None:
    """Write a figure as PDF and PNG, and the numbers that it shows as CSV.

    figure: of matplotlib; numbers: a frame; output: paths by the names pdf, png and csv.
    """
    save_picture(figure, output)
    save_csv(numbers, output.csv)


def save_picture(figure: Any, output: Any) -> None:
    """Write a figure as PDF and PNG."""
    for name, metadata in (("pdf", {"CreationDate": None}), ("png", {})):
        with atomic_path(getattr(output, name)) as path:
            figure.savefig(path, metadata=metadata)


def save_csv(frame: Any, path: str) -> None:
    """Write a frame as CSV with exact numbers."""
    with atomic_path(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")


def save_table(table: Mapping[str, Any], output: Any) -> None:
    """Write a table as Markdown, HTML and LaTeX for readers, and as CSV and JSON for programs.

    table: ``frame``, ``title`` and ``note``; ``timed`` names columns that hold measured times. They
    stay out of the CSV: every CSV of the project is the same in each run.
    """
    frame, title, note = table["frame"], table["title"], table["note"]
    save_csv(frame.drop(columns=table.get("timed", [])), output.csv)
    with atomic_path(output.json) as path:
        frame.to_json(path, orient="records", indent=2)
    text = frame.map(_readable)
    with atomic_path(output.md) as path:
        path.write_text(
            f"# {in_markdown(title)}\n\n{in_markdown(note)}\n\n{markdown(frame)}\n",
            encoding="utf-8",
        )
    with atomic_path(output.tex) as path:
        path.write_text(_latex(text, title, note), encoding="utf-8")
    with atomic_path(output.html) as path:
        html = text.map(in_cell).to_html(index=False, border=0, escape=False)
        path.write_text(
            _PAGE.format(title=in_html(title), note=in_html(note), table=html), encoding="utf-8"
        )


def markdown(frame: Any) -> str:
    """A data frame as a table in Markdown, with numbers to four digits."""
    text = frame.map(_readable).map(in_markdown)
    return text.to_markdown(index=False, disable_numparse=True)


def _readable(value: Any) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _latex(text: Any, title: str, note: str) -> str:
    """A longtable, which needs the packages longtable and booktabs; long columns are wrapped."""
    widths = {name: max([len(name), *map(len, text[name])]) for name in text.columns}
    shape = "".join("l" if width <= 20 else r"p{0.2\linewidth}" for width in widths.values())
    body = text.rename(columns=in_latex).map(in_latex)
    table = body.to_latex(index=False, longtable=True, column_format=shape, caption=in_latex(title))
    comment = "\n".join(f"% {line}" for line in textwrap.wrap(note, 96))
    return f"{comment}\n{table}"
