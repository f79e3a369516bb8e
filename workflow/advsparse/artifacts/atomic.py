"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

from advsparse.errors import StorageError


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield the path of an empty temporary file to write to; it replaces ``path`` when the block
    ends without error.

    The temporary file is hidden, lies in the folder of ``path``, which is made if missing, and
    keeps its suffix, from which writers such as matplotlib infer the format. Its bytes reach the
    disk before the replacement. If anything fails, it is removed and ``path`` is as it was; what a
    killed process has left behind is removed by the next one that writes ``path``.

    Raises StorageError where the disk or its rights are the reason.
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        temporary = path.with_name(f".{path.stem}.{secrets.token_hex(8)}{path.suffix}")
        # Locked until the end, also the end by kill -9: that tells the abandoned from the others.
        with temporary.open("xb") as lock:
            try:
                with contextlib.suppress(OSError):  # a file system without locks
                    fcntl.flock(lock, fcntl.LOCK_EX)
                yield temporary
                if not temporary.stat().st_size:
                    raise ValueError(f"{path}: nothing was written")
                put_in_place(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an error of the disk into a StorageError about ``path``."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error


def check_writable(folder: str | Path) -> float:
    """Make ``folder`` if it is missing, and return the time that it gives to a new file.

    Raises StorageError unless it takes new files.
    """
    folder = Path(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(2**16))
            file.flush()
            return os.fstat(file.fileno()).st_mtime


def _remove_abandoned(path: Path) -> None:
    """Remove the temporary files for ``path`` that no process has locked."""
    names = f".{glob.escape(path.stem)}.{'[0-9a-f]' * 16}{glob.escape(path.suffix)}"
    for left in path.parent.glob(names):
        with contextlib.suppress(OSError), left.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def put_in_place(temporary: Path, path: Path) -> None:
    """Replace ``path`` by ``temporary``, whose bytes reach the disk before.

    Both are in one folder.
    """
    _fsync(temporary)
    os.replace(temporary, path)  # noqa: PTH105 - one call, the same on every Path subclass
    # The new file is in place by now and some file systems cannot sync a folder: not a failure.
    with contextlib.suppress(OSError):
        _fsync(path.parent)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
