"""Attacks that fail: what is built without them, what says so, and what the next run does."""

from __future__ import annotations

import csv
import os
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image
from test_build import digests
from test_reruns import ROWS_AND_WHAT_READS_THEM

from advsparse.artifacts import read_rows
from project import Project

# Two attacks that fail while a file lies there: the code of the repaired ones is the same.
FAILING = '''
from pathlib import Path

from advsparse.attacks import {module} as original
from advsparse.settings import settings


@settings
class Failing(original.{name}):
    """{name}, which fails while there is a file 'broken'."""

    def {method}(self, *arguments, **options):
        if Path("broken").exists():
            raise RuntimeError("no luck\\nwith $x$")
        return super().{method}(*arguments, **options)
'''
WARNING = '''
from advsparse.attacks import uap as original
from advsparse.settings import settings


@settings
class Warning(original.UAP):
    """UAP, which first asks for a gradient that is zero."""

    def learn(self, oracle, x, y, target, rng):
        oracle.gradient(x, lambda logits: 0 * logits.sum(1))
        return super().learn(oracle, x, y, target, rng)
'''
CONFIGURATION = """
settings:
  frecon2021:
    attacks:
      fails:
        method: {kind: fails, norm: linf, eps: 0.01}
        grid: {eps: [0.01, 0.02]}
        model: lenet
        images: unseen
      fails_to_learn:
        method: {kind: fails_to_learn, norm: l2, eps: 2.0, passes: 1}
        model: lenet
        learn_from: learning
        images: unseen
      warns:
        method: {kind: warns, norm: l2, eps: 2.0, passes: 1}
        model: lenet
        learn_from: learning
        images: unseen
    experiments:
      tradeoff: [scada, noise, deepfool, fails, fails_to_learn, warns, cw]
"""
ATTACKS = {"fails/eps=0.01", "fails/eps=0.02", "fails_to_learn"}
DEAD = {"scada_atoms/atoms=1", "scada_atoms/atoms=2"}
"""Attacks of the preset that learn nothing in the few iterations they are given, and say so."""
RETRIED = ROWS_AND_WHAT_READS_THEM | {
    "fit_attack fails_to_learn",
    *(f"run_attack {attack}" for attack in ATTACKS),
}


def failing(built: Project, path: Path) -> Project:
    shutil.copytree(built.path, path, symlinks=True)
    attacks = path / "workflow/advsparse/attacks"
    for kind, module, name, method in (
        ("fails", "fgsm", "FGSM", "perturb"),
        ("fails_to_learn", "uap", "UAP", "learn"),
    ):
        code = FAILING.format(module=module, name=name, method=method)
        (attacks / f"{kind}.py").write_text(code)
    (attacks / "warns.py").write_text(WARNING)
    project = Project(path)
    project.configure(CONFIGURATION)
    (path / "broken").touch()
    return project


@pytest.fixture(scope="module")
def kept_going(built, tmp_path_factory):
    """A project after a run with --keep-going and two attacks that fail, and what it said."""
    project = failing(built, tmp_path_factory.mktemp("failing") / "project")
    # What an earlier run has left says nothing of this one.
    left = project.path / "results/test/frecon2021/failures/classifiers/lenet.txt"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_text("an earlier run's\n")
    os.utime(left, (1e9, 1e9))
    # What is forced to run is not to run again for the gaps.
    forced = "results/test/frecon2021/attacks/cw.npz"
    done = project.snakemake("--keep-going", "--forcerun", forced, check=False)
    left.unlink()
    return project, done


def tables(project: Project) -> Path:
    return project.path / "results/test/frecon2021/tables"


def records(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_run_fails_and_names_the_failed_attacks(kept_going):
    project, done = kept_going
    assert done.returncode == 1
    said = (done.stdout + done.stderr).rpartition("tried again by the next run")[2]
    for attack in ATTACKS:
        assert f"frecon2021 {attack}: RuntimeError: no luck with $x$\n" in said
    log = project.path / "results/test/logs/frecon2021/attacks/fails/eps=0.01.log"
    assert 'raise RuntimeError("no luck' in log.read_text()


def test_a_failed_attack_leaves_a_row_that_says_so_and_no_artifact(kept_going):
    project, _ = kept_going
    results = project.path / "results/test/frecon2021"
    rows, _ = read_rows(results / "rows/tradeoff.csv", stage="rows")
    failed = rows[rows["metric"] == "failed"]
    assert set(failed["attack"]) == ATTACKS
    assert set(failed["note"]) == {"RuntimeError: no luck with $x$"}
    assert set(rows[rows["attack"].isin(ATTACKS)]["metric"]) == {"failed"}
    assert {"deepfool", "cw", "scada/lambda1=0.1_lambda2=0.1"} <= set(rows["attack"])
    assert not any((results / f"attacks/{attack}.npz").exists() for attack in ATTACKS)


def test_figures_and_tables_show_the_gap(kept_going):
    project, _ = kept_going
    shown = {row["id"]: row for row in records(tables(project) / "../figures/tradeoff.csv")}
    verdicts = {row["claim"]: row["verdict"] for row in records(tables(project) / "claims.csv")}
    assert verdicts["lambda1"].split(":")[0] != "not judged"
    for attack in ATTACKS:
        assert shown[attack]["failed"] == "RuntimeError: no luck with $x$"
        assert shown[attack]["fooling_rate"] == ""
    assert shown["deepfool"]["failed"] == "" and shown["deepfool"]["fooling_rate"]
    warned = {row["attack"]: row for row in records(tables(project) / "warnings.csv")}
    assert set(warned) == ATTACKS | DEAD | {"warns"}
    assert warned["fails_to_learn"]["outcome"] == "failed"
    with Image.open(tables(project) / "../figures/tradeoff.png") as picture:
        # The colour of failures stands above the axes.
        red = picture.convert("RGB").crop((0, 0, 400, 120)).getcolors(50000)
        assert any(colour == (0xB0, 0x00, 0x20) for _, colour in red)
    project.snakemake("--report", "report.html")


def test_warnings_of_attacks_reach_rows_and_report(kept_going, built):
    project, _ = kept_going
    said = "while learning: the first gradient was exactly 0 for 16 of 16 images"
    rows, _ = read_rows(tables(project) / "../rows/tradeoff.csv", stage="rows")
    counted = rows[rows["metric"] == "warnings"].set_index("attack")
    assert counted.loc["warns", "value"] == 1 and counted.loc["warns", "note"].startswith(said)
    assert (counted["value"].drop(["warns", *DEAD], errors="ignore") == 0).all()
    (line,) = [r for r in records(tables(project) / "warnings.csv") if r["attack"] == "warns"]
    assert line["outcome"] == "warned" and line["reason"].startswith(said)
    undisturbed = records(tables(built) / "warnings.csv")
    assert {row["attack"] for row in undisturbed} == DEAD
    assert all("every code stayed 0" in row["reason"] for row in undisturbed)


def test_the_next_run_retries_what_failed_and_ends_as_if_nothing_had_been(built, kept_going):
    project, _ = kept_going
    assert project.jobs() == RETRIED
    assert project.jobs("--keep-going") == RETRIED
    (project.path / "broken").unlink()
    project.snakemake()
    assert project.jobs() == set()
    undisturbed = failing(built, project.path.with_name("undisturbed"))
    (undisturbed.path / "broken").unlink()
    undisturbed.snakemake()
    assert digests(project) == digests(undisturbed)
    assert not list((project.path / "results").rglob("failures/**/*.txt"))


def test_without_keep_going_the_run_stops_with_one_message(built, tmp_path):
    project = failing(built, tmp_path / "project")
    done = project.snakemake(check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and re.search("(attack|fit): RuntimeError: no luck", said)
    assert "Drawing what is left" not in said
    assert "evaluate_attacks" not in said.partition("Error in rule")[2]


def test_figures_of_a_single_attack_that_failed_are_drawn_as_a_gap(project):
    project.edit(
        "workflow/advsparse/attacks/scada.py",
        "    def learn(self, oracle, x, y, target, rng) -> Fit:\n",
        "    def learn(self, oracle, x, y, target, rng) -> Fit:\n"
        "        raise MemoryError('too many atoms')\n",
    )
    folder = "results/test/frecon2021"
    figures = [f"{folder}/figures/{name}.csv" for name in ("atoms", "examples", "loss")]
    table = f"{folder}/tables/cost.html"
    done = project.snakemake("--keep-going", *figures, table, check=False)
    assert done.returncode == 1
    for name in figures:
        assert records(project.path / name) == [{"failed": "MemoryError: too many atoms"}]
    assert "MemoryError: too many atoms" in (project.path / table).read_text()
