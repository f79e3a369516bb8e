"""Captions of figures and tables in the report: templates that say what was read."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from advsparse.errors import ConfigError
from advsparse.figures.origin import all_data
from advsparse.verbatim import in_rst

WORKFLOW = Path(__file__).parents[2]


def caption(paper: str, name: str, title: str, settings: Mapping[str, Any]) -> str:
    """The caption of a product, which is told ``settings``; its title where no file says more.

    The file of that name in the paper's folder ``captions`` is a template of Jinja. Its variables
    are the settings, ``data``, what its inputs were built on and what that stands in for, and the
    paper's own modules: ``{{ own("variant").variant(...) }}``. It may include pages of
    ``workflow/report``. What stands in the place of an expression is text, never reStructuredText.
    ConfigError where it can't be rendered.
    """
    folder = WORKFLOW if name.startswith("report/") else WORKFLOW / "papers" / paper / "captions"
    if not (file := folder / name).is_file():
        return in_rst(title)
    try:
        template = _environment().from_string(file.read_text(encoding="utf-8"))
        return template.render(settings, data=all_data(settings), own=_own(paper))
    except Exception as error:  # of whatever stands in it, its author's code included
        where = file.relative_to(WORKFLOW.parent)
        raise ConfigError(f"{where}: no caption of {title!r}: {error}") from None


def dataset_caption(settings: Mapping[str, Any]) -> str:
    """The caption of the picture of a dataset, which is told ``settings``."""
    return _environment().get_template("dataset.rst").render(settings)


@cache
def _environment():
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(WORKFLOW / "report")
    return Environment(loader=loader, undefined=StrictUndefined, finalize=_text)


def _text(value: Any) -> str:
    return in_rst(str(value))


def _own(paper: str):
    """How a template of a paper gets at the paper's modules."""
    return lambda module: importlib.import_module(f"papers.{paper}.{module}")
