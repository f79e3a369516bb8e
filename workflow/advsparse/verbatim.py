"""Text that comes from users, such that it appears as it was written, whatever the format.

Names of classes and datasets, notes on data, ids of attacks and reasons of failures may hold what a
format takes for its own: a formula, a tag, the end of a column. There is one function for each.
"""

from __future__ import annotations

import html
import re

_LINE_ENDS = re.compile("\\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\\s*")

_LATEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
}

_MARKDOWN = re.compile(
    r"""
    [\\*`~$|]                     # escapes, emphasis, code, formulas, the end of a column
    | (?<![^\W_])_ | _(?![^\W_])  # emphasis, but for what joins two words
    | (?<=\])[(\[]                # a link
    | (?<!\S)\#                   # headings, and their end
    | ^> | ^[-+=](?=\s|$)         # quotations, lists
    | ^[-=]{2,}$                  # what makes a heading of the line above
    | ^\[(?=[^\]]*\]:)            # the address of a link
    """,
    re.VERBOSE,
)


def in_figure(text: str) -> str:
    """Text for matplotlib, which takes what stands between two dollars for a formula, and knows one
    end of a line."""
    return _LINE_ENDS.sub("\n", text).replace("\t", " ").replace("$", r"\$")


def in_html(text: str) -> str:
    """Text for HTML, also within an attribute."""
    return html.escape(text)


def in_cell(text: str) -> str:
    """Text for a cell of a table in HTML, line by line."""
    lines = _LINE_ENDS.sub("\n", text).split("\n")
    return "<br>".join(map(in_html, lines)).replace("\t", "&#9;")


def in_markdown(text: str) -> str:
    """Text for one line of Markdown or a cell of its tables."""
    line = _one_line(text)
    line = re.sub(r"&(?=#?\w+;)", "&amp;", line)
    line = re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", _MARKDOWN.sub(r"\\\g<0>", line))
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", line)


def in_latex(text: str) -> str:
    """Text for a line of LaTeX or a cell of its tables."""
    escaped = "".join(_LATEX.get(character, character) for character in _one_line(text))
    # After the end of a row these would be read as its options; dashes would be joined.
    return re.sub(r"^[\[*]", r"{\g<0>}", re.sub("-(?=-)", "-{}", escaped))


def in_rst(text: str) -> str:
    """Text for reStructuredText, within a paragraph or at its start."""
    return re.sub(r"[^\w\s]|_", r"\\\g<0>", _one_line(text))


def _one_line(text: str) -> str:
    return _LINE_ENDS.sub(" ", text).strip()
