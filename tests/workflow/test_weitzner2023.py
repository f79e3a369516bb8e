"""weitzner2023 built with the test preset: its products, its reruns, and an attack that fails."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
from PIL import Image
from test_build import results

from advsparse.artifacts import read_arrays
from advsparse.evaluate.claims import read_claims
from project import Project

FIGURES = (
    "coding",
    "code_change",
    "correlation_cifar10",
    "correlation_tiny_imagenet",
    "perturbation_codes",
    "coding_da",
    "budgets",
)
TABLES = {"make_table tests", "make_table claims", "make_table numbers"}


@pytest.fixture
def project(built_codes, tmp_path) -> Project:
    shutil.copytree(built_codes.path, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def lines(path) -> list[dict]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", FIGURES)
def test_figures_come_as_pdf_png_and_numbers(built_codes, name):
    folder = results(built_codes) / "weitzner2023" / "figures"
    with Image.open(folder / f"{name}.png") as picture:
        assert picture.width >= 800
        assert len(picture.convert("RGB").resize((200, 200)).getcolors(40000)) > 50
    assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF-")
    assert lines(folder / f"{name}.csv")


def test_every_claim_has_a_verdict_and_says_on_which_data(built_codes):
    reference = built_codes.path / "workflow/papers/weitzner2023/reference"
    stated = read_claims(reference / "claims.yaml")
    found = lines(results(built_codes) / "weitzner2023/tables/claims.csv")
    assert [row["claim"] for row in found] == [claim.claim for claim in stated]
    for row in found:
        assert row["verdict"].startswith("one run: ") and row["judged by"], row["claim"]
        assert row["effect"] and row["margin"] and row["n"].endswith("one run")
        assert "stand-in" in row["data"] or "synthetic" in row["data"]


def test_attacks_of_figure_7_are_made_on_the_surrogate_and_have_the_norm_of_the_budget(built_codes):
    folder = results(built_codes) / "weitzner2023"
    for name in ("da_mnist", "da_columns_mnist", "uap_mnist", "targeted_uap_mnist", "noise_mnist"):
        arrays, metadata = read_arrays(folder / "attacks" / f"{name}.npz", stage="attack")
        moved = arrays["distance"][arrays["distance"] > 0]
        eps = metadata.params["method"]["eps"]
        assert len(moved)
        if not name.startswith(("uap", "targeted")):  # which are at most as long
            np.testing.assert_allclose(moved, eps, rtol=1e-5)
        assert (moved <= eps * (1 + 1e-6)).all()
    correct = read_arrays(folder / "analyses/budgets_mnist.npz", stage="analysis")[0]["correct"]
    assert correct.shape[:3] == (5, 2, 2)


def test_nothing_to_do_after_a_build(project):
    assert project.jobs() == set()


def test_editing_the_convolutional_coder_reruns_it_and_what_it_codes(project):
    project.edit("workflow/advsparse/coding/_convlista.py", "torch.full(", "1 * torch.full(")
    jobs = project.jobs()
    assert {"train_coder convlista_mnist", "train_classifier codes_mnist", "analyse change"} <= jobs
    assert not any("lista_a" in job for job in jobs)
    assert not {"analyse signals", "train_classifier wideresnet", "run_attack pgd_l2"} & jobs


def test_an_analysis_setting_reruns_that_analysis_alone(project):
    project.configure("settings: {weitzner2023: {analyses: {change: {method: {law: gaussian}}}}}\n")
    expected = {"analyse change", "draw_figure code_change"}
    expected |= {"write_provenance", "write_results_pages"}
    assert project.jobs() == TABLES | expected


def test_a_failed_attack_leaves_a_gap_in_its_figures_alone(project):
    """Dict-Attack is to learn on a network that has no dictionary."""
    project.configure("settings: {weitzner2023: {attacks: {da_mnist: {surrogate: resnet18}}}}\n")
    done = project.snakemake("--keep-going", check=False)
    assert done.returncode != 0
    folder = results(project) / "weitzner2023"
    (gap,) = lines(folder / "figures/budgets.csv")
    assert "synthesis" in gap["failed"]
    found = {row["claim"]: row["verdict"] for row in lines(folder / "tables/claims.csv")}
    assert found["da_mnist"] == "not judged: budgets_mnist failed"
    assert not any(found[claim].startswith("not judged") for claim in ("energy", "da_cifar10"))
