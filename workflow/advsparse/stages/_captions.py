"""Captions of figures and tables in the report: templates that say what was read."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from advsparse.errors import ConfigError
from advsparse.figures.origin import origins

WORKFLOW = Path(__file__).parents[2]


def caption(paper: str, name: str, title: str, settings: Mapping[str, Any]) -> str:
    """The caption of a product, which is told ``settings``; its title where no file says more.

    The file of that name in the paper's folder ``captions`` is a template of Jinja. Its variables
    are the settings, ``origin``, the data behind the first of its inputs that has some, and the
    paper's own modules: ``{{ own("variant").variant(...) }}``. It may include pages of
    ``workflow/report``. ConfigError where it can't be rendered.
    """
    folder = WORKFLOW if name.startswith("report/") else WORKFLOW / "papers" / paper / "captions"
    if not (file := folder / name).is_file():
        return title
    first = next(iter(origins(settings).values()), None)
    try:
        template = _environment().from_string(file.read_text(encoding="utf-8"))
        return template.render(settings, origin=first, own=_own(paper))
    except Exception as error:  # of whatever stands in it, its author's code included
        where = file.relative_to(WORKFLOW.parent)
        raise ConfigError(f"{where}: no caption of {title!r}: {error}") from None


@cache
def _environment():
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(loader=FileSystemLoader(WORKFLOW / "report"), undefined=StrictUndefined)


def _own(paper: str):
    """How a template of a paper gets at the paper's modules."""
    return lambda module: importlib.import_module(f"papers.{paper}.{module}")
