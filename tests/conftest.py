"""A project built once with the ``test`` preset, and copies of it to change."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from project import Project, copy_sources

T = TypeVar("T")


def pytest_addoption(parser):
    parser.addoption("--device", choices=("cpu", "cuda"), default="cpu", help="of tests marked gpu")
    parser.addoption("--exhaustive", action="store_true", help="all cases where some are tried")


def pytest_collection_modifyitems(items):
    """What takes the device of the command line is a test for GPUs; what is given one by its
    parameters says so itself."""
    for item in items:
        given = getattr(getattr(item, "callspec", None), "params", {})
        if "device" in getattr(item, "fixturenames", ()) and "device" not in given:
            item.add_marker(pytest.mark.gpu)


@pytest.fixture(scope="session")
def device(request) -> str:
    """Where a test runs: ``--device``."""
    chosen = request.config.getoption("--device")
    if chosen == "cuda":
        import torch

        if not torch.cuda.is_available():
            pytest.skip("there is no GPU")
    return chosen


@pytest.fixture(scope="session")
def share(request) -> Callable[[Sequence[T]], Sequence[T]]:
    """Every fourth of cases that take long each; with ``--exhaustive`` all."""
    step = 1 if request.config.getoption("--exhaustive") else 4
    return lambda cases: cases[::step]


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Project:
    """The project with all results of the test preset. Not to be changed."""
    return built_once(tmp_path_factory, "built")


@pytest.fixture(scope="session")
def built_codes(tmp_path_factory) -> Project:
    """The same of weitzner2023. Not to be changed."""
    return built_once(tmp_path_factory, "built-codes", "weitzner2023")


def built_once(tmp_path_factory, name: str, *papers: str) -> Project:
    """A built project, of which the workers of pytest-xdist have one together."""
    folder: Path = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / f"{name}.done"
        if done.exists():
            return Project(folder / name)
        # What a worker has left that did not come to its end.
        shutil.rmtree(folder / name, ignore_errors=True)
        project = copy_sources(folder / name, *papers).build()
        done.touch()
    return project


@pytest.fixture
def project(built, tmp_path) -> Project:
    """A copy of the built project, sources and results, for one test to change."""
    shutil.copytree(built.path, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


@pytest.fixture
def sources(tmp_path) -> Project:
    """The project without results."""
    return copy_sources(tmp_path / "project")
