"""Records of failed jobs, and when a second pass draws the gaps."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from advsparse import failures, jobs


@pytest.fixture
def snakemake(tmp_path):
    params = SimpleNamespace(settings={}, code="c", failure=str(tmp_path / "deep/er/record.txt"))
    return SimpleNamespace(
        log=[str(tmp_path / "log")], params=params, threads=1, resources=SimpleNamespace()
    )


def test_a_record_lasts_from_the_start_of_a_job_to_its_success(snakemake):
    with jobs.job(snakemake, "attack"):
        # What a job leaves that is killed now.
        assert failures.reason(snakemake.params.failure).startswith("ended without a message")
    assert not Path(snakemake.params.failure).exists()
    with pytest.raises(SystemExit), jobs.job(snakemake, "attack"):
        raise RuntimeError("two\nlines")
    assert failures.reason(snakemake.params.failure) == "RuntimeError: two lines"
    with pytest.raises(KeyboardInterrupt), jobs.job(snakemake, "attack"):
        raise KeyboardInterrupt
    assert not Path(snakemake.params.failure).exists()


def test_the_second_pass_computes_nothing_and_logs_why(snakemake, monkeypatch):
    stages = ("dataset", "coder", "classifier", "fit", "attack", "analysis")
    for stage in stages:
        with pytest.raises(SystemExit), jobs.job(snakemake, stage):
            raise RuntimeError(f"no luck with the {stage}")
        Path(snakemake.log[0]).unlink()  # as Snakemake does
        with monkeypatch.context() as patch:
            patch.setenv("ADVSPARSE_SECOND_PASS", "1")
            said = f"failed earlier in this run: RuntimeError: no luck with the {stage}"
            with pytest.raises(SystemExit, match=said), jobs.job(snakemake, stage):
                raise AssertionError
        assert Path(snakemake.log[0]).read_text() == f"{said}\n"
    monkeypatch.setenv("ADVSPARSE_SECOND_PASS", "1")
    with jobs.job(snakemake, "rows"):
        pass


def commands(monkeypatch, tmp_path, arguments=(), *, keep_going=True, running=(), failed=True):
    record, found = tmp_path / "record.txt", []
    record.write_text("no luck\n")
    workflow = SimpleNamespace(
        scheduler=SimpleNamespace(running=running, open_jobs=()),
        execution_settings=SimpleNamespace(keep_going=keep_going),
    )
    monkeypatch.setattr(sys, "argv", ["snakemake", *arguments])
    monkeypatch.setattr(failures.subprocess, "run", lambda command, **_: found.append(command[3:]))
    failures.draw_gaps(workflow, {"paper fgsm": record} if failed else {})
    return found


def test_a_second_pass_follows_only_failed_attacks_with_keep_going(monkeypatch, tmp_path):
    assert len(commands(monkeypatch, tmp_path)) == 1
    assert commands(monkeypatch, tmp_path, keep_going=False) == []
    assert commands(monkeypatch, tmp_path, failed=False) == []
    assert commands(monkeypatch, tmp_path, running=["interrupted"]) == []
    monkeypatch.setenv("ADVSPARSE_SECOND_PASS", "1")
    assert commands(monkeypatch, tmp_path) == []


def test_the_second_pass_forces_nothing(monkeypatch, tmp_path):
    given = ["-k", "-F", "--forcerun", "run_attack", "--cores", "2"]
    (command,) = commands(monkeypatch, tmp_path, given)
    expected = ["-k", "--forcerun", "run_attack", "--cores", "2", "--nolock", "--forcerun"]
    assert command == expected
    (command,) = commands(monkeypatch, tmp_path, ["-k", "--", "target"])
    assert command == ["-k", "--nolock", "--forcerun", "--", "target"]
