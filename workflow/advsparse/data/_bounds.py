"""How far an archive may unpack: what it says of itself is not trusted."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
from pathlib import Path
from typing import BinaryIO

from advsparse.errors import DataError

LARGEST_ENTRY = 64 * 2**20
"""Bytes that one file of an archive may have: it is read into memory whole."""

_SMALLEST_BOUND, _HIGHEST_RATIO = 2**30, 100
_COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


class Bounded:
    """A tar archive's bytes, also those between its files: long headers, zeros at the end."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._path, self._stream, self._bound = path, stream, bound(path)
        self.tell = stream.tell

    def read(self, size: int) -> bytes:
        if size > LARGEST_ENTRY + tarfile.BLOCKSIZE:
            raise DataError(f"{self._path}: holds a header of {size} bytes")
        data = self._stream.read(size)
        self._check(self.tell())
        return data

    def seek(self, position: int) -> int:
        self._check(position)
        return self._stream.seek(position)

    def _check(self, position: int) -> None:
        if position > self._bound:
            raise unpacks_too_far(self._path, self._bound)


def uncompressed(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        start = file.read(6)
    found = (how for magic, how in _COMPRESSED.items() if start.startswith(magic))
    return next(found, open)(path, "rb")


def bound(path: Path) -> int:
    return max(_SMALLEST_BOUND, _HIGHEST_RATIO * path.stat().st_size)


def unpacks_too_far(path: Path, bound: int) -> DataError:
    return DataError(f"{path}: unpacks to more than {bound} bytes, which no dataset does")
