"""Tables as files, and numbers beside a paper's."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from advsparse.evaluate.beside import beside
from advsparse.evaluate.statistics import Estimate
from advsparse.figures.rendering import save_table

FOUND = Estimate(0.5, 200, 0.43, 0.57)
REAL = {"dataset": "cifar10", "role": "cifar10", "preset": "mini", "stand_in": False}


def test_a_number_stands_beside_the_papers_with_its_interval_and_data():
    assert beside("accuracy", "figure 1", 0.25, [FOUND], REAL) == {
        "quantity": "accuracy",
        "where": "figure 1",
        "paper": 0.25,
        "reproduced": 0.5,
        "difference": 0.25,
        "ci_low": 0.43,
        "ci_high": 0.57,
        "n": 200,
        "runs": 1,
        "sd over runs": None,
        "verdict": "not comparable: other data, or a reduced preset",
        "data": "cifar10, in the role of CIFAR-10",
        "preset": "mini",
    }


def test_several_runs_have_their_mean_and_the_interval_over_them():
    runs = [FOUND._replace(value=value) for value in (0.4, 0.5, 0.6)]
    row = beside("accuracy", "figure 1", 0.6, runs, REAL)
    found = stats.ttest_1samp([0.4, 0.5, 0.6], 0).confidence_interval(0.95)
    assert (row["runs"], row["n"], row["sd over runs"]) == (3, 200, pytest.approx(0.1))
    assert row["reproduced"] == pytest.approx(0.5) and row["difference"] == pytest.approx(-0.1)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((found.low, found.high))
    # Runs that are alike by chance are no better known than their images.
    alike = beside("accuracy", "figure 1", 0.6, [FOUND] * 3, REAL)
    assert (alike["ci_low"], alike["ci_high"]) == pytest.approx((FOUND.low, FOUND.high))
    none = beside("accuracy", "figure 1", 0.6, [], REAL)
    assert np.isnan(none["reproduced"]) and (none["n"], none["runs"]) == (0, 0)


def test_data_that_is_no_dataset_is_told_in_its_own_words():
    signals = {"stand_in": False, "data": "random signals", "preset": "paper"}
    assert beside("energy", "section 3", 0.5, [FOUND], signals)["data"] == "random signals"


@pytest.mark.parametrize(
    ("paper", "verdict"),
    [
        (0.42, "outside the interval"),
        (0.43, "within the interval"),
        (0.44, "within the interval"),
        (0.57, "within the interval"),
        (0.58, "outside the interval"),
    ],
)
def test_at_the_papers_data_and_scale_a_number_is_judged(paper, verdict):
    row = beside("accuracy", "figure 1", paper, [FOUND], REAL | {"preset": "paper"})
    assert row["verdict"] == verdict


def test_a_stand_in_has_no_difference_from_the_papers_number():
    row = beside("accuracy", "figure 1", 0.6, [FOUND], REAL | {"stand_in": True})
    assert row["difference"] is None and row["reproduced"] == 0.5


def outputs(folder):
    formats = ("csv", "json", "md", "html", "tex")
    return SimpleNamespace(**{name: str(folder / f"t.{name}") for name in formats})


def test_a_table_is_written_as_csv_markdown_html_and_latex(tmp_path):
    frame = pd.DataFrame({"what": ["a_b & 50 %", "x | y", "<b> < 1"], "value": [0.25, None, 1]})
    output = outputs(tmp_path)
    save_table({"frame": frame, "title": "A table", "note": "Of 100 % things."}, output)
    tex = (tmp_path / "t.tex").read_text()
    assert tex.startswith("% Of 100 % things.\n")
    assert r"a\_b \& 50 \%" in tex and "0.25" in tex
    assert r"\begin{longtable}" in tex and r"\caption{A table}" in tex
    markdown = (tmp_path / "t.md").read_text()
    assert r"x \| y" in markdown and "&lt;b> < 1" in markdown
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "t.csv"), frame)


def test_measured_times_stay_out_of_the_csv(tmp_path):
    frame = pd.DataFrame({"what": ["a"], "seconds": [0.25]})
    output = outputs(tmp_path)
    save_table({"frame": frame, "title": "", "note": "", "timed": ["seconds"]}, output)
    assert (tmp_path / "t.csv").read_text() == "what\na\n"
    assert json.loads((tmp_path / "t.json").read_text()) == [{"what": "a", "seconds": 0.25}]
    assert "0.25" in (tmp_path / "t.md").read_text()
