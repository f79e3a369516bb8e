"""Captions of figures and tables in the report: templates that say what was read."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

WORKFLOW = Path(__file__).parents[2]


def caption(paper: str, name: str, title: str, settings: Mapping[str, Any]) -> str:
    """The caption of a product, which is told ``settings``; its title where no file says more.

    The file ``captions/<name>.rst`` of the paper's folder is a template of Jinja, with the settings
    as its variables, and with the paper's own modules: ``{{ own("variant").variant(...) }}``.
    """
    from jinja2 import TemplateNotFound

    try:
        template = _templates(paper).get_template(f"{name}.rst")
    except TemplateNotFound:
        return title
    origins = [told["origin"] for told in settings["reads"].values() if "origin" in told]
    return template.render(settings, origin=origins[0] if origins else None, own=_own(paper))


@cache
def _templates(paper: str):
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folders = [WORKFLOW / "papers" / paper / "captions", WORKFLOW / "report"]
    return Environment(loader=FileSystemLoader(folders), undefined=StrictUndefined)


def _own(paper: str):
    """How a template of a paper gets at the paper's modules."""
    return lambda module: importlib.import_module(f"papers.{paper}.{module}")
