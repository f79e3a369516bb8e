"""Which commit the record of a run names."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from advsparse.provenance import commit


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(autouse=True)
def no_other_git(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))


def unpacked(project: Path) -> Path:
    """A file of the code, unpacked into a folder."""
    file = project / "workflow/advsparse/provenance.py"
    file.parent.mkdir(parents=True)
    file.write_text("")
    return file


def committed(folder: Path) -> str:
    git(folder, "init")
    git(folder, "add", ".")
    git(folder, "commit", "--allow-empty", "-m", "x")
    return git(folder, "rev-parse", "HEAD")


def test_the_checkouts_own_commit_is_named_and_whether_files_differ(tmp_path):
    file = unpacked(tmp_path)
    head = committed(tmp_path)
    assert commit(file) == {"commit": head, "clean": True}
    (tmp_path / "config.yaml").write_text("seed: 1")
    assert commit(file) == {"commit": head, "clean": False}


@pytest.mark.parametrize("how", ["not shown", "excluded"])
def test_a_plugin_that_git_does_not_know_is_a_change(how, tmp_path):
    file = unpacked(tmp_path)
    head = committed(tmp_path)
    if how == "not shown":
        git(tmp_path, "config", "status.showUntrackedFiles", "no")
    else:
        (tmp_path / ".git/info/exclude").write_text("mine.py\n")
    (file.parent / "mine.py").write_text("")
    assert commit(file) == {"commit": head, "clean": False}


@pytest.mark.parametrize("ignored", [True, False])
def test_a_repository_that_the_code_only_lies_in_is_not_named(ignored, tmp_path):
    if ignored:
        (tmp_path / ".gitignore").write_text("inner/\n")
    committed(tmp_path)
    file = unpacked(tmp_path / "inner")
    assert commit(file) == {"commit": "unknown: not a git checkout", "clean": None}


def test_of_a_repository_that_tracks_the_code_among_others_only_its_files_count(tmp_path):
    file = unpacked(tmp_path / "vendored")
    head = committed(tmp_path)
    (tmp_path / "notes").write_text("")
    assert commit(file) == {"commit": head, "clean": True}


def test_no_repository_and_one_without_commits(tmp_path):
    file = unpacked(tmp_path)
    unknown = {"commit": "unknown: not a git checkout", "clean": None}
    assert commit(file) == unknown
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    assert commit(file) == unknown


def test_a_checkout_of_another_user_is_told_as_that(tmp_path, monkeypatch):
    file = unpacked(tmp_path)
    committed(tmp_path)
    # How git tests this itself; in other languages it says so in other words.
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("LANGUAGE", "de")
    found = commit(file)
    assert found["clean"] is None
    assert "owner is another user (safe.directory)" in found["commit"]


def test_a_repository_named_by_the_environment_is_not_the_codes(tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    committed(other)
    file = unpacked(tmp_path / "project")
    head = committed(tmp_path / "project")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert commit(file)["commit"] == head


def test_no_git(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit(unpacked(tmp_path / "x")) == {
        "commit": "unknown: there is no git to ask",
        "clean": None,
    }
