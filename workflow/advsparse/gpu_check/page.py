"""The page of a check, in the look of the pages of results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from advsparse.artifacts import atomic_path
from advsparse.pages.writing import ASSETS, environment

_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = "page.css"


def write_page(folder: Path, told: Mapping[str, Any]) -> Path:
    """Write the page into a folder, with its style beside it; returns its path.

    told: what :mod:`advsparse.gpu_check.__main__` has gathered, as plain values.
    """
    template = environment(_TEMPLATES).get_template("gpu_check.html")
    text = template.render(told=told, stand_ins=False, up="", pages="")
    page = folder / "index.html"
    for path, content in ((folder / _STYLE, (ASSETS / _STYLE).read_text()), (page, text)):
        with atomic_path(path) as temporary:
            temporary.write_text(content, encoding="utf-8")
    return page
