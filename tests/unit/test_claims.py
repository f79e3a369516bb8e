"""Claims as data: what can be written, and the words of their criteria."""

from __future__ import annotations

import json

import pytest
from pydantic import TypeAdapter, ValidationError

from advsparse.config.loading import WORKFLOW
from advsparse.evaluate.claims import Claim, Comparison, Measure, read_claims

TEXT = {"claim": "c", "where": "figure 1", "statement": "a is larger"}
PAPERS = sorted(path.parents[1].name for path in WORKFLOW.glob("papers/*/reference/claims.yaml"))


def comparison(**values) -> Comparison:
    return Comparison(**{"reads": "t", "a": {"by": "a"}, "b": {"by": "b"}} | values)


@pytest.mark.parametrize("paper", PAPERS)
def test_the_claims_of_each_paper_are_read_and_told_apart(paper):
    claims = read_claims(WORKFLOW / "papers" / paper / "reference/claims.yaml")
    names = [claim.claim for claim in claims]
    assert len(names) == len(set(names)) > 10
    for claim in claims:
        assert claim.where and claim.statement and claim.criterion


def test_margins_are_those_of_the_scale_unless_given():
    assert Measure(scale="rate").matters == 0.05 and Measure(scale="ratio").matters == 0.1
    assert Measure(scale="rate", margin=0.02).matters == 0.02
    for scale in ("difference", "number"):
        with pytest.raises(ValidationError, match=f"margin: a {scale} needs one, in its unit"):
            Measure(scale=scale)
    for size in (-1, 0):
        assert refusal(Measure, scale="ratio", size=size) == f"size: a ratio is above 0, not {size}"


def refusal(kind, **values) -> str:
    """What is said of values that do not go together."""
    with pytest.raises(ValidationError) as refused:
        kind(**values)
    (error,) = refused.value.errors()
    return error["msg"].removeprefix("Value error, ")


@pytest.mark.parametrize(
    "more",
    [
        {"a": {"by": "a"}},
        {"b": {"by": "b"}},
        {"b": 0.5},
        {"and_also": [Measure()]},
        {"or_else": [Measure()]},
    ],
)
def test_a_trend_has_no_sides_and_no_second_measure(more):
    said = refusal(Comparison, reads="t", along="atoms", **more)
    assert said == "along: a trend has no sides, and no second measure"


def test_two_ways_are_not_mixed():
    said = refusal(comparison, and_also=[Measure()], or_else=[Measure()])
    assert said == "or_else: can't stand beside and_also"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"expects": "more"}, "expects"),
        ({"margin": 0}, "margin"),
        ({"tolerance": 1}, "tolerance"),
        ({"b": None}, "b"),
        ({"one_of": "b"}, "one_of"),
    ],
)
def test_what_is_wrong_in_a_claim_is_named(change, key):
    part = {"reads": "t", "a": {"by": "a"}, "b": {"by": "b"}} | change
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(list[Claim]).validate_json(json.dumps([TEXT | {"parts": [part]}]))
    assert key in str(refused.value)


def test_a_claim_has_parts_and_a_reason_something_that_shows_it():
    adapter = TypeAdapter(Claim)
    with pytest.raises(ValidationError, match="parts"):
        adapter.validate_json(json.dumps(TEXT | {"parts": []}))
    part = {"reads": "t", "a": {"by": "a"}, "b": 1}
    with pytest.raises(ValidationError, match="shown_by"):
        adapter.validate_json(json.dumps(TEXT | {"parts": [part], "reasons": [{"says": "so"}]}))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "t: a against b: above (rate, margin 0.05)"),
        (
            {"expects": "below", "scale": "ratio", "size": 0.8, "for_each": ["coder"]},
            "t: a against b: below (ratio, margin 0.1, about 0.8), for each coder",
        ),
        ({"b": 0.628, "expects": "alike"}, "t: a against 0.628: no different from (rate"),
        ({"over": ["budget", "eps"]}, ", mean over budget and eps"),
        ({"a": {"budget": "largest"}, "one_of": "a"}, "t: a row of largest budget against b"),
        ({"a": {"eps": 2.0, "big": True}, "b": {"big": False, "by": "*"}}, "eps 2 big against not"),
        ({"a": {"budget": "smallest"}}, "t: smallest budget against b: above"),
        ({"b": {"by": "*", "name": "z"}}, "t: a against z: above"),
        ({"rows": {"metric": ["x", "y"]}}, "above in x or y (rate"),
        (
            {"expects": "not_below", "and_also": [Measure(expects="not_above")]},
            "not below (rate, margin 0.05), and not above (rate, margin 0.05)",
        ),
        ({"or_else": [Measure()]}, "above (rate, margin 0.05), or above (rate, margin 0.05)"),
        (
            {"a": {}, "b": {}, "along": "atoms", "expects": "below", "rows": {"metric": "rate"}},
            "t: rate falls along atoms",
        ),
        ({"a": {}, "b": {}, "along": "atoms", "for_each": ["x"]}, "rises along atoms, for each x"),
    ],
)
def test_a_criterion_in_words(values, words):
    part = comparison(**values)
    assert words in part.criterion
    claim = Claim(**TEXT, parts=[part, part])
    assert claim.criterion == f"{part.criterion}; {part.criterion}"
    read = Claim(**TEXT, parts=[part], reading="so we read it")
    assert read.criterion == f"{part.criterion} [so we read it]"
