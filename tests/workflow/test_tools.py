"""The checks that snakemake, snakefmt and ruff make, and the pins of the environments."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import advsparse

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
LINT = (
    "ruff check .",
    "ruff format --check .",
    "mypy",
    "snakefmt --check Snakefile workflow",
    "snakemake --lint",
)


@pytest.mark.parametrize("command", LINT)
def test_the_tree_passes(command):
    name, *arguments = command.split()
    done = subprocess.run([BIN / name, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_make_lint_runs_these_checks():
    recipe = re.search(r"(?m)^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text())[1]
    said = recipe.replace("$(SNAKEMAKE)", "$(BIN)/snakemake").splitlines()
    assert tuple(line.removeprefix("\t@$(BIN)/") for line in said) == LINT


def test_pre_commit_runs_these_checks():
    """With the tools of the environment, which are those that are pinned."""
    configuration = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repository in configuration["repos"] for hook in repository["hooks"]]
    assert tuple(hook["entry"].removeprefix(".venv/bin/") for hook in hooks) == LINT
    assert {repository["repo"] for repository in configuration["repos"]} == {"local"}
    for hook in hooks:
        assert hook["language"] == "system"
        assert (hook["pass_filenames"], hook["always_run"]) == (False, True)


def test_the_type_checker_refuses_settings_that_there_are_not(tmp_path):
    """It knows the settings of a plugin, though a decorator of our own makes them."""
    (tmp_path / "mine.py").write_text(
        "from advsparse.attacks.pgd import PGD\n"
        "PGD(eps=0.1)\n"
        "PGD(eps=0.1, stepps=3)\n"
        "PGD(eps='much')\n"
    )
    done = subprocess.run(
        [BIN / "mypy", str(tmp_path / "mine.py")], cwd=ROOT, capture_output=True, text=True
    )
    found = re.findall(r"mine\.py:(\d+): error: .*\[([\w-]+)\]", done.stdout)
    assert found == [("3", "call-arg"), ("4", "arg-type")], done.stdout + done.stderr


def pins(path: Path) -> set[str]:
    return {line for line in path.read_text().split("\n") if "==" in line}


def test_conda_files_hold_the_pins_of_the_requirements():
    environment = yaml.safe_load((ROOT / "envs/advsparse.yaml").read_text())
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert set(pip) == pins(ROOT / "envs/requirements.txt")


def test_tests_run_in_the_environment_that_users_get():
    assert pins(ROOT / "envs/requirements.txt") <= pins(ROOT / "envs/requirements-test.txt")


def test_requirements_are_what_is_installed():
    from importlib.metadata import version

    for pin in pins(ROOT / "envs/requirements-test.txt"):
        name, _, wanted = re.split(r"(==)", pin.partition(";")[0].strip())
        assert version(name) == wanted, f"{name}: {version(name)} is installed, {wanted} is pinned"


def test_importing_the_library_loads_no_torch():
    code = (
        "import sys, advsparse, advsparse.config.plan, advsparse.codedigest; "
        "sys.exit(any(m in sys.modules for m in ('torch', 'pandas', 'matplotlib', 'sklearn')))"
    )
    environment = {"PYTHONPATH": str(ROOT / "workflow")}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0


def test_one_version_is_given_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["version"] == cited["version"] == advsparse.__version__
    assert project["license"] == cited["license"] == "MIT"
