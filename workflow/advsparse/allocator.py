"""The memory allocator of a process that passes images through networks all the time."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

# From malloc.h. Setting one of them ends the adjustment of both by the C library: then both it is.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_NEVER, _LARGEST_ON_HEAP = 2**31 - 1, 2**25


def keep_freed_memory() -> None:
    """Let the C library keep what is freed for what is allocated next, where that can be told.

    The activations of a pass are freed at its end. glibc hands the top of its heap back to the
    system each time, and every page of the next pass is a fault: a tenth of the time of PGD on a
    LeNet. The largest amount of memory that the process takes stays the same.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library has its own way
            library = ctypes.CDLL(None)
            library.mallopt(_TRIM_THRESHOLD, _NEVER)
            library.mallopt(_MMAP_THRESHOLD, _LARGEST_ON_HEAP)
