"""``make clean-results`` deletes what it is told to, when it is told yes, and nothing else."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path) -> Path:
    """A project with results of two presets, and a file beside it that must survive."""
    project = tmp_path / "project"
    (project / "workflow/advsparse").mkdir(parents=True)
    for name in ("Makefile", "workflow/advsparse/__init__.py"):
        shutil.copy(ROOT / name, project / name)
    shutil.copy(ROOT / "workflow/advsparse/clean_results.py", project / "workflow/advsparse")
    for preset in ("demo", "paper"):
        (project / "results" / preset / "logs").mkdir(parents=True)
        (project / "results" / preset / "logs" / "a.log").write_text("said")
    (project / "results/.gitkeep").touch()
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside/kept").touch()
    return project


def files(tree: Path) -> set[str]:
    return {str(p.relative_to(tree.parent)) for p in tree.parent.rglob("*") if p.is_file()}


def clean(tree: Path, preset: str | None, answer: str | None) -> subprocess.CompletedProcess:
    """Run make with an answer typed on a terminal; without one there is no terminal."""
    command = ["make", "clean-results", *([] if preset is None else [f"PRESET={preset}"])]
    kwargs = {"cwd": tree, "text": True, "timeout": 60}
    kwargs |= {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    environment = {k: v for k, v in os.environ.items() if k not in ("PRESET", "MAKEFLAGS")}
    if answer is None:
        return subprocess.run(command, stdin=subprocess.DEVNULL, env=environment, **kwargs)
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer.encode())
        return subprocess.run(command, stdin=theirs, env=environment, **kwargs)
    finally:
        os.close(ours)
        os.close(theirs)


def test_yes_deletes_the_results_of_one_preset(tree):
    before = files(tree)
    done = clean(tree, "demo", "yes\n")
    assert done.returncode == 0, done.stdout
    assert "results/demo, 1 files" in done.stdout
    assert before - files(tree) == {"project/results/demo/logs/a.log"}
    assert not (tree / "results/demo").exists()


@pytest.mark.parametrize("answer", ["no\n", "\n", "y\n", "YES!\n", "\x04", "demo\n", None])
def test_any_other_answer_deletes_nothing(tree, answer):
    before = files(tree)
    done = clean(tree, "demo", answer)
    assert done.returncode != 0
    assert "nothing deleted" in done.stdout and "Traceback" not in done.stdout
    assert files(tree) == before


@pytest.mark.parametrize(
    "preset",
    [
        None,
        "",
        ".",
        "..",
        "../beside",
        "demo/logs",
        "/",
        "mini",
        ".gitkeep",
        "demo paper",
        "*",
        "x;y",
    ],
)
def test_a_wrong_preset_deletes_nothing_and_is_told_what_there_is(tree, preset):
    before = files(tree)
    done = clean(tree, preset, "yes\n")
    assert done.returncode != 0
    assert "there are: demo, paper" in done.stdout and "Traceback" not in done.stdout
    assert "?" not in done.stdout, "it asked"
    assert files(tree) == before


def test_results_that_are_a_link_are_left_alone(tree):
    shutil.rmtree(tree / "results/demo")
    (tree / "results/demo").symlink_to(tree.parent / "beside")
    before = files(tree)
    assert clean(tree, "demo", "yes\n").returncode != 0
    assert files(tree) == before


def test_no_other_command_of_the_makefile_deletes_results():
    removing = [line for line in (ROOT / "Makefile").read_text().splitlines() if "rm " in line]
    assert all("results" not in line for line in removing)
