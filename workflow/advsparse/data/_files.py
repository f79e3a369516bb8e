"""Where the files of a dataset are, what is in them, and errors that name file and entry."""

from __future__ import annotations

import os
import re
import tarfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from advsparse.data._base import Splits
from advsparse.errors import DataError

_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


def located(path: str, directory: Path) -> Path:
    """``path`` with ~ expanded, starting at ``directory`` if relative; it need not exist."""
    try:
        return directory / Path(path).expanduser()
    except RuntimeError as error:  # ~name, with no such user
        raise DataError(f"{path}: {error}") from error


def existing(path: str, directory: Path) -> Path:
    """Like :func:`located`; raises DataError if nothing is there."""
    found = located(path, directory)
    with reading(found):
        exists = found.exists()
    if not exists:
        given = "" if str(found) == path else f" (given as {path!r})"
        raise DataError(f"{found}: no such file or folder{given}")
    return found


@contextmanager
def reading(path: Path, entry: str | None = None) -> Iterator[None]:
    """Make whatever reading ``entry`` of ``path`` raises a DataError that names both."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        # Any: on damaged bytes the readers and decoders raise nearly everything there is, from
        # struct.error to RecursionError, and the culprit is the file all the same.
        where = path if entry is None else f"{path}: {entry}"
        reason = str(error).partition("\n")[0].rstrip(":") or "the data end too early"
        raise DataError(f"{where}: cannot be read: {reason} ({type(error).__name__})") from error


def splits(path: Path, **arrays: Any) -> Splits:
    """``Splits(**arrays)``, whose errors name ``path``."""
    try:
        return Splits(**arrays)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


@contextmanager
def opened(path: Path) -> Iterator[Container]:
    """The folder or archive at ``path``, told apart by the name's ending."""
    name = path.name.lower()
    if path.is_dir():
        yield _Folder(path)
    elif name.endswith(".zip"):
        with reading(path):
            archive = zipfile.ZipFile(path)
        with archive:
            yield _Zip(path, archive)
    elif name.endswith(_TAR):
        with reading(path):
            archive = tarfile.open(path)  # noqa: SIM115 (closed below, errors of opening apart)
        with archive:
            yield _Tar(path, archive)
    else:
        raise DataError(f"{path}: neither a folder nor a file named .zip, {', '.join(_TAR)}")


class Container(ABC):
    """The files in a folder or an archive, which is never unpacked.

    ``entries`` maps the path of every file, with slashes and relative to the container, to what
    is needed for reading it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, Any] = {}

    @abstractmethod
    def read(self, entries: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Each of ``entries`` and its bytes, in the order that is fastest."""

    def _add(self, name: str, handle: Any) -> None:
        plain = name.replace("\\", "/")  # some Windows tools write archives so
        parts = plain.split("/")
        if ".." in parts or plain.startswith("/") or re.match("[A-Za-z]:/", plain):
            raise DataError(f"{self.path}: {name}: absolute paths and paths with .. are refused")
        entry = "/".join(part for part in parts if part not in ("", "."))
        if entry in self.entries:
            raise DataError(f"{self.path}: {name}: the archive holds this entry twice")
        self.entries[entry] = handle


class _Folder(Container):
    _DEPTH = 4  # top folder, split, class, and one more to see that something lies too deep

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with reading(path):
            # Links are followed, as people keep large datasets behind them; the bounded depth ends
            # a circle of links.
            for folder, folders, files in os.walk(path, followlinks=True, onerror=_raise):
                below = Path(folder).relative_to(path)
                deep = len(below.parts) == self._DEPTH
                folders[:] = [] if deep else [name for name in folders if name[0] != "."]
                for file in files:
                    self.entries[(below / file).as_posix()] = Path(folder, file)

    def read(self, entries: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        for entry in entries:
            with reading(self.path, entry):
                data = self.entries[entry].read_bytes()
            yield entry, data


class _Zip(Container):
    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        super().__init__(path)
        self._archive = archive
        for info in archive.infolist():
            if not info.is_dir():
                self._add(info.filename, info)

    def read(self, entries: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        for entry in entries:
            with reading(self.path, entry):
                data = self._archive.read(self.entries[entry])  # checks the CRC
            yield entry, data


class _Tar(Container):
    def __init__(self, path: Path, archive: tarfile.TarFile) -> None:
        super().__init__(path)
        self._archive = archive
        last = None
        with reading(path):
            for member in archive:
                last = member.name
                if member.isfile() or member.islnk() or member.issym():
                    self._add(last, member)
        with reading(path, last):
            self._check_end(archive)

    @staticmethod
    def _check_end(archive: tarfile.TarFile) -> None:
        # tarfile takes a damaged header, and a file cut between two members, for the end of the
        # archive, and never reaches the checksum at the end of a gzip, bzip2 or xz stream.
        archive.fileobj.seek(archive.offset)
        if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("the archive is cut short or damaged after this entry")
        while archive.fileobj.read(1 << 20):
            pass

    def read(self, entries: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        # In the order of the archive: going back in a compressed one means starting anew.
        for entry in sorted(entries, key=lambda entry: self.entries[entry].offset_data):
            with reading(self.path, entry):
                data = self._archive.extractfile(self.entries[entry]).read()
            yield entry, data


def _raise(error: OSError) -> None:
    raise error
