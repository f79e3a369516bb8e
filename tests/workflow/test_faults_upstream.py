"""A dataset, coder or classifier that fails: what depends on it is a gap with the reason."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from test_build import results
from test_weitzner2023 import TABLES

from advsparse.artifacts import read_rows
from project import Project

NAN = "the training loss is"
LENET = "frecon2021/classifiers/lenet.safetensors"
UNTRAINABLE = (
    "settings: {frecon2021: {models: {lenet: {training: {optimizer: sgd, learning_rate: 1.0e+9}}}}}"
)


def lines(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_what_was_made_from_the_former_output_of_a_failed_job_is_not_up_to_date(project):
    """Neither is it lost: with the former settings nothing has to be made again."""
    assert project.jobs() == set()
    before = (project.path / "config.yaml").read_text()
    project.configure(UNTRAINABLE)
    jobs = project.jobs()
    assert {"train_classifier lenet", "fit_attack scada", "draw_figure loss"} <= jobs
    said = project.snakemake(check=False)
    assert said.returncode == 1 and not (results(project) / LENET).exists()
    assert project.jobs() == jobs
    (project.path / "config.yaml").write_text(before)
    assert project.jobs() == set()


@pytest.fixture(scope="module")
def without_classifier(built, tmp_path_factory):
    """frecon2021 after a run whose only classifier can't be trained, and what the run said."""
    project = Project(tmp_path_factory.mktemp("no-classifier") / "project")
    shutil.copytree(built.path, project.path, symlinks=True)
    project.configure(UNTRAINABLE)
    return project, project.snakemake("--keep-going", check=False)


def test_a_network_whose_loss_is_not_finite_leaves_gaps_that_say_so(without_classifier, built):
    project, done = without_classifier
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "Traceback" not in said
    assert f"frecon2021 classifier lenet: {NAN}" in said.rpartition("tried again")[2]
    folder = results(project) / "frecon2021"
    because = f"because classifier lenet failed: {NAN}"
    rows, _ = read_rows(folder / "rows/tradeoff.csv", stage="rows")
    whole, _ = read_rows(results(built) / "frecon2021/rows/tradeoff.csv", stage="rows")
    assert set(rows["attack"]) == set(whole["attack"]) - {"none"}
    assert set(rows["metric"]) == {"failed"} and rows["note"].str.startswith(because).all()
    for name in ("atoms", "examples", "loss", "tradeoff", "number_of_atoms"):
        shown = lines(folder / f"figures/{name}.csv")
        assert shown and all(row["failed"].startswith(because) for row in shown), name
        assert (folder / f"figures/{name}.pdf").exists()
    verdicts = {row["verdict"].partition(":")[0] for row in lines(folder / "tables/claims.csv")}
    assert verdicts == {"not judged"}
    assert because in (folder / "tables/numbers.md").read_text()
    assert because in (folder / "tables/cost.md").read_text()
    warned = lines(folder / "tables/warnings.csv")
    assert {row["attack"] for row in warned} == set(rows["attack"]) | set(
        read_rows(folder / "rows/atoms.csv")[0]["attack"]
    )
    project.snakemake("--report", "report.html")


def test_the_next_run_tries_the_classifier_again(without_classifier):
    jobs = without_classifier[0].jobs()
    assert {"train_classifier lenet", "run_attack deepfool", "evaluate_attacks tradeoff"} <= jobs
    assert "make_dataset photos" not in jobs


def test_a_dataset_of_one_class_and_a_coder_that_fails_leave_the_rest_alone(built_codes, tmp_path):
    project = Project(tmp_path / "project")
    shutil.copytree(built_codes.path, project.path, symlinks=True)
    x, y = np.zeros((8, 64, 64, 3), np.uint8), np.zeros(8, np.int64)
    np.savez(tmp_path / "one.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    project.configure(f"""
datasets: {{one: {{kind: npz, path: {tmp_path / "one.npz"}}}}}
roles: {{tiny_imagenet: one}}
settings:
  weitzner2023: {{coders: {{lista_b: {{training: {{optimizer: sgd, learning_rate: 1.0e+30}}}}}}}}
""")
    done = project.snakemake("--keep-going", check=False)
    said = (done.stdout + done.stderr).rpartition("tried again")[2]
    assert done.returncode == 1
    assert "dataset one: " in said and "two classes or more" in said
    assert f"weitzner2023 coder lista_b: {NAN}" in said
    log = results(project) / "logs/datasets/one.log"
    assert "two classes or more" in log.read_text()
    folder = results(project) / "weitzner2023"
    gaps = {
        "coding": "because coder lista_b failed",
        "coding_da": "because coder lista_b failed",
        "perturbation_codes": "because coder lista_b failed",
        "correlation_tiny_imagenet": "because dataset one failed",
    }
    for name in ("coding", "coding_da", "perturbation_codes", "correlation_tiny_imagenet"):
        (gap,) = lines(folder / f"figures/{name}.csv")
        assert gap["failed"].startswith(gaps[name]), name
    for name in ("code_change", "correlation_cifar10", "budgets"):
        whole = results(built_codes) / f"weitzner2023/figures/{name}.csv"
        assert (folder / f"figures/{name}.csv").read_bytes() == whole.read_bytes()
    verdicts = {row["claim"]: row["verdict"] for row in lines(folder / "tables/claims.csv")}
    assert verdicts["energy"] == "not judged: signals failed"
    assert not verdicts["da_cifar10"].startswith("not judged")
    failed = {row["attack"]: row["reason"] for row in lines(folder / "tables/warnings.csv")}
    assert failed["pgd_l2_tiny_imagenet"].startswith("because dataset one failed")
    assert (results(project) / "datasets/one.png").exists()
    assert {"make_dataset one", "train_coder lista_b", *TABLES} <= project.jobs()
