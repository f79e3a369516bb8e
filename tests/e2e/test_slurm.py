"""The pipeline on a real SLURM, through profiles/slurm: what was granted, retried and built."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from advsparse.artifacts import Slices, read_arrays, read_tensors
from project import SNAKEMAKE, Project, copy_sources
from slurm_cluster import SlurmCluster, SlurmJob, missing, slurm_cluster

PAPER = "results/test/frecon2021"
TARGETS = (
    "results/test/datasets/digits.safetensors",
    "results/test/datasets/photos.png",
    f"{PAPER}/figures/atoms.csv",
    f"{PAPER}/figures/loss.csv",
    f"{PAPER}/rows/atoms.csv",
    f"{PAPER}/rows/tradeoff.csv",
)
# Few attacks, of those that a local run has too.
CONFIGURATION = """
settings:
  frecon2021:
    attacks:
      scada: {grid: {lambda1: [0.1], lambda2: [0.1]}}
      scada_atoms: {grid: {atoms: [1]}}
    experiments: {tradeoff: [scada]}
"""
# The first to come this far waits to be killed.
STALL = 'if not Path("{0}").exists(): Path("{0}").touch(); import time; time.sleep(900)\n'


@dataclass(frozen=True)
class Run:
    """A finished run on a cluster."""

    project: Project
    jobs: list[SlurmJob]

    def named(self, *names: str) -> list[SlurmJob]:
        return [job for job in self.jobs if job.name in names]


def prepare(project: Project) -> None:
    """Let a training and a dataset stall once, and jobs compute without the GPU they are granted.

    There is none here: torch would refuse. All that leads to the grant is as it is.
    """
    project.configure(CONFIGURATION)
    project.edit(
        "workflow/advsparse/jobs.py",
        'self.device = "cuda" if getattr(snakemake.resources, "gpu", 0) else "cpu"',
        'self.device = "cpu"\n'
        '        logger.info("GPUs: %s", os.environ.get("CUDA_VISIBLE_DEVICES"))',
    )
    save = "        write_tensors(self.path, tensors, metadata)\n"
    stall = f"        if epoch == 3:\n            {STALL.format('training')}"
    project.edit("workflow/advsparse/models/_checkpoint.py", save, save + stall)
    load = "    splits ="
    stall = f"    if 'digits' in snakemake.output[0]:\n        {STALL.format('dataset')}"
    project.edit("workflow/scripts/make_dataset.py", load, stall + load)
    # SLURM counts time limits in minutes.
    declared = "workflow/advsparse/stages/dataset.py"
    project.edit(declared, "gpu, minutes = False, 30", "gpu, minutes = False, 1")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """A run of GPU and CPU jobs, in which one is cancelled and one exceeds its time limit."""
    if reason := missing():
        pytest.skip(reason)
    project = copy_sources(tmp_path_factory.mktemp("slurm"))
    prepare(project)
    with slurm_cluster() as cluster:
        snakemake(project, cluster)
        return Run(project, cluster.jobs())


def snakemake(project: Project, cluster: SlurmCluster) -> None:
    """Build the targets as docs/cluster.md says, and cancel the training once it stalls."""
    command = [*SNAKEMAKE, "--workflow-profile", "profiles/slurm"]
    command += ["--config", "preset=test", "device=cuda"]
    command += ["--slurm-init-seconds-before-status-checks", "1", "--", *TARGETS]
    environment = {k: v for k, v in cluster.environment.items() if k != "PYTHONPATH"}
    said = project.path / "said.log"
    with said.open("w") as file:
        process = subprocess.Popen(
            command, cwd=project.path, env=environment, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + 600
        while process.poll() is None and not (project.path / "training").exists():
            assert time.monotonic() < deadline, f"no training began\n{cluster.logs()}"
            time.sleep(0.5)
        for job in cluster.jobs():
            if job.name == "rule_train_classifier":
                cluster.run("scancel", job.id)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(600)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, f"{said.read_text()[-8000:]}\n{cluster.logs()}"


def read_slices(path):
    """All of them, compared with their digests; and the metadata."""
    found = Slices(path)
    return {name: array[:] for name, array in found.items()}, found.metadata


def test_results_equal_those_of_a_local_run(run, built):
    folder = run.project.path / "results/test"
    compared = 0
    for path in [*folder.rglob("*.npz"), *folder.rglob("*.safetensors")]:
        if path.stem != "digits":
            read = read_slices if path.parent.name == "datasets" else read_tensors
            read = read_arrays if path.suffix == ".npz" else read
            local = built.path / path.relative_to(run.project.path)
            (here, made), (there, known) = read(path), read(local)
            if path.parent.name == "rows":  # of fewer attacks
                assert here, path
                for name, values in here.items():
                    np.testing.assert_array_equal(values, there[name], err_msg=f"{path}: {name}")
            else:
                assert made.payload_sha256 == known.payload_sha256, path
            compared += 1
    assert compared >= 6
    for name in TARGETS[2:]:
        lines, local = ((p.path / name).read_bytes().splitlines() for p in (run.project, built))
        assert len(lines) >= 2 and set(lines) <= set(local), name
        assert lines == local or "rows" in name


def test_gpu_rules_are_granted_a_gpu_and_others_none(run):
    granted = {job.name: job.gpus for job in run.jobs}
    assert granted == {
        "rule_make_dataset": 0,
        "rule_train_classifier": 1,
        "rule_fit_attack": 1,
        "rule_run_attack": 1,
        "group_evaluation": 1,
        "group_drawing": 0,
    }
    logs = run.project.path / "results/test/logs"
    seen = {log: re.search("GPUs: (.*)", log.read_text())[1] for log in logs.rglob("*.log")}
    stages = ("classifiers", "dictionaries", "attacks", "rows")
    on_gpu = {log for log in seen if log.relative_to(logs).parts[1] in stages}
    assert {seen[log] for log in on_gpu} == {"0"}
    assert {seen[log] for log in seen.keys() - on_gpu} == {"None"}


def test_a_gpu_has_one_job_at_a_time(run):
    in_turn = sorted((job for job in run.jobs if job.gpus), key=lambda job: job.started)
    assert all(earlier.ended <= later.started for earlier, later in pairwise(in_turn))
    assert any(later.submitted < earlier.ended for earlier, later in pairwise(in_turn))
    stalled = next(job for job in run.jobs if job.state == "TIMEOUT")
    assert any(stalled.started < job.ended and job.started < stalled.ended for job in in_turn)


def test_a_cancelled_training_is_retried_with_more_and_resumes(run):
    cancelled, retried = run.named("rule_train_classifier")
    assert (cancelled.state, retried.state) == ("CANCELLED", "COMPLETED")
    assert retried.megabytes > cancelled.megabytes
    said = (run.project.path / "results/test/logs/frecon2021/classifiers/lenet.log").read_text()
    assert re.search("resumed from .* after epoch 3", said)


def test_a_job_over_its_time_limit_is_retried_with_more_time(run):
    late, retried = (job for job in run.jobs if job.log.parent.name == "digits")
    assert (late.state, late.minutes) == ("TIMEOUT", 1)
    assert (retried.state, retried.minutes) == ("COMPLETED", 2)


def test_small_jobs_share_a_submission_and_logs_are_kept(run):
    assert len(run.named("group_evaluation")) == len(run.named("group_drawing")) == 1
    logs = run.project.path / "results/slurm_logs"
    assert all(job.log.is_relative_to(logs) and job.log.stat().st_size for job in run.jobs)
