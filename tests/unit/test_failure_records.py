"""Records of failed jobs, and when a second pass draws the gaps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from advsparse import failures, jobs
from advsparse.artifacts.atomic import check_writable


@pytest.fixture
def snakemake(tmp_path):
    params = SimpleNamespace(settings={}, code="c", failure=str(tmp_path / "deep/er/record.txt"))
    return SimpleNamespace(
        log=[str(tmp_path / "log")], params=params, threads=1, resources=SimpleNamespace()
    )


def test_a_record_lasts_from_the_start_of_a_job_to_its_success(snakemake):
    with jobs.job(snakemake, "attack"):
        # What a job leaves that is killed now.
        assert failures.told(snakemake.params.failure).startswith("ended without a message")
    assert not Path(snakemake.params.failure).exists()
    with pytest.raises(SystemExit), jobs.job(snakemake, "attack"):
        raise RuntimeError("two\nlines")
    assert failures.told(snakemake.params.failure) == "RuntimeError: two lines"
    with pytest.raises(KeyboardInterrupt), jobs.job(snakemake, "attack"):
        raise KeyboardInterrupt
    assert not Path(snakemake.params.failure).exists()


def test_a_record_shows_what_is_not_utf8(snakemake):
    with pytest.raises(SystemExit), jobs.job(snakemake, "dataset"):
        raise RuntimeError("data/gr\udcf6: odd")
    assert failures.told(snakemake.params.failure) == r"RuntimeError: data/gr\udcf6: odd"


def test_a_job_computes_with_the_threads_of_its_settings(snakemake):
    """Which --cores can't change: sums of other parts round otherwise."""
    snakemake.params.settings = {"threads": 3}
    with jobs.job(snakemake, "attack") as this:
        assert this.threads == 3
    snakemake.params.settings = {}
    with jobs.job(snakemake, "table") as this:
        assert this.threads == 1


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
    del snakemake.params.failure  # what shows gaps keeps no record of its own
    with jobs.job(snakemake, "rows"):
        pass


def commands(
    monkeypatch, tmp_path, arguments=(), *, keep_going=True, running=(), failed=True, own=True
):
    """The second passes that follow a run, in which a job may have failed, its own or another's."""
    record, found = tmp_path / "record.txt", []
    record.write_text("no luck\n")
    job = SimpleNamespace(params={"failure": str(record) if own else "other.txt"})
    workflow = SimpleNamespace(
        scheduler=SimpleNamespace(running=running, open_jobs=()),
        dag=SimpleNamespace(jobs=[job]),
        execution_settings=SimpleNamespace(keep_going=keep_going),
        rundir=str(tmp_path),
    )
    monkeypatch.setattr(sys, "argv", ["snakemake", *arguments])
    monkeypatch.setattr(failures.subprocess, "run", lambda command, **_: found.append(command[3:]))
    began = record.stat().st_mtime
    failures.draw_gaps(workflow, {str(record): "paper fgsm"}, began if failed else began + 1)
    return found


def test_a_second_pass_follows_only_failed_attacks_with_keep_going(monkeypatch, tmp_path):
    assert len(commands(monkeypatch, tmp_path)) == 1
    assert commands(monkeypatch, tmp_path, keep_going=False) == []
    assert commands(monkeypatch, tmp_path, failed=False) == []
    assert commands(monkeypatch, tmp_path, own=False) == []
    assert commands(monkeypatch, tmp_path, running=["interrupted"]) == []
    monkeypatch.setenv("ADVSPARSE_SECOND_PASS", "1")
    assert commands(monkeypatch, tmp_path) == []


def test_the_second_pass_is_asked_for_the_same(monkeypatch, tmp_path):
    (command,) = commands(monkeypatch, tmp_path, ["-kF", "--cores", "2", "--", "target"])
    assert command == ["-kF", "--cores", "2", "--", "target"]


@pytest.mark.parametrize(
    ("where", "started"), [("beside", "module"), ("below", "script"), ("elsewhere", "module")]
)
def test_the_second_pass_finds_what_the_first_found(where, started, tmp_path):
    """Whatever directory the first works in, and of all paths that are relative: its arguments'
    and those of its profile."""
    calling = tmp_path / "calling"
    (calling / "profile").mkdir(parents=True)
    (calling / "profile/config.yaml").write_text("configfile: [mine.yaml]\n")
    (calling / "mine.yaml").write_text("said: mine\n")
    (calling / "Snakefile").write_text(WORKFLOW_THAT_FAILS)
    directory = {"beside": "../work", "below": "deep/er", "elsewhere": str(tmp_path / "w x")}[where]
    found = [str(Path(sys.executable).with_name("snakemake"))]
    command = found if started == "script" else [sys.executable, "-m", "snakemake"]
    command += ["--cores", "1", "--profile", "profile", "-kd", directory]
    environment = {k: v for k, v in os.environ.items() if k != "PWD"}
    done = subprocess.run(command, cwd=calling, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Failed, and tried again by the next run:\n  paper x: no luck" in done.stderr
    assert (calling / directory / "gap").read_text() == "mine\n", done.stderr


WORKFLOW_THAT_FAILS = """
from advsparse import failures

failures.hand_down(workflow)


onerror:
    failures.draw_gaps(workflow, {"record.txt": "paper x"}, 0)


rule gap:
    input:
        [] if failures.second_pass() else "made"
    output:
        "gap"
    shell:
        "echo {config[said]} > {output}"


rule made:
    output:
        "made"
    params:
        failure="record.txt"
    shell:
        "echo no luck > {params.failure}; false"
"""


@pytest.mark.parametrize("forcing", [["-kF"], ["--forcea"], ["-fk"], ["-R", "made"], ["--profile"]])
def test_the_second_pass_forces_nothing(forcing, tmp_path):
    """However it is asked for: run on a workflow that notes what it makes."""
    made = "rule made:\n    output: 'made'\n    shell: 'echo again >> made; echo again >> log'\n"
    (tmp_path / "Snakefile").write_text(made)
    if forcing == ["--profile"]:
        (tmp_path / "own").mkdir()
        (tmp_path / "own/config.yaml").write_text("forceall: true\n")
        forcing = ["--profile", "own"]

    def run(module, *arguments):
        command = [sys.executable, "-m", module, "--cores", "1", *arguments, "--", "made"]
        subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
        return (tmp_path / "log").read_text().count("again")

    assert run("snakemake") == 1
    assert run("advsparse.second_pass", *forcing) == 1
    assert run("snakemake", *forcing) == 2


def test_records_of_earlier_runs_do_not_count(monkeypatch, tmp_path):
    record = tmp_path / "record.txt"
    began = check_writable(tmp_path)
    assert not failures.left(str(record), began)
    record.write_text("no luck\n")
    assert failures.left(str(record), began)
    os.utime(record, (began - 1, began - 1))
    assert not failures.left(str(record), began)
    # In the second pass, the time is that of the first.
    monkeypatch.setenv("ADVSPARSE_SECOND_PASS", repr(began))
    assert not failures.left(str(record))
    record.write_text("no luck\n")
    assert failures.left(str(record))
