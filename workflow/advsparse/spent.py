"""What a job's process has taken: time since it was asked for, and memory."""

from __future__ import annotations

import os
import sys
import time

ASKED = "ADVSPARSE_ASKED"
"""Of a job that the fork server runs: when it was asked for, in seconds since the boot."""


def age() -> float:
    """Seconds since this process began, or since the fork server was asked for it."""
    import psutil

    if asked := os.environ.get(ASKED):
        return time.clock_gettime(time.CLOCK_BOOTTIME) - float(asked)
    began = psutil.Process().create_time()
    if sys.platform != "linux":
        return time.time() - began
    # Linux counts from its boot, the moment of which is told to the second only.
    return time.clock_gettime(time.CLOCK_BOOTTIME) - (began - psutil.boot_time())


def most_memory() -> float:
    """The largest resident set of this process, or of one that it has waited for, in MiB."""
    import resource

    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    others = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(own, others) / (2**20 if sys.platform == "darwin" else 2**10)
