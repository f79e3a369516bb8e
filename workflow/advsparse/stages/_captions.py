"""Captions of figures and tables in the report: templates that say what was read."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from advsparse.verbatim import in_rst

WORKFLOW = Path(__file__).parents[2]


def caption(paper: str, name: str, title: str, settings: Mapping[str, Any]) -> str:
    """The caption of a product, which is told ``settings``; its title where no file says more.

    The file ``captions/<name>.rst`` of the paper's folder is a template of Jinja, with the settings
    as its variables, and with the paper's own modules: ``{{ own("variant").variant(...) }}``. What
    stands in the place of an expression is text, never reStructuredText.
    """
    from jinja2 import TemplateNotFound

    try:
        template = _templates(WORKFLOW / "papers" / paper / "captions").get_template(f"{name}.rst")
    except TemplateNotFound:
        return in_rst(title)
    origins = [told["origin"] for told in settings["reads"].values() if "origin" in told]
    return template.render(settings, origin=origins[0] if origins else None, own=_own(paper))


def dataset_caption(settings: Mapping[str, Any]) -> str:
    """The caption of the picture of a dataset, which is told ``settings``."""
    return _templates().get_template("dataset.rst").render(settings)


@cache
def _templates(*folders: Path):
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader([*folders, WORKFLOW / "report"])
    return Environment(loader=loader, undefined=StrictUndefined, finalize=_text)


def _text(value: Any) -> str:
    return in_rst(str(value))


def _own(paper: str):
    """How a template of a paper gets at the paper's modules."""
    return lambda module: importlib.import_module(f"papers.{paper}.{module}")
