"""What a workflow must settle about its own source files before it starts jobs."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_LONG_AGO = 946_684_800  # 2000-01-01


def hand_down(folder: Path) -> None:
    """Let the processes started from here find modules in ``folder`` before all others."""
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    first = [str(folder)]
    os.environ["PYTHONPATH"] = os.pathsep.join(first + [p for p in others if p not in first])


def date_back(scripts: Path) -> None:
    """Give the scripts of jobs a modification time before that of any result.

    Snakemake reruns a job whose script is newer than its output, be it only touched or checked out
    afresh. Here the ``code`` parameter of each rule decides, by what the code says. Where the files
    may not be changed this does nothing, and the worst is a needless rerun.
    """
    for path in scripts.glob("*.py"):
        if path.stat().st_mtime != _LONG_AGO:
            with contextlib.suppress(OSError):
                os.utime(path, (_LONG_AGO, _LONG_AGO))
