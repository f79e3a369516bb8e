"""Where the time went, from benchmark files."""

from __future__ import annotations

from pathlib import Path

import pytest

from advsparse.cost import cost
from advsparse.provenance import duration, page

HEAD = "s\th:m:s\tmax_rss\tmax_vms\n"


@pytest.fixture
def benchmarks(tmp_path) -> Path:
    for name, row in {
        "p/attacks/cw": "30.0\t0:00:30\t700.4\t1\n",
        "p/attacks/fgsm/eps=0.1": "10.0\t0:00:10\t900.0\t1\n",
        "p/attacks/gone": "500.0\t0:08:20\t9999.0\t1\n",
        "p/classifiers/lenet": "60.0\t0:01:00\t800.0\t1\n",
        "datasets/photos": "0.4\t0:00:00\tNA\t-\n",
    }.items():
        path = tmp_path / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEAD + row)
    return tmp_path


JOBS = {
    "make_dataset": ["datasets/photos"],
    "run_attack": ["p/attacks/cw", "p/attacks/fgsm/eps=0.1", "p/attacks/not_yet"],
    "analyse": ["p/analyses/none"],
    "train_classifier": ["p/classifiers/lenet"],
}


def test_rules_are_added_up_and_the_most_expensive_comes_first(benchmarks):
    training, attacks, dataset = cost(benchmarks, JOBS)
    assert [row["rule"] for row in (training, attacks, dataset)] == [
        "train_classifier",
        "run_attack",
        "make_dataset",
    ]
    assert (attacks["jobs"], attacks["seconds"], attacks["peak_mib"]) == (2, 40.0, 900)
    assert (attacks["longest"], attacks["longest_seconds"]) == ("p/attacks/cw", 30.0)
    assert attacks["share"] == pytest.approx(40 / 100.4, abs=1e-4)


def test_files_of_jobs_that_are_no_longer_there_do_not_count(benchmarks):
    with_them = cost(benchmarks, JOBS)
    (benchmarks / "p/attacks/gone.tsv").unlink()
    assert cost(benchmarks, JOBS) == with_them


@pytest.mark.parametrize("text", ["", HEAD, HEAD + "12", HEAD + "\t", "no table"])
def test_a_file_that_was_cut_off_costs_no_report(benchmarks, text):
    (benchmarks / "p/attacks/cw.tsv").write_text(text)
    assert cost(benchmarks, JOBS)[0]["rule"] == "train_classifier"


def test_nothing_measured(tmp_path):
    assert cost(tmp_path, JOBS) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.9, "59.9 s"),
        (61, "1 min 01 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_the_page_shows_preset_seed_and_where_the_time_went(benchmarks):
    entries = {
        "written": "now",
        "preset": "mini",
        "seed": 42,
        "commit": {"commit": "0123", "clean": False},
        "machine": {"processor": "a <processor>", "devices": ["cuda: a GPU"]},
        "versions": {"python": "3.11"},
        "cost": cost(benchmarks, JOBS),
        "configuration": {"preset": "mini", "seed": 42},
    }
    text = page(entries)
    for part in ("mini", "42", "uncommitted changes", "cuda: a GPU", "1 min 40 s", "59.8 %"):
        assert part in text
    assert "a &lt;processor&gt;" in text
    assert text.index("train_classifier") < text.index("run_attack")
