"""What MkDocs is told besides mkdocs.yml: pages that lie elsewhere, their look, and formulas."""

from __future__ import annotations

import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
LOOK = ROOT / "workflow" / "advsparse" / "pages" / "assets" / "page.css"
ELSEWHERE = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changes.md": "CHANGELOG.md",
}
"""Pages that stand at the top of the project, where a visitor looks for them."""

_STYLE = """\
main table { display: block; overflow-x: auto; max-width: 100% }
math[display=block] { margin: 1em 0; overflow: auto hidden }
code { background: var(--raised); padding: .1em .25em; border-radius: .2em; font-size: .9em }
pre code { padding: 0; background: none } nav a[aria-current] { font-weight: 600; color: inherit }
"""

_SIZES = re.compile(r"\\[Bb]igg?[lr]?(?![A-Za-z])")
_CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)
_FORMULA = re.compile(
    r"\$\$\s*(?P<block>.+?)\s*\$\$|(?<![\w$\\])\$(?P<line>[^$\n]+?)\$(?!\w)", re.DOTALL
)


def on_files(files, config):
    """Add the pages that lie elsewhere, and the styles."""
    for name, source in ELSEWHERE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=text))
    look = LOOK.read_text(encoding="utf-8")
    files.append(File.generated(config, "page.css", content=look))
    files.append(File.generated(config, "docs.css", content=_STYLE))
    return files


def on_page_markdown(markdown, page, **_):
    """Links as they are from here, and formulas as browsers draw them."""
    text = _relinked(markdown, page.file.src_uri in ELSEWHERE)
    parts = _CODE.split(text)
    # Every other part is code.
    return "".join(part if i % 2 else _FORMULA.sub(_drawn, part) for i, part in enumerate(parts))


def _relinked(text: str, at_the_top: bool) -> str:
    """Links to other pages; what leads to a file of the sources is its name."""
    for name, source in ELSEWHERE.items():
        text = text.replace(f"]({source}", f"]({name}").replace(f"](../{source}", f"]({name}")
    if at_the_top:
        text = text.replace("](docs/", "](")
    return re.sub(r"\[([^\]]+)\]\((?!https?:|#)(?![\w-]+\.(?:md|svg))[^)]*\)", r"\1", text)


def _drawn(found: re.Match[str]) -> str:
    block = found["block"]
    # Fences grow with what they hold as it is; the converter knows min and max, but not arg.
    formula = _SIZES.sub("", block or found["line"]).replace(r"\arg", r"\mathrm{arg}\,")
    return convert(formula, display="block" if block else "inline")
