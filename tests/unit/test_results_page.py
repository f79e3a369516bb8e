"""docs/results.md from a run's tables."""

import json

import pandas as pd
import pytest

from advsparse.results_page import page

RECORD = {
    "commit": {"commit": "0123456789abcdef", "clean": True},
    "machine": {"processor": "a processor", "devices": ["cpu"]},
    "cost": [{"stage": "a", "seconds": 60.0}, {"stage": "b", "seconds": 120.0}],
    "configuration": {
        "papers": ["p", "study"],
        "repetitions": 3,
        "settings": {
            "p": {"title": "A paper, 2020", "tables": {"claims": {}, "numbers": {}}},
            "study": {"title": "A study that claims nothing", "tables": {"defenses": {}}},
        },
    },
}
CLAIM = {"claim": "c", "where": "figure 1", "paper": "a | b", "effect": "+0.5", "data": "real"}
CLAIM |= {"likely reason": "", "n": "8 images x 3 runs", "margin": "0.05"}
NUMBER = {"quantity": "q", "paper": 0.6, "reproduced": 0.512345, "difference": -0.08768}


@pytest.fixture
def results(tmp_path):
    (tmp_path / "p" / "tables").mkdir(parents=True)
    (tmp_path / "provenance.json").write_text(json.dumps(RECORD))

    def write(claims, numbers=(NUMBER,)):
        pd.DataFrame(claims).to_csv(tmp_path / "p/tables/claims.csv", index=False)
        pd.DataFrame(numbers).to_csv(tmp_path / "p/tables/numbers.csv", index=False)
        return tmp_path

    return write


def test_the_page_counts_each_class_and_shows_numbers(results):
    verdicts = [
        "contradicted",
        "supported",
        "one run: supported",
        "contradicted: no difference",
        "supported in direction, not in size",
        "undecided (about 7 runs needed)",
        "2 runs: undecided",
        "supported",
        "not comparable",
        "not judged: cw failed",
        "depends on the run",
        "depends on a setting the paper leaves open: budgets",
    ]
    text = page(results([CLAIM | {"verdict": verdict} for verdict in verdicts]), "mini")
    assert (
        "Of 12 claims: 2 supported, 1 supported in direction, not in size, 1 contradicted, "
        "1 contradicted: no difference, 1 undecided, 1 depends on the run, 1 depends on a setting "
        "the paper leaves open, 1 not comparable, 1 not judged, 2 fewer than 3 runs."
    ) in text
    assert "## A paper, 2020" in text and "in 3 runs" in text
    assert r"a \| b" in text and "0.5123" in text and "-0.08768" in text
    assert "commit 0123456789 on" in text and "3 minutes" in text


def test_what_is_not_made_as_often_as_the_rest_is_named(results):
    folder = results([CLAIM | {"verdict": "supported"}])
    assert "as often" not in page(folder, "mini")
    paper = RECORD["configuration"]["settings"]["p"] | {"repetitions": {"slow": 1, "slower": 2}}
    configuration = RECORD["configuration"] | {"settings": {"p": paper}}
    (folder / "provenance.json").write_text(json.dumps(RECORD | {"configuration": configuration}))
    said = "Not made as often as the rest: `slow` in one run, `slower` in 2 runs."
    assert said in page(folder, "mini")


def test_a_commit_that_is_unknown_is_said_to_be(results):
    folder = results([CLAIM | {"verdict": "supported"}])
    unknown = {"commit": "unknown: not a git checkout", "clean": None}
    (folder / "provenance.json").write_text(json.dumps(RECORD | {"commit": unknown}))
    assert "commit unknown: not a git checkout on" in page(folder, "mini")
    changed = RECORD["commit"] | {"clean": False}
    (folder / "provenance.json").write_text(json.dumps(RECORD | {"commit": changed}))
    assert "commit 0123456789 (and changes to it) on" in page(folder, "mini")


def test_a_run_on_stand_ins_makes_no_page(results):
    claims = [CLAIM | {"verdict": "supported", "data": "photos, a stand-in for CIFAR-10"}]
    with pytest.raises(ValueError, match="stand-ins"):
        page(results(claims), "demo")


def test_a_missing_table_is_named(results):
    folder = results([CLAIM | {"verdict": "supported"}])
    (folder / "p/tables/numbers.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"numbers\.csv"):
        page(folder, "mini")


def test_verdicts_of_an_older_version_are_told(results):
    with pytest.raises(ValueError, match="'holds' is no verdict of this version: build the table"):
        page(results([CLAIM | {"verdict": "holds"}]), "mini")
