"""The lines of a table of claims, and what figures and tables read of all repetitions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from advsparse.evaluate.claims import Claim, Comparison, Reason
from advsparse.evaluate.judging import judge
from advsparse.evaluate.repeated import Read, again, repeated
from advsparse.evaluate.verdict_table import claims_table, effects_table, number_of, totals

TEXT = {"claim": "c", "where": "figure 1", "statement": "a is larger"}


def rows(*shares, n=100):
    """A row for each of the sides a, b, c, ..., which so many of the images speak for."""
    return pd.DataFrame(
        {"by": by, "samples": np.arange(n) < share * n}
        for by, share in zip("abcdefg", shares, strict=False)
    )


def judged(*shares, runs=3, part=None, n=100, **values):
    part = part or Comparison(reads="t", a={"by": "a"}, b={"by": "*"}, **values)
    return judge(Claim(**TEXT, parts=[part]), [{"t": rows(*shares, n=n)}] * runs)


def line(one, data="real data"):
    (record,) = claims_table([one], lambda claim: data).to_dict("records")
    return record


def test_a_line_says_what_a_reader_needs():
    assert line(judged(0.7, 0.4)) == {
        "claim": "c",
        "where": "figure 1",
        "paper": "a is larger",
        "judged by": "t: a against : above (rate, margin 0.05)",
        "effect": "a against b: +0.3 [0.257, 0.347]",
        "n": "100 images x 3 runs",
        "margin": "0.05",
        "verdict": "supported",
        "likely reason": "",
        "data": "real data",
    }
    alone = line(judged(0.7, 0.4, runs=1))
    assert alone["n"] == "100 images x one run" and alone["verdict"] == "one run: supported"


def test_a_ratio_and_a_difference_are_told_as_such():
    table = pd.DataFrame({"by": by, "samples": np.full(8, v)} for by, v in (("a", 3.0), ("b", 2.0)))
    for scale, effect, margin in (
        ("ratio", "a against b: x 1.5 [1.5, 1.5]", "10 %"),
        ("difference", "a against b: +1 [1, 1]", "0.1"),
    ):
        part = Comparison(reads="t", a={"by": "a"}, b={"by": "b"}, scale=scale, margin=0.1)
        found = line(judge(Claim(**TEXT, parts=[part]), [{"t": table}] * 3))
        assert (found["effect"], found["margin"]) == (effect, margin)
    part = Comparison(reads="t", a={"by": "b"}, b={"by": "a"}, expects="below", scale="ratio")
    found = line(judge(Claim(**TEXT, parts=[part]), [{"t": table}] * 3))
    assert found["effect"] == "b against a: x 0.667 [0.667, 0.667]"
    assert found["verdict"] == "supported"


def test_many_effects_are_told_by_their_ends():
    few = line(judged(0.7, 0.4, 0.3, 0.2, 0.1))["effect"]
    assert [effect.split(": ")[0] for effect in few.split("; ")] == [
        f"a against {b}" for b in "bcde"
    ]
    many = line(judged(0.7, 0.4, 0.3, 0.2, 0.1, 0.6))["effect"]
    assert many.startswith("5 rates, as claimed least +0.1 [")
    assert "(a against f) and most +0.6 [" in many and many.endswith("(a against e)")


def test_ends_are_of_each_measure():
    table = pd.concat([rows(0.9, 0.4, 0.3, 0.2).assign(metric=m) for m in ("rate", "other")])
    parts = [
        Comparison(reads="t", rows={"metric": metric}, a={"by": "a"}, b={"by": "*"})
        for metric in ("rate", "other")
    ]
    effect = line(judge(Claim(**TEXT, parts=parts), [{"t": table.reset_index(drop=True)}] * 3))
    first, second = effect["effect"].split("; ")
    assert first.startswith("3 rates of rate, as claimed least +0.5 [")
    assert second.startswith("3 rates of other, as claimed least +0.5 [")


def test_a_measure_of_one_effect_stands_beside_one_of_many():
    one = rows(0.9, 0.4).assign(metric="rate", kind="new")
    many = rows(0.9, 0.4, 0.3, 0.2, 0.1).assign(metric="other", kind="old")
    sides = {"reads": "t", "a": {"by": "a"}}
    parts = [
        Comparison(**sides, b={"by": "b"}, rows={"metric": "rate", "kind": "new"}, margin=0.02),
        Comparison(**sides, b={"by": list("bcde")}, rows={"metric": "other", "kind": "old"}),
    ]
    judgement = judge(
        Claim(**TEXT, parts=parts), [{"t": pd.concat([one, many], ignore_index=True)}] * 3
    )
    found = line(judgement)
    first, second = found["effect"].split("; ")
    assert first.startswith("a against b, rate, new: +0.5 [")
    assert second.startswith("4 rates of other, old, as claimed least +0.5 [")
    assert " (a against b) and most +0.8 [" in second and second.endswith(" (a against e)")
    assert found["margin"] == "0.02, 0.05"
    table = effects_table([judgement], lambda claim: "")
    assert list(table["of"]) == ["rate, new", *["other, old"] * 4]


def test_all_reasons_that_were_seen_are_given():
    above = Comparison(reads="t", a={"by": "a"}, b={"by": "b"})
    below = Comparison(reads="t", a={"by": "b"}, b={"by": "a"})
    reasons = [Reason(says=says, shown_by=[below]) for says in ("one", "another")]
    found = judge(Claim(**TEXT, parts=[above], reasons=reasons), [{"t": rows(0.4, 0.7)}] * 3)
    assert line(found)["likely reason"] == "one; another"


def test_what_was_left_out_and_units():
    part = Comparison(reads="t", a={"by": "a"}, b={"by": "b"})
    good = {"t": rows(0.7, 0.4)}
    lost = {"t": rows(0.7).assign(failed=None)}
    lost["t"].loc[1] = {"by": "b", "samples": None, "failed": "no luck"}
    lost["t"]["attack"] = ["x", "cw"]
    found = line(judge(Claim(**TEXT, parts=[part], unit="signal"), [good, good, lost]))
    assert found["n"] == "100 signals x 2 runs"
    assert found["data"] == "real data; run 2: cw failed"
    nothing = line(judge(Claim(**TEXT, parts=[part]), [lost]))
    assert (nothing["n"], nothing["effect"], nothing["margin"]) == ("", "", "")
    whole = pd.DataFrame({"by": by, "samples": np.array(v)} for by, v in (("a", 1.0), ("b", 0.0)))
    part = Comparison(reads="t", a={"by": "a"}, b={"by": "b"}, scale="number", margin=0.1)
    of_run = line(judge(Claim(**TEXT, parts=[part], unit="run"), [{"t": whole}] * 3))
    assert of_run["n"] == "3 runs"


def test_images_of_several_effects_are_a_range():
    table = rows(0.7, 0.4, 0.2)
    table.at[2, "samples"] = np.where(np.arange(100) < 30, 0.0, np.nan)
    part = Comparison(reads="t", a={"by": "a"}, b={"by": "*"}, scale="difference", margin=0.1)
    found = line(judge(Claim(**TEXT, parts=[part]), [{"t": table}] * 3))
    assert found["n"] == "30 to 100 images x 3 runs"


def test_every_effect_has_a_line_of_its_own():
    one = judged(0.7, 0.4, 0.75)
    table = effects_table([one], lambda claim: f"data of {claim.claim}")
    assert list(table["b"]) == ["b", "c"] and list(table["effect"]) == pytest.approx([0.3, -0.05])
    first = table.iloc[0]
    assert first["claim"] == "c" and first["a"] == "a" and first["data"] == "data of c"
    assert (first["scale"], first["expects"], first["n"], first["runs"]) == (
        "rate",
        "above",
        100,
        3,
    )
    assert first["low"] < 0.3 < first["high"] and first["p for"] < 1e-3 < first["p against"]
    assert (first["for"], first["of"]) == ("", "")


def test_totals_are_by_class():
    said = ["supported", "supported", "one run: supported", "12 runs: undecided"]
    assert totals(said) == {"supported": 2, "fewer than 3 runs": 2}
    assert totals([]) == {}
    assert number_of(1) == "one run" and number_of(2) == "2 runs"


TOLD = [{"of": "first"}, {"of": "second", "repetition": 1}, {"of": "third", "repetition": 2}]


def test_repetitions_are_read_in_their_order():
    settings = {"reads": {"rows": TOLD}, "failures": {}}
    assert repeated({"rows": ["a", "b", "c"]}, settings, "rows") == [
        Read(0, TOLD[0], "a"),
        Read(1, TOLD[1], "b"),
        Read(2, TOLD[2], "c"),
    ]
    del settings["failures"]
    assert [one.path for one in repeated({"rows": ["a", "b", "c"]}, settings, "rows")] == [*"abc"]


def test_what_is_repeated_is_called_so_but_for_the_first_time():
    assert [again(number) for number in (0, 1, 12)] == ["", ", repetition 1", ", repetition 12"]


def test_repetitions_that_failed_say_why():
    failures = {"rows": {"tradeoff, repetition 1": "no luck"}, "others": {"x": "not here"}}
    settings = {"reads": {"rows": TOLD}, "failures": failures}
    assert repeated({"rows": ["a", "c"]}, settings, "rows") == [
        Read(0, TOLD[0], "a"),
        Read(1, TOLD[1], None, "no luck"),
        Read(2, TOLD[2], "c"),
    ]
    failures["rows"] = {"tradeoff": "lost", "tradeoff, repetition 2": "gone"}
    found = repeated({"rows": ["b"]}, settings, "rows")
    assert [(one.path, one.failed) for one in found] == [
        (None, "lost"),
        ("b", None),
        (None, "gone"),
    ]
    failures["rows"] = {"tradeoff": "lost"}
    assert [
        one.path for one in repeated({}, {**settings, "reads": {"rows": TOLD[:1]}}, "rows")
    ] == [None]
