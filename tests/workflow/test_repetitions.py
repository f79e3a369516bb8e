"""Repetitions: what each makes anew, what all share, where it lies, and what looks at all."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from test_build import results

from advsparse.artifacts import read_arrays, read_rows
from advsparse.config.loading import load
from advsparse.config.plan import Plan
from advsparse.data._io import load_dataset
from project import Project

ROWS = "results/test/frecon2021/repetition-{}/rows/tradeoff.csv"


def repeat(project: Project, count: int, before: int = 1) -> None:
    project.edit("config.yaml", f"repetitions: {before}", f"repetitions: {count}")


def claims(project):
    with (results(project) / "frecon2021/tables/claims.csv").open(encoding="utf-8") as file:
        return {row["claim"]: row for row in csv.DictReader(file)}


def test_a_repetition_is_made_beside_the_first_and_draws_everything_anew(project):
    folder = results(project) / "frecon2021"
    before = {path: path.stat().st_mtime_ns for path in (folder / "attacks").rglob("*.npz")}
    repeat(project, 2)
    planned = project.jobs()
    # What looks at all repetitions is made anew besides, and the record of the run.
    assert {job for job in planned if "repetition-1" not in job} == {
        "make_table claims",
        "make_table numbers",
        "make_table warnings",
        "draw_figure tradeoff",
        "write_provenance",
        "write_results_pages",
    }
    project.snakemake()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    own = folder / "repetition-1"
    for attack in ("deepfool", "scada_shortened", "fgsm/eps=0.0156863"):
        first, told = read_arrays(folder / f"attacks/{attack}.npz", stage="attack")
        second, other = read_arrays(own / f"attacks/{attack}.npz", stage="attack")
        assert told.seed != other.seed and told.params["method"] == other.params["method"]
        assert not np.array_equal(first["index"], second["index"])  # other images
        assert not np.array_equal(first["x_adv"], second["x_adv"])
    weights = [(path / "classifiers/lenet.safetensors").read_bytes() for path in (folder, own)]
    assert weights[0] != weights[1]
    rows, _ = read_rows(own / "rows/tradeoff.csv", stage="rows")
    assert set(rows["repetition"]) == {1}
    samples, _ = read_arrays(own / "rows/tradeoff.npz", stage="rows")
    fooled = rows[(rows["attack"] == "deepfool") & (rows["metric"] == "fooling_rate")]["value"]
    assert samples["lenet:deepfool:fooling_rate"].mean() == fooled.iloc[0]
    count = len(load_dataset(results(project) / "datasets/photos.safetensors").labels("test"))
    assert samples["lenet:none:accuracy"].shape == (count,)
    found = claims(project)
    assert found["accuracy"]["n"] == f"{count} images x 2 runs"
    assert found["loss_falls"]["n"] == "2 runs"
    # Neither the first nor the second hangs on how many there are.
    repeat(project, 4, 2)
    assert not {job for job in project.jobs() if "repetition-1" in job}


def test_what_no_repetition_is_made_of_can_not_be_asked_for(sources):
    repeat(sources, 2)
    done = sources.snakemake("-n", ROWS.format(2), check=False)
    assert done.returncode and "MissingRuleException" in done.stdout + done.stderr
    sources.configure("settings: {frecon2021: {repetitions: {tradeof: 1}}}\n")
    done = sources.snakemake("-n", check=False)
    said = "settings.frecon2021.repetitions.tradeof: no experiment or analysis 'tradeof'; did you"
    assert said in done.stdout + done.stderr


def test_parts_may_be_repeated_less_often(sources):
    repeat(sources, 3)
    sources.configure("settings: {frecon2021: {repetitions: {tradeoff: 1, atoms: 2}}}\n")
    again = {job for job in sources.jobs() if "repetition-" in job}
    assert {job for job in again if job.startswith("evaluate")} == {
        "evaluate_attacks repetition-1 atoms"
    }
    attacks = {job for job in again if job.startswith("run_attack")}
    assert attacks and all("repetition-1 scada_atoms/" in job for job in attacks)
    done = sources.snakemake("-n", ROWS.format(1), check=False)
    assert "frecon2021: experiment tradeoff is made once" in done.stderr + done.stdout


def test_a_repetition_that_fails_is_left_out_and_said(project):
    repeat(project, 2)
    # Less of it: the grid is what takes time.
    project.configure(
        "settings: {frecon2021: {attacks: {scada: {grid: {lambda1: [0.01], lambda2: [0.001]}}}}}\n"
    )
    configuration = load([project.path / "config.yaml"], {"preset": "test"})
    seed = Plan(configuration).of(1).seed("photos", "lenet", "deepfool")
    project.edit(
        "workflow/advsparse/attacks/deepfool.py",
        "    def perturb(self, oracle, x, y, target, rng) -> Candidate:\n",
        "    def perturb(self, oracle, x, y, target, rng) -> Candidate:\n"
        f"        if rng.seed == {seed}:\n"
        '            raise RuntimeError("no luck")\n',
    )
    done = project.snakemake("--keep-going", check=False)
    assert done.returncode == 1
    found = claims(project)
    assert "run 1: deepfool failed" in found["specific"]["data"]
    assert found["specific"]["n"].endswith("images x one run")
    assert found["accuracy"]["n"].endswith("images x 2 runs")
    folder = results(project) / "frecon2021"
    assert '"deepfool, repetition 1",lenet,failed' in (folder / "tables/warnings.csv").read_text()
    assert (folder / "figures/tradeoff.png").exists()
    rows, _ = read_rows(project.path / ROWS.format(1), stage="rows")
    assert "no luck" in rows[rows["metric"] == "failed"]["note"].iloc[0]


@pytest.mark.parametrize("paper", ["frecon2021", "weitzner2023"])
def test_each_stage_of_a_paper_has_repetitions(sources, paper):
    repeat(sources, 2)
    config = sources.path / "config.yaml"
    config.write_text(config.read_text().replace("papers: [frecon2021]", f"papers: [{paper}]"))
    rules = {job.split()[0] for job in sources.jobs() if "repetition-1" in job}
    own = {"frecon2021": set(), "weitzner2023": {"train_coder", "analyse"}}[paper]
    assert rules == own | {"train_classifier", "fit_attack", "run_attack", "evaluate_attacks"}
