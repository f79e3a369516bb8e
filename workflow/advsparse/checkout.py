"""What a workflow must settle about its own source files before it starts jobs."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

_LONG_AGO = 946_684_800  # 2000-01-01

# Snakemake starts its jobs by a line of shell in which the interpreter's path has no quotes.
_SHELL = set(" \t\n\r\v\f'\"\\$`;&|<>()[]{}*?")
# It takes braces in the path of a job's script for wildcards, and a colon ends a path of modules.
_SNAKEMAKE = set("{}:")


def misplaced(project: Path, interpreter: Path) -> str | None:
    """Why no job can run in a project, whose path or interpreter's path is written otherwise than
    Snakemake can handle; None if jobs can."""
    for what, path, refused in (
        ("the project's folder", project, _SNAKEMAKE),
        ("Python", interpreter, _SHELL),
    ):
        for character in str(path):
            if character in refused:
                return (
                    f"{what} is {str(path)!r}, and snakemake runs no job where a path has "
                    f"{character!r}: move it to one of letters, digits and any of - _ . + @ only"
                )
    return None


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


if __name__ == "__main__":  # of the Makefile: before it makes this interpreter
    sys.exit(misplaced(Path.cwd(), Path(sys.argv[1]).absolute()))
