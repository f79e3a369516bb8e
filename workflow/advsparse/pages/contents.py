"""What the pages show, read from the folder of a preset's results."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from advsparse.cost import peak, seconds
from advsparse.evaluate.claims import read_claims
from advsparse.evaluate.verdict_table import totals

Shown = Mapping[str, Mapping[str, tuple[str, ...]]]
"""For each paper, which figures and tables show which claim."""

_BODY = re.compile(
    r"<h1[^>]*>.*?</h1><p>(?P<note>.*?)</p>\s*(?P<table><table.*</table>)", re.DOTALL
)
"""What a table's own page holds (:func:`advsparse.figures.rendering.save_table`)."""


@dataclass(frozen=True)
class Claim:
    """A claim of a paper, and what was found of it: a line of the paper's table ``claims``."""

    line: Mapping[str, str]
    shown: tuple[str, ...]
    """The figures and tables that show it."""

    @property
    def kind(self) -> str:
        """The class of its verdict."""
        return next(iter(totals([self.line["verdict"]])))


@dataclass(frozen=True)
class Product:
    """A figure or table."""

    told: Mapping[str, Any]
    """What the workflow says of it: name, folder, title and caption."""
    place: str
    """Its file below the folder of results, without a suffix."""
    results: Path
    claims: tuple[Claim, ...]
    """Those that it shows."""

    @property
    def id(self) -> str:
        return f"{self.told['folder']}-{self.told['name']}"

    @property
    def is_figure(self) -> bool:
        return self.told["folder"] == "figures"

    @property
    def suffixes(self) -> list[str]:
        """Of its files that are there, those to show first."""
        every = (".png", ".pdf") if self.is_figure else (".html", ".md", ".tex", ".json")
        return [
            each for each in (*every, ".csv") if (self.results / f"{self.place}{each}").is_file()
        ]

    @cached_property
    def body(self) -> dict[str, str]:
        """The note and the table of a table, as HTML."""
        text = (self.results / f"{self.place}.html").read_text(encoding="utf-8")
        found = _BODY.search(text)
        return found.groupdict() if found else {"note": "", "table": ""}


@dataclass(frozen=True)
class Paper:
    """A paper, with what was built of it."""

    key: str
    title: str
    products: tuple[Product, ...]
    claims: tuple[Claim, ...]
    judges: bool
    """Whether claims of it are judged, be that done or not."""
    rows: tuple[str, ...]
    """The files of all that was measured, below the folder of results."""

    @property
    def counted(self) -> dict[str, int]:
        """How many claims there are of each class of verdicts."""
        return totals([claim.line["verdict"] for claim in self.claims])

    @property
    def elsewhere(self) -> list[Claim]:
        """The claims that no figure or table shows by itself."""
        return [claim for claim in self.claims if not claim.shown]

    @property
    def missing(self) -> list[Product]:
        return [product for product in self.products if not product.suffixes]


@dataclass(frozen=True)
class Job:
    """A job behind what is shown."""

    told: Mapping[str, str]
    results: Path

    @property
    def there(self) -> bool:
        return (self.results / self.told["file"]).is_file()

    @property
    def logged(self) -> bool:
        return (self.results / self.told["log"]).is_file()

    @property
    def taken(self) -> tuple[float, float] | None:
        """Seconds and MiB, where they were measured."""
        path = self.results / self.told["benchmark"]
        if not path.is_file():
            return None
        return seconds(path), peak(self.results / "benchmarks", path)


def seen_in(files: Iterable[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    """For each paper, which figures and tables show which claim, from the files of claims."""
    return {
        Path(file).parents[1].name: {each.claim: tuple(each.shown) for each in read_claims(file)}
        for file in files
    }


def papers(results: Path, told: Mapping[str, Any], shown: Shown) -> Iterator[Paper]:
    """The papers, in their order.

    told: what the workflow says of them and of their jobs; shown: for each paper, which figures and
    tables show which claim.
    """
    for entry in told["papers"]:
        key = entry["key"]
        claims = tuple(_claims(results / key / "tables" / "claims.json", shown.get(key, {})))
        yield Paper(
            key,
            entry["title"],
            _ordered(
                [_product(results, key, each, claims) for each in entry["products"]], key in shown
            ),
            claims,
            key in shown,
            tuple(
                job["file"]
                for job in told["jobs"]
                if job["paper"] == key and job["stage"] == "experiment"
            ),
        )


def _ordered(products: list[Product], judges: bool) -> tuple[Product, ...]:
    """Figures first, then tables; of a study that judges no claims, the tables are what it is
    about. What failed or warned comes last."""

    def place(product: Product) -> int:
        if product.told["name"] == "warnings":
            return 2
        return int(product.is_figure != judges)

    return tuple(sorted(products, key=place))


def _claims(path: Path, shown: Mapping[str, tuple[str, ...]]) -> Iterator[Claim]:
    if path.is_file():
        for line in json.loads(path.read_text(encoding="utf-8")):
            # Where a claim could not be judged at all, its table is a gap.
            if "verdict" in line:
                yield Claim(line, shown.get(line["claim"], ()))


def _product(results: Path, paper: str, told: Mapping[str, Any], claims) -> Product:
    place = f"{paper}/{told['folder']}/{told['name']}"
    return Product(told, place, results, tuple(c for c in claims if told["name"] in c.shown))
