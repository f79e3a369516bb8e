"""What users write appears as they wrote it: in figures, HTML, Markdown, LaTeX and captions."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from docutils.core import publish_parts
from matplotlib import cbook
from matplotlib.text import Text

from advsparse import provenance, results_page
from advsparse.config.loading import WORKFLOW
from advsparse.data._base import Splits
from advsparse.figures.datasets import draw_classes
from advsparse.figures.gaps import draw_gap, make_gap, note_failures
from advsparse.figures.origin import stamp
from advsparse.figures.rendering import save_picture, save_table
from advsparse.figures.style import plt
from advsparse.stages import _captions
from advsparse.verbatim import in_figure, in_html, in_latex, in_markdown, in_rst
from papers.frecon2021 import figures

ODD = [
    "$a_{$",
    "$x^2$ for $5",
    r"\$1 \alpha",
    "<b>bold</b> & &lt;",
    "*a* _b_ `c` | d ~~e~~ [f](g) [1]_ h_",
    "# 1. .. - {x} %s 100 % ^",
    "größe √ 大",
]
EACH = pytest.mark.parametrize("text", ODD)


def shown(figure):
    """What a figure says, where matplotlib takes nothing for a formula."""
    texts = [text.get_text() for text in figure.findobj(Text)]
    lines = [line for text in texts for line in text.split("\n")]
    return [line.replace(r"\$", "$") for line in lines if not cbook.is_math_text(line)]


def drawn(text, **options):
    figure = plt.figure(figsize=(5, 0.5))
    figure.text(0, 0.3, text, **options)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba()).copy()
    plt.close(figure)
    return pixels


@EACH
def test_in_a_figure(text):
    np.testing.assert_array_equal(drawn(in_figure(text)), drawn(text, parse_math=False))


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\u2028", " \x0b"])
def test_lines_end_in_a_figure_and_in_cells_of_html(end, tmp_path):
    np.testing.assert_array_equal(drawn(in_figure(f"a{end}b\tc")), drawn("a\nb c"))
    files = {name: tmp_path / f"t.{name}" for name in ("csv", "json", "md", "html", "tex")}
    frame = pd.DataFrame({"reason": [f"a{end}b\tc \\n <br>"]})
    save_table({"frame": frame, "title": "", "note": ""}, SimpleNamespace(**files))
    page = files["html"].read_text(encoding="utf-8")
    assert "<td>a<br>b&#9;c \\n &lt;br&gt;</td>" in page


def test_in_a_figure_beside_a_formula():
    both = drawn(rf"$\ell_2$ ({in_figure('$a$ b$')})")
    assert (both != drawn(rf"$\ell_2$ ({in_figure('$a$')})")).any()


@EACH
def test_a_picture_of_a_dataset(text, tmp_path):
    x, y = np.zeros((2, 1, 4, 4), np.uint8), np.arange(2)
    figure = draw_classes(Splits(x, y, x, y, (text, "other")), "mine", 1)
    assert text in shown(figure)
    save_picture(figure, SimpleNamespace(png=tmp_path / "a.png", pdf=tmp_path / "a.pdf"))
    plt.close(figure)


@EACH
def test_what_a_figure_was_built_on(text):
    figure = plt.figure()
    origin = {"dataset": "mine", "role": "cifar10", "stand_in": False, "note": text}
    stamp(figure, {"reads": {"fit": {"origin": origin}}, "preset": "mini"})
    assert shown(figure) == [f"mine, in the role of CIFAR-10 ({text}); preset mini"]
    plt.close(figure)


@EACH
def test_gaps(text):
    figure, _ = draw_gap({}, {"failures": {"failure": text}})
    assert f"failed: {text}" in shown(figure)
    plt.close(figure)
    figure = plt.figure()
    note_failures(figure, pd.DataFrame({"id": ["fgsm"], "failed": [text]}))
    assert f"failed: fgsm: {text}" in shown(figure)
    plt.close(figure)


@EACH
def test_classes_of_the_examples_of_frecon2021(text, monkeypatch):
    x, y = np.full((2, 1, 4, 4), 50, np.uint8), np.arange(2)
    attacked = {
        "index": np.arange(2),
        "success": np.array([True, True]),
        "clean_prediction": np.arange(2),
        "prediction": np.array([1, 0]),
        "trace.target": np.array([1, 0]),
        "trace.code": np.ones((2, 3)),
        "x_adv": np.full((2, 1, 4, 4), 0.5, np.float32),
    }
    metadata = SimpleNamespace(params={"images": {"split": "test"}})
    monkeypatch.setattr(figures, "load_dataset", lambda path: Splits(x, y, x, y, (text, "other")))
    monkeypatch.setattr(figures, "read_arrays", lambda path, stage: (attacked, metadata))
    figure, _ = figures.draw_examples(
        {"dataset": "", "attack": ""}, {"reads": {}, "preset": "mini"}
    )
    assert shown(figure).count(text) == 3  # image, adversarial image of the other, target
    plt.close(figure)


@EACH
def test_tables(text, tmp_path):
    files = {name: tmp_path / f"t.{name}" for name in ("csv", "json", "md", "html", "tex")}
    frame = pd.DataFrame({"reason": [text]})
    save_table({"frame": frame, "title": f"T {text}", "note": text}, SimpleNamespace(**files))
    page = files["html"].read_text(encoding="utf-8")
    assert f"<title>T {html.escape(text)}</title>" in page
    assert f"<p>{html.escape(text)}</p>" in page
    (cell,) = re.findall(r"<td>(.*)</td>", page)
    assert html.unescape(cell) == text and "<b>" not in page
    lines = files["md"].read_text(encoding="utf-8").split("\n")
    assert lines[:3] == [f"# {in_markdown(f'T {text}')}", "", in_markdown(text)]
    assert f"| {in_markdown(text)} |" in [re.sub(r" +\|$", " |", line) for line in lines]
    tex = files["tex"].read_text(encoding="utf-8")
    assert rf"\caption{{{in_latex(f'T {text}')}}}" in tex and f"\n{in_latex(text)} \\\\" in tex
    assert pd.read_csv(files["csv"])["reason"].tolist() == [text]
    gap = make_gap({}, {"failures": {"failure": text}})
    save_table(gap, SimpleNamespace(**files))
    assert in_markdown(text) in files["md"].read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a | b", r"a \| b"),
        (r"a\|b", r"a\\\|b"),
        ("$x$", r"\$x\$"),
        ("*a* __b__ `c`", r"\*a\* \_\_b\_\_ \`c\`"),
        ("snake_case: [0, 1], -0.5 < x > y & z", "snake_case: [0, 1], -0.5 < x > y & z"),
        ("<b> < &lt;", "&lt;b> < &amp;lt;"),
        ("![a](http://b)", r"![a]\(http://b)"),
        ("[a]: b", r"\[a]: b"),
        ("# a #", r"\# a \#"),
        ("12. a", r"12\. a"),
        ("- a", r"\- a"),
        (">a", r"\>a"),
        ("---", r"\---"),
        ("a\r\n\nb", "a b"),
    ],
)
def test_in_markdown(text, expected):
    assert in_markdown(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b & 50 %", r"a\_b \& 50 \%"),
        ("$x^2$ {~}", r"\$x\textasciicircum{}2\$ \{\textasciitilde{}\}"),
        ("a|`b`\\", r"a\textbar{}\textasciigrave{}b\textasciigrave{}\textbackslash{}"),
        ("[2cm] -- a", r"{[}2cm] -{}- a"),
        ("*", "{*}"),
        ("a\n\nb", "a b"),
    ],
)
def test_in_latex(text, expected):
    assert in_latex(text) == expected


@pytest.mark.parametrize("text", [*ODD, ".. include:: /etc/passwd", "a::", "1. a", "x\n===\ny"])
def test_in_captions(text):
    """The captions as the report shows them."""
    told = {"dataset": "mine", "source": "folder", "note": text}
    expected = " ".join(text.split())
    assert said(_captions.dataset_caption(told)).endswith(f"Of the data: {expected}.")
    assert said(_captions.caption("frecon2021", "no_file_of_that_name", text, {})) == expected
    reads = {"fit": {"origin": {"dataset": text, "stand_in": True, "role": "cifar10"}}}
    rendered = _captions.caption("frecon2021", "report/built_on.rst", "", {"reads": reads})
    assert said(rendered) == f"Built on {expected}, a stand-in for CIFAR-10."
    assert said(f"Set *{in_rst('my_data_')}*") == "Set my_data_"


def said(caption):
    body = publish_parts(caption, writer_name="html")["body"]
    assert "system-message" not in body
    return " ".join(html.unescape(re.sub("<[^>]*>", "", body)).split())


@EACH
def test_the_record_of_a_run(text):
    configuration = {"preset": "mini", "seed": 0, "datasets": {"mine": {"note": text}}}
    page = provenance.page(provenance.record(configuration, [], []))
    (shown,) = re.findall("(?s)<pre>(.*)</pre>", page)
    assert yaml.safe_load(html.unescape(shown)) == configuration
    assert "größe" not in text or text in shown


@EACH
def test_the_page_of_results(text, tmp_path):
    claims = pd.DataFrame(
        {
            name: [text]
            for name in ("where", "paper", "effect", "n", "margin", "likely reason", "data")
        }
        | {"verdict": ["supported"]}
    )
    claims.to_csv(tmp_path / "claims.csv", index=False)
    pd.DataFrame({"quantity": [text]}).to_csv(tmp_path / "numbers.csv", index=False)
    frames = {name: results_page._read(tmp_path / f"{name}.csv") for name in ("claims", "numbers")}
    of = {"title": text, "preset": "mini", "commit": "0", "machine": "m", "runs": "one run"}
    of |= {"minutes": "2 minutes", "verdicts": {"supported": 1}}
    settings = {"tables": {"numbers": {"title": text}}}
    parts = list(results_page._parts(of, settings, frames))
    assert parts[1] == f"# {in_markdown(text)}\n"
    table, title, numbers = parts[-3:]
    assert title == f"## {in_markdown(text)}\n"
    assert table.count(in_markdown(text)) == 7 and in_markdown(text) in numbers


def test_html_of_attributes():
    assert in_html("\"'<&") == "&quot;&#x27;&lt;&amp;"


@pytest.mark.parametrize(
    "backend", ["module://matplotlib_inline.backend_inline", "nonsense", "TkAgg", "agg", ""]
)
@pytest.mark.parametrize(
    "rc_text",
    [b"font.size: 30\ntext.usetex: True\nfigure.facecolor: red\nbackend: TkAgg\n", b"# caf\xe9\n"],
)
def test_drawn_without_a_display_whatever_the_environment_says(tmp_path, backend, rc_text):
    rc = tmp_path / "elsewhere" / "matplotlibrc"
    rc.parent.mkdir()
    rc.write_bytes(rc_text)
    environment = os.environ | {"MPLBACKEND": backend, "PYTHONPATH": str(WORKFLOW)}
    code = (
        "from advsparse.figures.style import plt\n"
        "figure = plt.figure()\n"
        "figure.text(0.5, 0.5, 'a')\n"
        "figure.savefig('a.png')\n"
        "print(plt.get_backend().lower(), plt.rcParams['font.size'], plt.rcParams['text.usetex'])"
    )
    environment = {**environment, "MATPLOTLIBRC": str(rc)}
    environment.pop("DISPLAY", None)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "agg 9.0 False\n", done.stderr
    assert (tmp_path / "a.png").exists()
