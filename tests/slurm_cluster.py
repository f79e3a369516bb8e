"""A real SLURM on this machine: one node, one GPU that is not there, no accounting database."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")

# One GPU, so that SLURM has to let its jobs wait; more cores than most machines that run tests
# have, so that CPU jobs don't.
_SLURM_CONF = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=2
MinJobAge=3600
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=32000 Gres=gpu:1
PartitionName=main Nodes={host} Default=YES State=UP
"""

# The step executor of Snakemake's plugin starts srun without the environment's SLURM_CONF.
_SRUN = """\
#!/bin/sh
SLURM_CONF={folder}/slurm.conf exec {srun} "$@"
"""


@dataclass(frozen=True)
class SlurmJob:
    """What SLURM knows of a job. ``name`` is Snakemake's: rule_<rule> or group_<group>."""

    id: str
    name: str
    state: str
    gpus: int
    minutes: int
    megabytes: int
    log: Path
    submitted: datetime
    started: datetime
    ended: datetime


@dataclass(frozen=True)
class SlurmCluster:
    """A running cluster; ``environment`` leads SLURM's programs to it."""

    folder: Path
    environment: dict[str, str]

    def run(self, *command: str) -> str:
        """The output of one of SLURM's programs."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=60
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}\n{self.logs()}")
        return done.stdout

    def jobs(self) -> list[SlurmJob]:
        """All jobs that have started, in the order in which they were submitted."""
        lines = self.run("scontrol", "show", "job", "--oneliner").splitlines()
        described = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in lines if "JobId=" in line]
        jobs = [_job(said) for said in described if said["StartTime"] != "Unknown"]
        return sorted(jobs, key=lambda job: int(job.id))

    def logs(self) -> str:
        """The last that the daemons said."""
        return "".join(
            f"{path.name}:\n{path.read_text(errors='replace')[-2000:]}\n"
            for path in sorted(self.folder.glob("*.log"))
        )


def _job(said: dict[str, str]) -> SlurmJob:
    gpus = re.search(r"gpu[:=](\d+)", said.get("TresPerJob", ""))
    hours, minutes, _ = map(int, said["TimeLimit"].split(":"))
    times = [datetime.fromisoformat(said[f"{name}Time"]) for name in ("Submit", "Start", "End")]
    return SlurmJob(
        said["JobId"],
        re.search(r"/(rule_[^/]+|group_[a-z]+)", said["StdOut"])[1],
        said["JobState"],
        int(gpus[1]) if gpus else 0,
        60 * hours + minutes,
        int(said["MinMemoryNode"].removesuffix("M")),
        Path(said["StdOut"]),
        *times,
    )


def missing() -> str | None:
    """Why there can be no cluster on this machine; None if there can."""
    absent = [program for program in PROGRAMS if _find(program) is None]
    if absent:
        return f"SLURM or munge is not installed: no {', '.join(absent)}"
    return None if os.geteuid() == 0 else "SLURM's daemons have to be started by root"


@contextlib.contextmanager
def slurm_cluster() -> Iterator[SlurmCluster]:
    """A cluster of its own, beside any other SLURM of the machine, that ends with the block."""
    # Not a folder of pytest's: the paths of sockets must be short.
    with tempfile.TemporaryDirectory(prefix="slurm-") as name, contextlib.ExitStack() as daemons:
        folder = Path(name)
        cluster = SlurmCluster(folder, _configure(folder))
        # Forced: munged wants a folder that all users may enter, and here all is root's.
        for program, *options in (
            (
                *("munged", "--foreground", "--force", f"--key-file={folder}/munge.key"),
                *(f"--socket={folder}/munge.socket", f"--pid-file={folder}/munged.pid"),
                f"--seed-file={folder}/munged.seed",
            ),
            ("slurmctld", "-D"),
            ("slurmd", "-D"),
        ):
            daemons.enter_context(_daemon(program, options, cluster))
        _wait_until_idle(cluster)
        try:
            yield cluster
        finally:
            cluster.run("scancel", "--user=root")
            _wait_until_idle(cluster)


def _configure(folder: Path) -> dict[str, str]:
    """Write all that the daemons read; returns the environment that leads to it."""
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(128))
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir()
    host = socket.gethostname().partition(".")[0]
    ports = dict(zip(("controller_port", "node_port"), _free_ports(2), strict=True))
    (folder / "slurm.conf").write_text(_SLURM_CONF.format(folder=folder, host=host, **ports))
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")
    srun = folder / "bin" / "srun"
    srun.write_text(_SRUN.format(folder=folder, srun=_find("srun")))
    srun.chmod(0o755)
    path = os.pathsep.join([str(srun.parent), os.environ["PATH"]])
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_"))}
    return kept | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": path}


@contextlib.contextmanager
def _daemon(program: str, options: list[str], cluster: SlurmCluster) -> Iterator[None]:
    with (cluster.folder / f"{program}.log").open("w") as said:
        process = subprocess.Popen(
            [_find(program), *options],
            env=cluster.environment,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_idle(cluster: SlurmCluster) -> None:
    """Until the daemons answer and the node has no job."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(RuntimeError):
            if cluster.run("sinfo", "--noheader", "--format=%T").strip() == "idle":
                return
        time.sleep(0.2)
    raise RuntimeError(f"the SLURM node is not idle\n{cluster.logs()}")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as open_ones:
        sockets = [open_ones.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _find(program: str) -> str | None:
    """Debian's daemons are in a folder that the PATH of users lacks."""
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
