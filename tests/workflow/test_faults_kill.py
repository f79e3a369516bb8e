"""kill -9 at several moments of a run: the next one finishes, as if nothing had been."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from test_build import results

from advsparse.artifacts import read_arrays, read_tensors
from project import ROOT, SNAKEMAKE, Project

FOLDER = "results/test/frecon2021"
ATOMS, EXAMPLES, ROWS = TARGETS = [
    f"{FOLDER}/{name}.csv" for name in ("figures/atoms", "figures/examples", "rows/atoms")
]
# What is killed (see tests/faults) on the way to which target, and what the next run's log of it
# says. One target at a time: snakemake takes jobs that are ready in any order, and what a moment
# is about must not have been built before it.
MOMENTS = {
    "after the third epoch": (
        "all replaced 3 checkpoints/frecon2021/classifiers/lenet",
        ATOMS,
        "after epoch 3",
    ),
    "in the fifth epoch": ("job logged 1 epoch 5 of 6", ATOMS, "after epoch 4"),
    "writing a checkpoint": (
        "all written 1 checkpoints/frecon2021/classifiers/.lenet",
        ATOMS,
        "after epoch 4",
    ),
    "writing the classifier": (
        "all written 1 test/frecon2021/classifiers/.lenet",
        ATOMS,
        "after epoch 6",
    ),
    "learning a dictionary": ("snakemake called 5 fit_attack.py Smooth.gradients", ATOMS, None),
    "writing a dictionary": ("all written 1 dictionaries/.scada", ATOMS, None),
    "attacking": (r"job called 3 run_attack.py Oracle\.", EXAMPLES, None),
    "writing an attack": ("all written 1 attacks/scada_atoms/", ROWS, None),
    "writing rows": (r"all written 1 rows/.atoms.[0-9a-f]{16}.csv$", ROWS, None),
}


def start(project: Project, log: Path, fault: str = "", *arguments: str) -> subprocess.Popen:
    """Snakemake on one core, in a process group that a fault can end."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests/faults")}
    environment |= {"FAULT": fault} if fault else {}
    command = [*SNAKEMAKE, "--cores", "1", *(arguments or TARGETS), "--config", "preset=test"]
    with log.open("w") as file:  # not a pipe, which what survives would keep open
        return subprocess.Popen(
            command,
            cwd=project.path,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


@pytest.fixture
def run(tmp_path):
    """Runs snakemake to its end; returns its exit status and what it said."""
    groups = []

    def run(project: Project, fault: str = "", *arguments: str) -> tuple[int, str]:
        log = tmp_path / f"run{len(groups)}.log"
        process = start(project, log, fault, *arguments)
        groups.append(process.pid)
        return process.wait(timeout=600), log.read_text()

    yield run
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def payloads(project: Project) -> dict[str, str]:
    """The payload digest of each artifact that was asked for, and the bytes of each CSV."""
    found = {path: (project.path / path).read_text() for path in TARGETS}
    for folder in ("classifiers", "dictionaries", "attacks"):
        for path in sorted((results(project) / "frecon2021" / folder).rglob("*.*")):
            read = read_tensors if path.suffix == ".safetensors" else read_arrays
            found[str(path.relative_to(project.path))] = read(path)[1].payload_sha256
    return found


def test_killed_at_any_moment_the_next_run_ends_as_if_nothing_had_been(built, sources, run):
    resumed = None
    for moment, (fault, target, expected) in MOMENTS.items():
        # All but the last leave no lock, to save the time that removing it takes.
        last = moment == "writing rows"
        status, said = run(sources, fault, *([] if last else ["--nolock"]), target)
        assert status == (1 if fault.startswith("job") else -signal.SIGKILL), f"{moment}: {said}"
        if resumed:
            log = (results(sources) / "logs/frecon2021/classifiers/lenet.log").read_text()
            assert resumed in log, moment
        resumed = expected
    status, said = run(sources)
    assert status == 1 and "kill signal" in said and "the --unlock argument" in said, said
    assert run(sources, "", "--unlock")[0] == 0
    status, said = run(sources)
    assert status == 0, said
    expected = payloads(built)
    assert payloads(sources) == {name: expected[name] for name in payloads(sources)}
    left = [path for path in results(sources).rglob(".*") if path.name != ".snakemake_timestamp"]
    assert left == []
    assert not [path for path in (results(sources) / "checkpoints").rglob("*") if path.is_file()]
    assert not list(results(sources).rglob("failures/**/*.txt"))


def test_two_runs_in_one_folder(sources, run, tmp_path):
    """The second ends at once with a message; the first goes on as if it had been alone."""
    target = f"{FOLDER}/classifiers/lenet.safetensors"
    first = start(sources, tmp_path / "first.log", "pause logged 1 epoch 2 of 6", target)
    try:
        log = results(sources) / "logs/frecon2021/classifiers/lenet.log"
        deadline = time.monotonic() + 300
        while not (log.exists() and "epoch 2 of 6" in log.read_text()):
            assert time.monotonic() < deadline and first.poll() is None
            time.sleep(0.1)
        status, said = run(sources, "", target)
        assert status == 1 and "Directory cannot be locked" in said
        assert "Traceback" not in said
        os.killpg(first.pid, signal.SIGCONT)
        assert first.wait(timeout=300) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(first.pid, signal.SIGKILL)
    assert "resumed" not in log.read_text()
    assert (sources.path / target).exists()
