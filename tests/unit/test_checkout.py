"""Paths that no job can run in are told before anything is installed or run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from advsparse.checkout import misplaced
from project import ROOT, copy_sources

REFUSED = ["a b", "a\tb", "a'b", 'a"b', "a[b]", "a(b", "a{b}", "a$b", "a;b", "a&b", "a\\b", "a:b"]
ALLOWED = ["a-b", "a_b.c", "a+b", "a@b", "a=b", "a,b", "a%b", "a~b", "a#b", "a!b", "äöß", "日本"]


@pytest.mark.parametrize("name", REFUSED)
def test_make_refuses_a_path_before_it_installs_anything(name, tmp_path):
    folder = tmp_path / name
    (folder / "workflow").mkdir(parents=True)
    (folder / "envs").mkdir()
    for needed in ("Makefile", "pyproject.toml", "envs/requirements.txt"):
        shutil.copy(ROOT / needed, folder / needed)
    (folder / "workflow/advsparse").symlink_to(ROOT / "workflow/advsparse")
    done = subprocess.run(
        ["make", "install", f"PYTHON={sys.executable}"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")},
    )
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    assert len(said) == 1
    assert repr(str(folder)) in said[0] or repr(str(folder / ".venv/bin/python")) in said[0]
    assert not (folder / ".venv").exists()


@pytest.mark.parametrize("name", ALLOWED)
def test_a_shell_runs_an_interpreter_in_a_path_that_is_allowed(name, tmp_path):
    """Without quotes, as Snakemake writes it."""
    python = tmp_path / name / "python"
    python.parent.mkdir()
    python.symlink_to(shutil.which("echo"))
    assert misplaced(tmp_path / name, python) is None
    done = subprocess.run(["bash", "-c", f"{python} ran"], capture_output=True, text=True)
    assert done.stdout == "ran\n"


def test_where_python_stands_elsewhere_most_paths_of_a_project_do():
    python = Path("/opt/python")
    assert misplaced(Path("/home/a b/c"), python) is None
    assert "'{'" in misplaced(Path("/home/{b}"), python)
    assert "Python is '/opt/a b/python'" in misplaced(Path("/home"), Path("/opt/a b/python"))


def test_snakemake_says_so_before_it_reads_the_configuration(tmp_path):
    """And runs where the environment's Python stands in such a path no job."""
    project = copy_sources(tmp_path / "a {b}")
    project.configure("treads: 1\n")
    said = output(project)
    assert "the project's folder is" in said and "treads" not in said and "Traceback" not in said
    project = copy_sources(tmp_path / "c d")
    python = project.path / "bin/python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    code = f"import sys; sys.executable = {str(python)!r}; from snakemake.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--cores", "1", "--dry-run"],
        cwd=project.path,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    assert done.returncode != 0
    assert "Python is" in done.stderr and "Traceback" not in done.stderr


def output(project) -> str:
    done = project.snakemake("--dry-run", check=False)
    assert done.returncode != 0
    return done.stdout + done.stderr
