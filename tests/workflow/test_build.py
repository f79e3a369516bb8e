"""Real snakemake runs of the test preset: what is built, and that it is built the same again."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from advsparse.artifacts import ROW_COLUMNS, read_rows

FIGURES = ("atoms", "examples", "loss", "tradeoff", "number_of_atoms")


def results(project) -> Path:
    return project.path / "results" / "test"


def digests(project) -> dict[str, str]:
    """The digest of each CSV, sidecars of wall times excluded."""
    return {
        str(path.relative_to(project.path)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(results(project).rglob("*.csv"))
    }


@pytest.mark.parametrize("name", FIGURES)
def test_figures_come_as_pdf_png_and_numbers(built, name):
    folder = results(built) / "frecon2021" / "figures"
    with Image.open(folder / f"{name}.png") as picture:
        assert picture.width >= 800
        # Not blank: many colours.
        assert len(picture.convert("RGB").resize((200, 200)).getcolors(40000)) > 50
    assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF-")
    with (folder / f"{name}.csv").open() as file:
        assert len(list(csv.DictReader(file))) >= 1


def test_jobs_are_copies_of_the_fork_server(built):
    records = [json.loads(file.read_text()) for file in built.imported.glob("*.json")]
    assert len(records) > 20 and all(record["forked"] for record in records)
    assert not list((built.path / ".snakemake").glob("*.socket"))


def test_rows_are_tidy_and_say_where_they_come_from(built):
    rows, metadata = read_rows(results(built) / "frecon2021/rows/tradeoff.csv", stage="rows")
    assert tuple(rows.columns) == ROW_COLUMNS
    assert not rows.duplicated(["experiment", "model", "attack", "defense", "metric"]).any()
    clean = rows["attack"] == "none"
    assert (rows["attacked"] == rows["model"].where(~clean, "")).all()
    assert set(rows["attack"]) >= {"none", "deepfool", "scada/lambda1=0.1_lambda2=0.001"}
    shares = rows[rows["metric"].str.contains("rate|accuracy")]
    assert ((shares["ci_low"] <= shares["value"]) & (shares["value"] <= shares["ci_high"])).all()
    assert metadata.stage == "rows" and metadata.versions["torch"]


def test_tables_never_claim_a_papers_number_on_a_stand_in(built):
    with (results(built) / "frecon2021/tables/claims.csv").open() as file:
        claims = {row["claim"]: row for row in csv.DictReader(file)}
    assert "stand-in" in claims["accuracy"]["data"]
    assert claims["accuracy"]["verdict"].startswith("not comparable")
    assert all("stand-in for CIFAR-10" in row["data"] for row in claims.values())
    assert all(row["verdict"] for row in claims.values())


def test_the_grid_has_live_points_to_draw(built):
    """Else no test would draw what users look at."""
    with (results(built) / "frecon2021/figures/tradeoff.csv").open() as file:
        grid = [row for row in csv.DictReader(file) if row["name"] == "scada"]
    assert sum(row["dead_start"] == "0.0" and float(row["rmse"]) > 1e-4 for row in grid) >= 2


def test_provenance_names_commit_configuration_and_cost(built):
    record = json.loads((results(built) / "provenance.json").read_text())
    assert record["configuration"]["preset"] == "test"
    assert record["configuration"]["settings"]["frecon2021"]["attacks"]["deepfool"]["method"]
    assert (record["preset"], record["seed"], record["configuration"]["device"]) == (
        "test",
        0,
        "cpu",
    )
    rules = {row["rule"]: row for row in record["cost"]}
    assert rules["run_attack"]["jobs"] >= 10 and rules["draw_figure"]["jobs"] == len(FIGURES)
    assert all(row["peak_mib"] <= 2048 for row in rules.values())
    assert sum(row["share"] for row in rules.values()) == pytest.approx(1, abs=0.01)
    page = (results(built) / "provenance.html").read_text()
    assert all(rule in page for rule in rules)


def test_the_part_of_a_run_that_is_not_work_is_told(built):
    command = [sys.executable, "-m", "advsparse.overhead", "test"]
    done = subprocess.run(command, cwd=built.path, capture_output=True, text=True, check=True)
    assert re.search(r"not work +\d+\.\d%", done.stdout)


def test_no_job_leaves_temporary_files_or_checkpoints(built):
    hidden = [path for path in results(built).rglob(".*") if path.name != ".snakemake_timestamp"]
    assert hidden == []
    assert list((results(built) / "checkpoints").rglob("*.safetensors")) == []


def test_two_runs_from_scratch_give_identical_tables(built, sources):
    sources.snakemake("--cores", "1")
    assert digests(sources) == digests(built)
    assert len(digests(built)) >= 8


def test_report_is_one_file_with_figures_tables_and_configuration(built):
    built.snakemake("--report", "report.html")
    page = (built.path / "report.html").read_text()
    for figure in FIGURES:
        assert f"{figure}.png" in page
    for text in ("claims.html", "cost.html", "provenance.html", "photos.png"):
        assert text in page


def test_paper_target_and_file_targets(sources):
    everything = sources.jobs("--forceall")
    paper = sources.jobs("--forceall", "frecon2021")
    of_the_run = {"write_provenance", "write_results_pages"}
    assert paper == (everything - of_the_run) | {"frecon2021"}
    one = sources.jobs("results/test/frecon2021/attacks/deepfool.npz")
    assert one == {"make_dataset photos", "train_classifier lenet", "run_attack deepfool"}


def test_users_images_replace_the_stand_in(sources, tmp_path):
    """An image folder named in config.yaml plays CIFAR-10, and every table says so."""
    import numpy as np

    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 20)):
        for label, colour in enumerate(((220, 60, 60), (60, 60, 220), (60, 200, 60))):
            folder = tmp_path / "mine" / split / f"class{label}"
            folder.mkdir(parents=True)
            for i in range(count):
                noise = rng.normal(0, 40, (32, 32, 3))
                pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    archive = shutil.make_archive(str(tmp_path / "mine"), "zip", tmp_path / "mine")
    digest = hashlib.sha256(Path(archive).read_bytes()).hexdigest()
    mine = f"{{kind: folder, path: {archive}, sha256: {digest}, note: drawn by a test}}"
    sources.configure(f"datasets:\n  mine: {mine}\n")
    sources.configure("roles: {cifar10: mine}\n")
    table = "results/test/frecon2021/tables/cost.md"
    sources.snakemake(table)
    said = (sources.path / table).read_text()
    assert "mine, in the role of CIFAR-10 (drawn by a test)" in said and "stand-in" not in said
