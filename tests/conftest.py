"""A project built once with the ``test`` preset, and copies of it to change."""

from __future__ import annotations

import shutil

import pytest

from project import Project, copy_sources


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Project:
    """The project with all results of the test preset. Not to be changed."""
    return copy_sources(tmp_path_factory.mktemp("built")).build()


@pytest.fixture(scope="session")
def built_codes(tmp_path_factory) -> Project:
    """The same of weitzner2023. Not to be changed."""
    return copy_sources(tmp_path_factory.mktemp("built-codes"), "weitzner2023").build()


@pytest.fixture
def project(built, tmp_path) -> Project:
    """A copy of the built project, sources and results, for one test to change."""
    shutil.copytree(built.path, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


@pytest.fixture
def sources(tmp_path) -> Project:
    """The project without results."""
    return copy_sources(tmp_path / "project")
