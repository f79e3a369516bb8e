"""The documentation as a site."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlparse

import pytest

from project import ROOT


class Page(HTMLParser):
    """The links and anchors of a page, and its text outside of code."""

    def __init__(self, text):
        super().__init__()
        self.links, self.ids, self.words, self.within = [], set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids.add(found.get("id"))
        self.links += [found[name] for name in ("href", "src") if name in found]
        if tag in ("code", "pre", "math"):
            self.within.append(tag)

    def handle_endtag(self, tag):
        if self.within and self.within[-1] == tag:
            self.within.pop()

    def handle_data(self, data):
        if not self.within:
            self.words.append(data)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    # Strict: a link of a page to another, or to a heading, that is not there ends it.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=300)
    return {path: Page(path.read_text(encoding="utf-8")) for path in folder.glob("*.html")}


def test_every_page_of_the_documentation_is_in_the_menu(site):
    (start,) = (page for path, page in site.items() if path.name == "index.html")
    (results,) = (page for path, page in site.items() if path.name == "results.html")
    for source in ROOT.glob("docs/*.md"):
        menu = results if source.stem.startswith("results_") else start
        assert f"{source.stem}.html" in menu.links


def test_every_link_leads_somewhere_from_disk(site):
    for path, page in site.items():
        for link in page.links:
            parts = urlparse(link)
            if parts.scheme in ("https", "data"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_file(), (path.name, link)
            if parts.fragment and target in site:
                assert unquote(parts.fragment) in site[target].ids, (path.name, link)


def test_formulas_are_drawn(site):
    count = 0
    for path, page in site.items():
        words = " ".join(page.words)
        assert not re.search(r"\$\$|\\(?:frac|mathrm|sum|min)\b", words), path.name
        count += path.read_text(encoding="utf-8").count("<math")
    assert count > 50
    assert not any("<mi>\\" in path.read_text() or "<mo>\\" in path.read_text() for path in site)
