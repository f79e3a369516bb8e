"""How often Snakemake goes over its jobs."""

from __future__ import annotations

import subprocess

import pytest

from project import ROOT, SNAKEMAKE

TOY = """\
import sys
sys.path.insert(0, {library!r})
from advsparse.scheduling import look_when_a_job_ends
onstart:
    look_when_a_job_ends(workflow)
rule all:
    input: expand("{{i}}.txt", i=range({jobs}))
rule one:
    output: "{{i}}.txt"
    shell: "sleep 2; touch {{output}}"
"""
JOBS = 8


def rounds(folder, *arguments):
    text = TOY.format(library=str(ROOT / "workflow"), jobs=JOBS)
    (folder / "Snakefile").write_text(text)
    command = [*SNAKEMAKE, "--cores", "2", "--verbose", *arguments]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=True
    )
    assert all((folder / f"{i}.txt").exists() for i in range(JOBS))
    return (done.stdout + done.stderr).count("Resources before job selection")


def test_there_is_a_round_for_each_job_and_no_more(tmp_path):
    assert rounds(tmp_path) <= JOBS + 3


def test_a_limit_that_the_user_sets_stays(tmp_path):
    # Which is where the chains of rounds come from, as long as Snakemake makes them.
    found = rounds(tmp_path, "--max-jobs-per-timespan", "50/1s")
    if found <= JOBS + 3:
        pytest.fail("Snakemake no longer makes rounds without end: scheduling.py can go")
