"""A digest of what files hold, remembered for as long as nobody has touched them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

from advsparse.artifacts.atomic import atomic_path
from advsparse.data._files import sha256_of
from advsparse.errors import StorageError

_SNAKEMAKE = Path(".snakemake")
_TICK = 2 * 10**9
"""Nanoseconds within which the times of a file may not tell two changes of it apart."""


def digest(path: Path, found: Mapping[str, Path]) -> str:
    """The digest of the names and bytes of ``found``, the files at or below ``path``.

    It is remembered among Snakemake's own records of a run's folder: large files are read once, and
    again where a size, a time (also that of the last change to the file's own entry on the disk,
    which nobody can set) or a number on the disk differs. Raises OSError.
    """
    before, newest = _touched(found)
    note = _note(path)
    with contextlib.suppress(OSError, ValueError):
        seen, known = note.read_text(encoding="utf-8").split()
        if seen == before:
            return known
    read = [(name, sha256_of(file)) for name, file in found.items()]
    told = hashlib.sha256(repr(read).encode()).hexdigest()
    settled = newest + _TICK < time.time_ns()
    if settled and _touched(found)[0] == before and _SNAKEMAKE.is_dir():
        with contextlib.suppress(StorageError), atomic_path(note) as temporary:
            temporary.write_text(f"{before} {told}\n", encoding="utf-8")
    return told


def _touched(found: Mapping[str, Path]) -> tuple[str, int]:
    """What differs wherever a file may have changed, and when one last did."""
    states = [(name, str(file.absolute()), file.stat()) for name, file in found.items()]
    told = [
        (name, path, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
        for name, path, state in states
    ]
    newest = max((state.st_ctime_ns for _, _, state in states), default=0)
    return hashlib.sha256(repr(told).encode()).hexdigest(), newest


def _note(path: Path) -> Path:
    """Where the digest of what is at ``path`` is remembered."""
    name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()
    return _SNAKEMAKE / "advsparse" / "contents" / name
