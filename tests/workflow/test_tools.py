"""The checks that snakemake, snakefmt and ruff make, and the pins of the environments."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        [BIN / "ruff", "check", "."],
        [BIN / "ruff", "format", "--check", "."],
        [BIN / "snakefmt", "--check", "Snakefile", "workflow"],
        [BIN / "snakemake", "--lint"],
    ],
    ids=["ruff check", "ruff format", "snakefmt", "snakemake --lint"],
)
def test_the_tree_passes(command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


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
