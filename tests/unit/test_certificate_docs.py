"""docs/certificates.md, and the docstrings that it is made of."""

import re

import pytest

from advsparse import registry
from advsparse.documentation.attacks import sections
from advsparse.documentation.certificates import PAGE, certificates_page

KINDS = registry.kinds("certify")


def test_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == certificates_page(), "run: make docs"


@pytest.mark.parametrize("kind", KINDS)
def test_docstring_has_summary_formula_and_source(kind):
    text, found = sections(registry.load("certify", kind))
    summary, _, body = text.partition("\n\n")
    assert len(summary) <= 100 and "\n" not in summary, "one line"
    assert ".. math::" in body and "canu2021" in found["Source"]


def test_page_holds_no_markup_of_docstrings_and_all_kinds():
    page = certificates_page()
    assert not re.search(r"``|:\w+:`|\.\. \w+::|~advsparse", page.replace("```", ""))
    assert re.findall(r"^## `(\w+)`$", page, re.MULTILINE) == list(KINDS)
    for kind in KINDS:
        for name in registry.load("certify", kind).__pydantic_fields__:
            assert f"| `{name}` |" in page
