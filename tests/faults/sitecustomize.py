"""Ends processes of a run at a given moment: each Python that starts imports this from PYTHONPATH.

FAULT says what happens, when, and the how manieth time in one process: ``all replaced 3 lenet``
kills the whole run once a file whose path has "lenet" in it has been replaced three times. Events
are that a file was ``replaced``, a temporary one ``written`` by half, or something ``logged`` or
``called``, by the script whose name stands before the text.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

# Whoever starts the run gives it a process group of its own, which snakemake leads.
ACTIONS: dict[str, Callable[[], None]] = {
    "job": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "snakemake": lambda: os.kill(os.getpgrp(), signal.SIGKILL),
    "all": lambda: os.killpg(os.getpgrp(), signal.SIGKILL),
    "pause": lambda: os.kill(os.getpid(), signal.SIGSTOP),
}


def install(action: str, event: str, count: str, pattern: str) -> None:
    """Do ``action`` at the event with that number whose path or text matches ``pattern``."""
    left = int(count)

    def note(about: str, before: Callable[[], None] = lambda: None) -> None:
        nonlocal left
        if re.search(pattern, about):
            left -= 1
            if left == 0:
                before()
                ACTIONS[action]()

    if event == "written":  # half of a temporary file, which is not in place yet
        real_fsync = os.fsync

        def fsync(descriptor: int) -> None:
            path = Path(f"/proc/self/fd/{descriptor}").resolve()
            if path.is_file():
                note(str(path), lambda: os.truncate(path, path.stat().st_size // 2))
            real_fsync(descriptor)

        os.fsync = fsync
    elif event == "replaced":
        real_replace = os.replace

        def replace(source, destination, **options) -> None:
            real_replace(source, destination, **options)
            note(str(destination))

        os.replace = replace
    elif event == "logged":
        real_handle = logging.Logger.handle

        def handle(self, record) -> None:
            real_handle(self, record)
            note(f"{sys.argv[0]} {record.getMessage()}")

        logging.Logger.handle = handle
    elif event == "called":

        def call(frame, kind, argument) -> None:
            if kind == "call" and "advsparse" in frame.f_code.co_filename:
                note(f"{sys.argv[0]} {frame.f_code.co_qualname}")

        # In a job, or in the fork server, of which jobs are copies.
        words = ("/.snakemake/scripts/", "advsparse.forkserver")
        if any(word in argument for argument in sys.orig_argv for word in words):
            sys.setprofile(call)
    else:
        raise ValueError(event)


if "FAULT" in os.environ:
    install(*os.environ["FAULT"].split(" ", 3))
