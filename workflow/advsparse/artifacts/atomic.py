"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path to write to; it replaces ``path`` when the block ends without error.

    The temporary file is hidden, lies in the folder of ``path``, which is made if missing, and
    keeps its suffix, from which writers such as matplotlib infer the format. Its bytes reach the
    disk before the replacement. If anything fails, it is removed and ``path`` is as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(8)}{path.suffix}")
    try:
        yield temporary
        put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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
