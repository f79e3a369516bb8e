"""docs/defenses.md, and the docstrings that it is made of."""

import re

import pytest

from advsparse import registry
from advsparse.documentation.attacks import sections
from advsparse.documentation.defenses import PAGE, defenses_page

KINDS = registry.kinds("defenses")


def test_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == defenses_page(), "run: make docs"


@pytest.mark.parametrize("kind", KINDS)
def test_docstring_has_summary_formula_and_source(kind):
    cls = registry.load("defenses", kind)
    text, found = sections(cls)
    summary, _, body = text.partition("\n\n")
    assert len(summary) <= 100 and "\n" not in summary, "one line"
    assert ".. math::" in body
    assert re.search(r"\b(19|20)\d\d\b", found["Source"])


def test_page_holds_no_markup_of_docstrings_and_all_kinds():
    page = defenses_page()
    assert not re.search(r"``|:\w+:`|\.\. \w+::|~advsparse", page)
    assert re.findall(r"^## `(\w+)`$", page, re.MULTILINE) == list(KINDS)
    for kind in KINDS:
        for name in registry.load("defenses", kind).__pydantic_fields__:
            assert f"| `{name}` |" in page
    rows = [line for line in page.splitlines() if line.startswith("| [")]
    assert len(rows) == len(KINDS)
