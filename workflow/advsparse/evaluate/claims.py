"""Claims of papers as data: what each states, and which measured values it speaks of.

A paper's ``reference/claims.yaml`` holds them. They read tables of the paper's own, one of each for
every run: frames whose rows are told apart by their columns, each with what was measured as
``samples``, an array with a value for each image (NaN where it has none), or with one number for
the whole run. Rows that are compared have the same images in the same order. A row of what could
not be measured says why in ``failed``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, TypeAdapter

from advsparse.settings import PositiveFloat, settings

Value = str | int | float | bool
Rows = dict[str, Value | list[Value]]
"""Values of columns, or several that a column may have; a word may hold ``*``, and be ``smallest``
or ``largest`` of a column of numbers."""

Expects = Literal["above", "below", "alike", "not_below", "not_above"]
Scale = Literal["rate", "ratio", "difference", "number"]

_MARGINS = {"rate": 0.05, "ratio": 0.1}
_RELATIONS = {
    "above": "above",
    "below": "below",
    "alike": "no different from",
    "not_below": "not below",
    "not_above": "not above",
}


@settings
class Measure:
    """What is measured of both sides, and how they are expected to differ."""

    expects: Expects = "above"
    """What the claim says of a: that it is above b, below it, or no different; or, of one
    coordinate of a trade-off, that it is not below or not above b by the margin."""
    scale: Scale = "rate"
    """Of the effect: the difference of two rates; a over b, image by image, as its logarithm; the
    difference of two means; or of two numbers that are one for a run."""
    margin: PositiveFloat | None = None
    """The effect that would matter, in its unit; of a ratio, a share: 0.1 is 10 %. A rate's is 0.05
    and a ratio's 0.1 unless told otherwise."""
    size: float | None = None
    """The paper's own effect, a - b or a / b, where it gives one that its claim stands on."""
    rows: Rows = Field(default_factory=dict)
    """What the rows have that hold it."""

    def __post_init__(self) -> None:
        if self.margin is None and self.scale not in _MARGINS:
            raise ValueError(f"margin: a {self.scale} needs one, in its unit")
        if self.scale == "ratio" and self.size is not None and self.size <= 0:
            raise ValueError(f"size: a ratio is above 0, not {self.size:g}")

    @property
    def matters(self) -> float:
        """The margin, as it was given or as effects of this scale have it."""
        return _MARGINS[self.scale] if self.margin is None else self.margin

    @property
    def words(self) -> str:
        """How a is to differ from b."""
        of = f" in {', '.join(map(_word, self.rows.values()))}" if self.rows else ""
        size = "" if self.size is None else f", about {self.size:g}"
        return f"{_RELATIONS[self.expects]}{of} ({self.scale}, margin {self.matters:g}{size})"


@settings
class Comparison(Measure):
    """Rows of a table that are compared: a part of a claim for each pair of them."""

    reads: str
    """The table that is read."""
    a: Rows = Field(default_factory=dict)
    """What one side has."""
    b: Rows | float = Field(default_factory=dict)
    """What the other side has; or the number that it is."""
    for_each: list[str] = Field(default_factory=list)
    """Columns whose values both sides share: a comparison for each."""
    over: list[str] = Field(default_factory=list)
    """Columns of whose values each side is the mean: the budgets of a curve."""
    along: str | None = None
    """A column of numbers along which the trend is taken, in the place of two sides: its slope on
    ranks, from the first to the last, and no step that goes the other way by the margin."""
    and_also: list[Measure] = Field(default_factory=list)
    """What else must hold of the same two sides, as of both coordinates of a trade-off."""
    or_else: list[Measure] = Field(default_factory=list)
    """What may hold in its place."""
    crossed: str | None = None
    """A column whose values are crossed with the runs, being drawn anew as these are: of
    black-box attacks, the classifiers of all runs, which judge what the surrogates of each led
    to."""
    one_of: Literal["none", "a"] = "none"
    """Whether it is enough if one row of a differs so from a row of b: the best point of a curve,
    for whose choice p is corrected."""

    def __post_init__(self) -> None:
        super().__post_init__()
        sides = self.a or self.b != {}
        if self.along is not None and (sides or self.and_also or self.or_else):
            raise ValueError("along: a trend has no sides, and no second measure")
        if self.and_also and self.or_else:
            raise ValueError("or_else: can't stand beside and_also")

    @property
    def criterion(self) -> str:
        """The rule of the verdict, in words."""
        also = "".join(f", and {measure.words}" for measure in self.and_also)
        also += "".join(f", or {measure.words}" for measure in self.or_else)
        each = f", for each {' and '.join(self.for_each)}" if self.for_each else ""
        each += f", mean over {' and '.join(self.over)}" if self.over else ""
        each += f", runs crossed with {self.crossed}s" if self.crossed else ""
        if self.along is not None:
            way = {"above": "rises", "below": "falls"}[self.expects]
            return f"{self.reads}: {_named(self.rows)} {way} along {self.along}{each}"
        side = f"{self.b:g}" if isinstance(self.b, int | float) else _named(self.b)
        first = "a row of " if self.one_of == "a" else ""
        said = f"{first}{_named(self.a)} against {side}: {self.words}{also}{each}"
        return f"{self.reads}: {said}"


@settings
class Reason:
    """Why a claim likely does not hold, with what shows it in what was built."""

    says: str
    """The reason."""
    shown_by: list[Comparison] = Field(min_length=1)
    """What was observed if it is right. Where that was not, the reason is not given."""


@settings
class Setting:
    """A setting that the paper leaves open, and of which the verdict is taken for each value."""

    column: str
    """The column of its values."""
    says: str
    """What it is."""


@settings
class Claim:
    """One claim of a paper, and what it takes to judge it."""

    claim: str
    """Its name."""
    where: str
    """Its place in the paper."""
    statement: str
    """What the paper says, in our words."""
    shown: list[str] = Field(default_factory=list)
    """The figures and tables, by their names in paper.yaml, in which it is to be seen."""
    parts: list[Comparison] = Field(min_length=1)
    """What is compared; all of it has to hold."""
    unit: str = "image"
    """What is drawn at random within a run: an image, a signal; ``run`` where a run gives one
    number."""
    reading: str = ""
    """What in it is our reading, where the paper's words are less sharp."""
    open: Setting | None = None
    """What the paper leaves open that decides."""
    absolute: bool = False
    """Whether a side is the paper's own number, which only its data at its scale can reproduce."""
    reasons: list[Reason] = Field(default_factory=list)
    """Why it likely does not hold, where it was found not to."""

    @property
    def criterion(self) -> str:
        """The rule of the verdict, in words."""
        said = "; ".join(part.criterion for part in self.parts)
        return f"{said} [{self.reading}]" if self.reading else said


def read_claims(path: str | Path) -> list[Claim]:
    """The claims of a paper's claims.yaml; raises pydantic's ValidationError."""
    text = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    return TypeAdapter(list[Claim]).validate_json(json.dumps(text))


def _named(side: Mapping[str, Any]) -> str:
    words = []
    for column, value in side.items():
        if value in ("smallest", "largest"):
            words.append(f"{value} {column}")
        elif isinstance(value, bool):
            words.append(column if value else f"not {column}")
        elif isinstance(value, int | float):
            words.append(f"{column} {value:g}")
        elif value != "*":
            words.append(_word(value))
    return " ".join(words)


def _word(value: Any) -> str:
    return " or ".join(map(str, value)) if isinstance(value, list) else str(value)
