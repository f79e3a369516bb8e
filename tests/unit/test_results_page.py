"""docs/results.md, and a page for each paper, from a run's tables."""

import json

import pandas as pd
import pytest

from advsparse.results_page import write

TABLES = {"claims": {"title": "Its claims"}, "numbers": {"title": "Its numbers"}}
RECORD = {
    "commit": {"commit": "0123456789abcdef", "clean": True},
    "machine": {"processor": "a processor", "devices": ["cpu"]},
    "configuration": {
        "papers": ["p", "study"],
        "repetitions": 3,
        "settings": {
            "p": {"title": "A paper, 2020", "tables": TABLES},
            "study": {
                "title": "A study that claims nothing",
                "tables": {"found": {"title": "What was found"}, "warnings": {"title": "Warnings"}},
            },
        },
    },
}
CLAIM = {"claim": "c", "where": "figure 1", "paper": "a | b", "effect": "+0.5", "data": "real"}
CLAIM |= {"likely reason": "", "n": "8 images x 3 runs", "margin": "0.05"}
NUMBER = {"quantity": "q", "paper": 0.6, "reproduced": 0.512345, "difference": -0.08768}


@pytest.fixture
def run(tmp_path):
    """Writes a run's record and tables, and then the pages; what these say."""
    results, docs = tmp_path / "results", tmp_path / "docs"
    for folder in (results / "p" / "tables", results / "study" / "tables", docs):
        folder.mkdir(parents=True)
    for name, seconds in (("a", 60.0), ("b/c", 120.0)):
        path = results / "benchmarks" / "p" / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\tmax_rss\n{seconds}\t10\n")

    def written(claims, record=RECORD, preset="mini", paper="p"):
        (results / "provenance.json").write_text(json.dumps(record))
        pd.DataFrame(claims).to_csv(results / f"{paper}/tables/claims.csv", index=False)
        pd.DataFrame([NUMBER]).to_csv(results / f"{paper}/tables/numbers.csv", index=False)
        return {path.name: path.read_text() for path in write(results, preset, docs)}

    written.results, written.docs = results, docs
    return written


def test_the_pages_count_each_class_and_show_numbers(run):
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
    pages = run([CLAIM | {"verdict": verdict} for verdict in verdicts])
    assert list(pages) == ["results.md", "results_p.md"]
    counted = (
        "2 supported, 1 supported in direction, not in size, 1 contradicted, "
        "1 contradicted: no difference, 1 undecided, 1 depends on the run, 1 depends on a setting "
        "the paper leaves open, 1 not comparable, 1 not judged, 2 fewer than 3 runs"
    )
    text = pages["results_p.md"]
    assert f"Of 12 claims: {counted}." in text
    assert "# A paper, 2020\n" in text and "in 3 runs" in text
    assert r"a \| b" in text and "0.5123" in text and "-0.08768" in text
    assert "commit 0123456789 on a processor, cpu" in text and "3 minutes" in text
    overview = pages["results.md"]
    assert "[A paper, 2020](results_p.md)" in overview
    assert f"All 12 claims together: {counted}." in overview


def test_what_was_not_built_keeps_the_page_that_it_has(run):
    first = run([CLAIM | {"verdict": "supported"}])["results_p.md"]
    settings = RECORD["configuration"]["settings"]
    both = settings | {"q": {"title": "Another paper", "tables": TABLES}}
    record = RECORD | {"configuration": RECORD["configuration"] | {"settings": both}}
    for path in run.results.glob("p/tables/*"):
        path.unlink()
    (run.results / "q" / "tables").mkdir(parents=True)
    pages = run([CLAIM | {"verdict": "contradicted"}], record, paper="q")
    assert list(pages) == ["results.md", "results_q.md"]
    assert (run.docs / "results_p.md").read_text() == first
    assert "[A paper, 2020](results_p.md)" in pages["results.md"]
    assert "All 2 claims together: 1 supported, 1 contradicted." in pages["results.md"]


def test_a_study_that_claims_nothing_shows_its_tables(run):
    found = pd.DataFrame({"defence": ["a", "None"], "accuracy": [0.25, None]})
    found.to_csv(run.results / "study/tables/found.csv", index=False)
    text = run([CLAIM | {"verdict": "supported"}])["results_study.md"]
    assert "## What was found" in text and "0.25" in text and "None" in text
    assert "Warnings" not in text and "nan" not in text


def test_what_is_not_made_as_often_as_the_rest_is_named(run):
    claims = [CLAIM | {"verdict": "supported"}]
    assert "as often" not in run(claims)["results_p.md"]
    paper = RECORD["configuration"]["settings"]["p"] | {"repetitions": {"slow": 1, "slower": 2}}
    configuration = RECORD["configuration"] | {"settings": {"p": paper}}
    said = "Not made as often as the rest: `slow` in one run, `slower` in 2 runs."
    assert said in run(claims, RECORD | {"configuration": configuration})["results_p.md"]


def test_a_commit_that_is_unknown_is_said_to_be(run):
    claims = [CLAIM | {"verdict": "supported"}]
    unknown = {"commit": "unknown: not a git checkout", "clean": None}
    said = run(claims, RECORD | {"commit": unknown})["results_p.md"]
    assert "commit unknown: not a git checkout on" in said
    changed = RECORD["commit"] | {"clean": False}
    said = run(claims, RECORD | {"commit": changed})["results_p.md"]
    assert "commit 0123456789 (and changes to it) on" in said


def test_a_run_on_stand_ins_makes_no_page(run):
    claims = [CLAIM | {"verdict": "supported", "data": "photos, a stand-in for CIFAR-10"}]
    with pytest.raises(ValueError, match="stand-ins"):
        run(claims, preset="demo")
    assert not list(run.docs.iterdir())


def test_a_run_without_tables_is_named(run):
    with pytest.raises(FileNotFoundError) as caught:
        (run.results / "provenance.json").write_text(json.dumps(RECORD))
        write(run.results, "mini", run.docs)
    assert caught.value.filename == str(run.results / "p" / "tables")


def test_verdicts_of_an_older_version_are_told(run):
    with pytest.raises(ValueError, match="'holds' is no verdict of this version: build the table"):
        run([CLAIM | {"verdict": "holds"}])
