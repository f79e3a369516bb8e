"""The repetitions that undecided claims need, and what they cost."""

from __future__ import annotations

import pandas as pd

from advsparse.runs_needed import Needed, lines, seconds_a_repetition, undecided


def test_undecided_claims_are_listed_with_the_runs_they_need(tmp_path):
    verdicts = {
        "a": "supported",
        "b": "undecided (about 12 runs needed)",
        "c": "one run: undecided (about 4 runs needed)",
        "d": "undecided",
    }
    folder = tmp_path / "p/tables"
    folder.mkdir(parents=True)
    frame = pd.DataFrame({"claim": list(verdicts), "verdict": list(verdicts.values())})
    frame.to_csv(folder / "claims.csv", index=False)
    assert list(undecided(tmp_path, ["p"])) == [
        Needed("p", "b", 12),
        Needed("p", "c", 4),
        Needed("p", "d", None),
    ]


def benchmark(path, seconds):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:00\t100\n")


def test_a_repetition_costs_what_its_own_jobs_took(tmp_path):
    benchmark(tmp_path / "p/attacks/cw.tsv", 10)
    benchmark(tmp_path / "p/attacks/scada/lambda1=1.tsv", 5)
    benchmark(tmp_path / "p/figures/tradeoff.tsv", 1000)
    benchmark(tmp_path / "datasets/digits.tsv", 1000)
    benchmark(tmp_path / "p/repetition-1/attacks/cw.tsv", 20)
    benchmark(tmp_path / "p/repetition-1/rows/tradeoff.tsv", 2)
    assert seconds_a_repetition(tmp_path) == {"p": 22.0}


def test_what_is_told():
    found = [Needed("p", "b", 12), Needed("p", "c", 2), Needed("q", "d", None)]
    assert list(lines(found, {"p": 1800.0}, 3)) == [
        "p b: about 12 runs, 9 more, 4.5 hours of jobs",
        "p c: about 2 runs, 0 more, 0 hours of jobs",
        "q d: undecided",
    ]
    assert list(lines(found[2:], {}, 1)) == ["q d: undecided; 3 runs would tell how many it takes"]
    assert list(lines([], {}, 1)) == ["no claim is undecided"]
