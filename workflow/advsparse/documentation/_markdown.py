"""Markdown, and where the pages are."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
COMMAND = "PYTHONPATH=workflow python -m advsparse.documentation"


def table(
    head: tuple[str, ...], rows: Iterable[tuple[str, ...]], right: tuple[str, ...] = ()
) -> str:
    """A table; the columns ``right`` of its head are numbers."""
    rule = tuple("---:" if name in right else "---" for name in head)
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, rule, *rows])


def anchor(heading: str) -> str:
    """The anchor that GitHub and MkDocs give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def prose(text: str) -> str:
    """A docstring's words as one line of Markdown that also stands in a table."""
    text = " ".join(text.split())
    # The last name alone of :class:`~package.module.Name`.
    text = re.sub(r":[\w:]+:`~[\w.]*?(\w+)`", r"``\1``", text)
    text = re.sub(r":[\w:]+:`([^`]+)`", r"``\1``", text)
    parts = re.split(r"``(.+?)``", text)
    return "".join(code(part) if i % 2 else _escaped(part) for i, part in enumerate(parts))


def _escaped(text: str) -> str:
    text = re.sub(r"([\\|*`\[\]])", r"\\\1", text.replace("&", "&amp;").replace("<", "&lt;"))
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)


def code(value: Any) -> str:
    """``value`` as code; a pipe would end the cell even there."""
    return f"`{str(value).replace('|', chr(92) + '|')}`"
