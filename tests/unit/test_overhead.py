"""What a run's time went into: on runs made up by hand, and on a job that is run for real."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from advsparse.overhead import Ran, jobs, report, shares, snakemake_logs

WORKFLOW = Path(__file__).parents[2] / "workflow"

SCRIPT = """
from types import SimpleNamespace
import time
time.sleep(0.3)
from advsparse.jobs import job
snakemake = SimpleNamespace(
    log=["results/logs/p/attacks/eps=0.1.log"],
    params=SimpleNamespace(settings={}, code=""),
    threads=1,
    resources=SimpleNamespace(),
)
with job(snakemake, "table"):
    time.sleep(0.2)
"""


def test_one_job_after_another():
    ran = [Ran(1, 3, 8, 9), Ran(10, 11, 20, 20)]
    parts = shares(ran, 0, 25)
    assert parts == pytest.approx((5 + 9, 2 + 1 + 1, 1 + 1 + 5))
    assert parts.overhead == pytest.approx(11 / 25)
    assert "56.0%" in report(ran, parts) and "44.0%" in report(ran, parts)


def test_jobs_side_by_side_share_each_moment():
    # 0 to 2: both start; 2 to 4: one works while the other starts; 4 to 10: both work.
    parts = shares([Ran(0, 2, 10, 10), Ran(0, 4, 10, 10)], 0, 10)
    assert parts == pytest.approx((1 + 6, 2 + 1, 0))


def test_the_parts_are_the_whole_run_whatever_overlaps():
    ran = [Ran(i, i + 0.7, i + 2.1, i + 2.4) for i in (0.3, 0.9, 2.2, 7.5, 7.6)]
    assert sum(shares(ran, 0, 9)) == pytest.approx(9)


def python(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Python with the library of this tree."""
    command, environment = [sys.executable, *arguments], os.environ | {"PYTHONPATH": str(WORKFLOW)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_a_job_leaves_in_its_log_what_it_took(tmp_path):
    (tmp_path / "results/logs/p/attacks").mkdir(parents=True)
    python("-c", SCRIPT, folder=tmp_path).check_returncode()
    (ran,) = jobs(tmp_path / "results")
    assert ran.working - ran.began >= 0.25
    assert 0.15 <= ran.worked - ran.working < ran.worked - ran.began
    assert ran.ended == ran.worked, "there is no benchmark file"


def test_a_process_is_as_old_as_whoever_started_it_can_tell():
    asked = "import time; time.sleep(0.2); from advsparse.spent import age; print(age())"
    before = time.monotonic()
    done = python("-c", asked)
    done.check_returncode()
    # A tick of the clock that processes are dated by is a hundredth of a second.
    assert 0.2 <= float(done.stdout) <= time.monotonic() - before + 0.02


def test_a_job_that_imported_torch_ends_as_any_process_does_only_sooner(tmp_path):
    script = SCRIPT.replace(
        'with job(snakemake, "table"):',
        "import atexit; atexit.register(lambda: print('at exit'))\n"
        'with job(snakemake, "table") as this:\n    this.prepare_torch(); print("worked")',
    )
    (tmp_path / "results/logs/p/attacks").mkdir(parents=True)
    done = python("-c", f"{script}\nprint('never: the job is over')", folder=tmp_path)
    done.check_returncode()
    assert done.stdout.split("\n") == ["worked", "at exit", ""] and not done.stderr
    assert len(jobs(tmp_path / "results")) == 1


def test_the_end_of_a_process_is_that_of_its_benchmark(tmp_path):
    log, benchmark = (
        tmp_path / f"{n}/p/a.{s}" for n, s in (("logs", "log"), ("benchmarks", "tsv"))
    )
    for path in (log, benchmark):
        path.parent.mkdir(parents=True)
    log.write_text("2026-01-01 00:00:10,500 done in 6.00 s, 2.00 s after its start\n")
    benchmark.write_text("s\th:m:s\tmax_rss\n9.5\t0:00:09\t100.0\n")
    (ran,) = jobs(tmp_path)
    assert (ran.working - ran.began, ran.worked - ran.working, ran.ended - ran.worked) == (
        2,
        6,
        1.5,
    )


@pytest.mark.parametrize("text", ["", "2026-01-01 00:00:10,500 ValueError: no", "\0\xff"])
def test_jobs_that_did_not_end_well_do_not_count(tmp_path, text):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/a.log").write_text(text)
    assert jobs(tmp_path) == []


def test_a_run_whose_end_is_not_known_is_not_taken_for_an_earlier_one(tmp_path):
    logs, runs = tmp_path / "results/test/logs", tmp_path / ".snakemake/log"
    for path in (logs, runs):
        path.mkdir(parents=True)
    whole = runs / "2026-01-01T000000.000000.snakemake.log"
    whole.write_text("ran")
    ended = datetime.datetime(2026, 1, 1, 0, 0, 12).timestamp()
    os.utime(whole, (ended, ended))
    (logs / "a.log").write_text("2026-01-01 00:00:10,500 done in 6.00 s, 2.00 s after its start\n")

    def said():
        done = python("-m", "advsparse.overhead", "test", folder=tmp_path)
        return done.stdout + done.stderr

    assert said().startswith("1 job in 12 s")
    (logs / "b.log").write_text("2026-01-01 01:00:10,500 done in 6.00 s, 2.00 s after its start\n")
    (runs / "2026-01-01T010000.000000.snakemake.log").touch()
    assert "was it --quiet all?" in said()


def test_runs_are_those_of_snakemakes_logs(tmp_path):
    path = tmp_path / "2026-11-21T112034.125000.snakemake.log"
    path.write_text("ran")
    os.utime(path, (2e9, 2e9))
    ((began, ended),) = snakemake_logs(tmp_path)
    assert began % 60 == pytest.approx(34.125) and ended == 2e9
