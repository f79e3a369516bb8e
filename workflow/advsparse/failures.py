"""Jobs that fail, and results with a gap where what they make is missing.

A job that computes (a dataset, a coder, a classifier, an attack or what it learns, an analysis)
keeps a record beside the results until it has succeeded: a text file with the reason, which a
killed job leaves too. The job fails as any other, so that the exit status is right and the next run
tries it again. With --keep-going, Snakemake then runs once more, for the rows, tables and figures
alone (:func:`draw_gaps`): in this second pass they have as their input, where an attack or an
analysis is missing, the record of the first job on the way to it that has failed. Records of
earlier runs, which nothing may have asked for since, do not count. The next run asks for the job
again, and Snakemake rebuilds what was built from the record, as its inputs have changed.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from advsparse.artifacts.atomic import writing

# Hands the second pass to its jobs, also on a cluster, with the time at which the first began. A
# parameter of a rule would cause reruns.
_SECOND_PASS = "ADVSPARSE_SECOND_PASS"

_KILLED = "ended without a message: killed, or out of memory or time"


def second_pass() -> bool:
    """Whether this process only draws what is left, with gaps."""
    return _SECOND_PASS in os.environ


def may_run(record: str | None) -> bool:
    """Whether a job runs at all: what keeps a record has failed, and is not computed twice in one
    run."""
    return not second_pass() or record is None


def begin(record: str | None, log: Path) -> None:
    """Note that a job has begun, if it keeps a record: what one that is killed leaves behind."""
    if record:
        path = Path(record)
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{_KILLED}; see {log}\n", encoding="utf-8")


def end(record: str | None, reason: str | None = None) -> None:
    """Note why a job has failed, or that it has not."""
    if not record:
        return
    if reason is None:
        Path(record).unlink(missing_ok=True)
        return
    # What has failed may be the disk: the reason is on the terminal then.
    with contextlib.suppress(OSError):
        # A path may hold what is not UTF-8.
        text = " ".join(reason.split()).encode("utf-8", "backslashreplace")
        Path(record).write_bytes(text + b"\n")


def told(record: str | Path) -> str:
    """What a job that has failed said of it."""
    try:
        return Path(record).read_text(encoding="utf-8").strip() or _KILLED
    except FileNotFoundError:
        return "for want of what it is made from"


def hand_down(workflow: Any) -> None:
    """Let the jobs of a workflow, wherever they run, know which pass they belong to."""
    if second_pass():
        workflow.register_envvars(_SECOND_PASS)


def left(record: str, since: float | None = None) -> bool:
    """Whether a job has left a record in this run, which began at ``since``: in the second pass,
    the time at which the first did."""
    if since is None:
        since = float(os.environ[_SECOND_PASS])
    try:
        return Path(record).stat().st_mtime >= since
    except FileNotFoundError:
        return False


def keep_earlier_records(workflow: Any) -> None:
    """Have Snakemake keep, of a job that fails, its record of what was built before.

    It removes the output of a failed job, but records its parameters as if it had been built. Where
    things made from the former output are still there, the next run would take them for up to date.
    """
    persistence = workflow.persistence
    note_as_built = persistence.finished

    async def finished(job: Any) -> None:
        record = job.params.get("failure")
        failed = record is not None and Path(record).exists()
        if not failed and all([await file.exists() for file in job.output]):
            await note_as_built(job)

    persistence.finished = finished


def draw_gaps(workflow: Any, records: dict[str, str], since: float) -> None:
    """After a run with errors, build what is left, if the user wants to keep going.

    records: the names of all jobs, by their records; since: when the run began, as :func:`left` has
    it. Of other runs in the same folder, which build something else, nothing is said.
    """
    scheduler = workflow.scheduler
    interrupted = scheduler.running or scheduler.open_jobs
    if not workflow.execution_settings.keep_going or second_pass() or interrupted:
        return
    own = {job.params.get("failure") for job in workflow.dag.jobs}
    failed = {name: path for path, name in records.items() if path in own and left(path, since)}
    if not failed:
        return
    reasons = "\n".join(f"  {name}: {told(record)}" for name, record in failed.items())
    print("Drawing what is left, with gaps for what has failed.", file=sys.stderr)
    command = [sys.executable, "-m", "advsparse.second_pass", *sys.argv[1:]]
    # Where the first pass was asked for: paths in its arguments and profiles start there, and
    # --directory has led it elsewhere since.
    began_in = workflow.rundir
    environment = os.environ | {_SECOND_PASS: repr(since)}
    subprocess.run(command, cwd=began_in, env=environment, check=False)
    print(f"Failed, and tried again by the next run:\n{reasons}", file=sys.stderr)
