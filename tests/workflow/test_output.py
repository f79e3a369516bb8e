"""What a run in a pipe shows: a line a job, failures with their reason, and its full log."""

from __future__ import annotations

import re
import subprocess

import pytest
from test_failures import ATTACKS, failing

from project import Project

LINE = re.compile(r"\[ *(\d+)/(\d+)\] +(~[\w ]+ left)?  \S.* \([\w. ]+\)")


@pytest.fixture(scope="module")
def runs(built, tmp_path_factory):
    """A project, a run with --keep-going in which jobs fail, and the next, which goes well."""
    project = failing(built, tmp_path_factory.mktemp("shown") / "project")
    failed = project.snakemake("--keep-going", check=False)
    (project.path / "broken").unlink()
    return project, failed, project.snakemake()


def counts(lines: list[str]) -> list[tuple[int, int]]:
    return [(int(m[1]), int(m[2])) for line in lines if (m := LINE.fullmatch(line))]


def full_logs(project: Project, done: subprocess.CompletedProcess) -> list[str]:
    names = re.findall(r"(?m)^Full log: (\.snakemake/log/\S+\.snakemake\.log)$", done.stderr)
    return [(project.path / name).read_text() for name in names]


def test_a_run_is_a_line_a_job_that_counts_up_to_all(runs):
    _, _, done = runs
    lines = done.stderr.splitlines()
    total = int(re.search(r"(?m)^(\d+) jobs \(preset test\): ", done.stderr)[1])
    assert counts(lines) == [(n, total) for n in range(1, total + 1)]
    assert len(lines) <= total + 8 and not done.stdout
    assert re.search(rf"(?m)^{total} of {total} jobs done in \d+ \w+$", done.stderr)
    assert "Look at:  results/test/frecon2021 (figures, tables)" in lines


def test_there_are_no_control_characters(runs):
    for done in runs[1:]:
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", done.stderr)


def test_the_log_that_it_names_is_complete(runs):
    project, _, done = runs
    (log,) = full_logs(project, done)
    total = counts(done.stderr.splitlines())[-1][1]
    for said in ("Finished jobid: ", "    reason: "):
        assert log.count(said) == total, said
    assert f"{total} of {total} steps (100%) done" in log and "Job stats:" in log


def test_failed_jobs_are_named_with_their_reason_and_log(runs):
    project, done, _ = runs
    found = re.findall(
        r"(?m)^\[ *\d+/\d+\] FAILED: (?:run_attack|fit_attack) frecon2021 (\S+)\n"
        r"  RuntimeError: no luck with \$x\$\n"
        r"  log: (\S+)$",
        done.stderr,
    )
    assert {re.sub(r"-[0-9a-f]{16}$", "", name) for name, _ in found} == ATTACKS
    assert all((project.path / log).is_file() for _, log in found)
    assert "non-zero exit status" not in done.stderr
    assert len(done.stderr.splitlines()) < 80


def test_both_passes_are_counted_and_name_their_log(runs):
    project, done, _ = runs
    first, _, second = done.stderr.partition("Drawing what is left")
    n, total = counts(first.splitlines())[-1]
    assert n < total
    drawn, _, after = second.partition("tried again by the next run")
    n, all_drawn = counts(drawn.splitlines())[-1]
    assert n == all_drawn and f"{n} of {n} jobs done" in drawn
    assert re.search(rf"\d+ of {total} jobs done in .*, 3 failed, \d+ not run", after)
    logs = full_logs(project, done)
    assert len(logs) == 2 and sum("Error in rule" in log for log in logs) == 1


def test_a_dry_run_is_shown_by_snakemake(runs):
    project, _, _ = runs
    done = project.snakemake("--dry-run", "--forcerun", "run_attack")
    assert "Job stats:" in done.stdout and "rule run_attack:" in done.stdout
    assert re.search("(?m)^    reason: ", done.stdout) and "(preset test)" not in done.stderr


def test_quiet_is_as_snakemake_has_it(runs):
    project, _, _ = runs
    row = "results/test/frecon2021/rows/tradeoff.csv"
    done = project.snakemake("--quiet", "rules", "progress", "--force", row)
    assert "evaluate_attacks" not in done.stderr.partition("total")[2]
    assert "Full log:" not in done.stderr
