"""Attacks that fail, and results with a gap where they are missing.

A job that attacks or learns keeps a record beside the results until it has succeeded: a text file
with the reason, which a killed job leaves too. The job fails as any other, so that the exit status
is right and the next run tries it again. With --keep-going, Snakemake then runs once more, for the
rows, tables and figures alone (:func:`draw_gaps`): in this second pass they have the record as
their input where the attack is missing. The next run asks for the attack again, and Snakemake
rebuilds what was built from the record, as its inputs have changed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

# Hands the second pass to its jobs, also on a cluster. A parameter of a rule would cause reruns.
_SECOND_PASS = "ADVSPARSE_SECOND_PASS"

# What the user wants to be rebuilt in any case has been, in the first pass; without names,
# --forcerun takes back its names.
_FORCING = {"-F", "--forceall", "-f", "--force"}

_COMPUTED = ("dataset", "classifier", "fit", "attack")


def second_pass() -> bool:
    """Whether this process only draws what is left, with gaps."""
    return _SECOND_PASS in os.environ


def may_run(stage: str) -> bool:
    """Whether jobs of a stage run at all: what has failed is not computed twice in one run."""
    return not second_pass() or stage not in _COMPUTED


def begin(record: str | None, log: Path) -> None:
    """Note that a job has begun, if it keeps a record: what one that is killed leaves behind."""
    if record:
        path = Path(record)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"ended without a message: killed, or out of memory or time; see {log}\n")


def end(record: str | None, reason: str | None = None) -> None:
    """Note why a job has failed, or that it has not."""
    if record and reason:
        Path(record).write_text(" ".join(reason.split()) + "\n", encoding="utf-8")
    elif record:
        Path(record).unlink(missing_ok=True)


def reason(record: str | Path) -> str:
    """Why a job has failed."""
    return Path(record).read_text(encoding="utf-8").strip()


def hand_down(workflow: Any) -> None:
    """Let the jobs of a workflow, wherever they run, know which pass they belong to."""
    if second_pass():
        workflow.register_envvars(_SECOND_PASS)


def draw_gaps(workflow: Any, failed: dict[str, Path]) -> None:
    """After a run with errors, build what is left, if the user wants to keep going.

    failed: for each attack that failed, its name and its record.
    """
    scheduler = workflow.scheduler
    interrupted = scheduler.running or scheduler.open_jobs
    if not workflow.execution_settings.keep_going or second_pass() or interrupted or not failed:
        return
    reasons = "\n".join(f"  {name}: {reason(record)}" for name, record in failed.items())
    print("Drawing what is left, with gaps for the failed attacks.", file=sys.stderr)
    arguments = [argument for argument in sys.argv[1:] if argument not in _FORCING]
    end = arguments.index("--") if "--" in arguments else len(arguments)
    # The lock is that of the first pass, which waits.
    arguments[end:end] = ["--nolock", "--forcerun"]
    command = [sys.executable, "-m", "snakemake", *arguments]
    subprocess.run(command, env=os.environ | {_SECOND_PASS: "1"}, check=False)
    print(f"Failed attacks, which the next run tries again:\n{reasons}", file=sys.stderr)
