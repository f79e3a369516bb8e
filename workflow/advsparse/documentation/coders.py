"""The page on sparse coders, generated from their docstrings."""

from __future__ import annotations

from advsparse import registry
from advsparse.documentation import _markdown, _settings
from advsparse.documentation.attacks import markdown, sections, with_formulas

PAGE = _markdown.DOCS / "coders.md"

_INTRODUCTION = f"""\
<!-- Generated from the docstrings of the coders by: {_markdown.COMMAND} -->

# Sparse coders

A coder finds a sparse code of a signal or an image in a dictionary: by optimisation, or by a
network that has learned to. In a paper, `coders` names those that learn, each with what it learns
from; analyses, defences and attacks name the others in their own settings.

"""


def coders_page() -> str:
    """The page as docs/coders.md holds it."""
    parts, tables = [_INTRODUCTION.rstrip("\n") + "\n"], _settings.tables_of("coding")
    for kind in registry.kinds("coding"):
        text, found = sections(registry.load("coding", kind))
        facts = "".join(f"\n- **{name}:** {with_formulas(said)}" for name, said in found.items())
        parts += [f"## `{kind}`\n", f"{markdown(text)}{facts}\n", tables[kind]]
    return "\n".join(parts)
