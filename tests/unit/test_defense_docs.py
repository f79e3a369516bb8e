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
def test_docstring_has_summary_formula_source_cost_and_attacks(kind):
    cls = registry.load("defenses", kind)
    text, found = sections(cls)
    summary, _, body = text.partition("\n\n")
    assert len(summary) <= 100 and "\n" not in summary, "one line"
    assert ".. math::" in body
    assert list(found) == ["Source", "Cost", "Attacks"]
    assert re.search(r"\b(19|20)\d\d\b", found["Source"])
    assert len(found["Cost"].split()) > 3
    assert ("learning:" in found["Cost"].lower()) == (cls.learns or cls.of_parts)
    # Who attacked it and when; or that nobody did, and what there is instead.
    none = "none is known to us" in found["Attacks"] and "``adaptive``" in found["Attacks"]
    assert none or re.search(r"\b20\d\d\b", found["Attacks"]), found["Attacks"]


def test_page_holds_no_markup_of_docstrings_and_all_kinds():
    page = defenses_page()
    assert not re.search(r"``|:\w+:`|\.\. \w+::|~advsparse", page)
    assert re.findall(r"^## `(\w+)`$", page, re.MULTILINE) == list(KINDS)
    for kind in KINDS:
        for name in registry.load("defenses", kind).__pydantic_fields__:
            assert f"| `{name}` |" in page
    for name in ("Cost", "Known attacks"):
        assert page.count(f"- **{name}:** ") == len(KINDS)
    rows = [line for line in page.splitlines() if line.startswith("| [")]
    assert len(rows) == len(KINDS)
