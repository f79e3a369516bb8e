"""The files in a folder or in an archive, which is read in place and never unpacked."""

from __future__ import annotations

import os
import re
import stat
import tarfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from advsparse.data._bounds import LARGEST_ENTRY, Bounded, bound, uncompressed, unpacks_too_far
from advsparse.data._files import check_utf8, reading, shown
from advsparse.errors import DataError

_MARK_OF_UTF8 = 0x800
_UNIX = (3, 19)  # and macOS
_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


@contextmanager
def opened(path: Path) -> Iterator[Container]:
    """The folder or archive at ``path``, told apart by the name's ending.

    Raises DataError for an archive that leads out of its folder, holds links or devices, has a file
    of more than LARGEST_ENTRY bytes, or unpacks to more than 1 GiB and 100 times its own size.
    """
    name = path.name.lower()
    if path.is_dir():
        yield _Folder(path)
    elif name.endswith(".zip"):
        with reading(path):
            try:
                archive = zipfile.ZipFile(path)
            except UnicodeDecodeError as error:
                check_utf8(path, _text(error.object))
                raise
        with archive:
            yield _Zip(path, archive)
    elif name.endswith(_TAR):
        with ExitStack() as stack:
            with reading(path):
                stream = Bounded(path, stack.enter_context(uncompressed(path)))
                archive = stack.enter_context(
                    tarfile.open(fileobj=stream, mode="r:", encoding="utf-8")
                )
            yield _Tar(path, archive)
    else:
        raise DataError(f"{path}: neither a folder nor a file named .zip, {', '.join(_TAR)}")


class Container(ABC):
    """``entries`` maps the path of every file, with slashes and relative to the container, to what
    is needed for reading it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, Any] = {}

    @abstractmethod
    def read(self, entries: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Each of ``entries`` and its bytes, in the order that is fastest."""


class Files(Container):
    """Some files of a folder."""

    def __init__(self, path: Path, entries: Mapping[str, Path]) -> None:
        super().__init__(path)
        self.entries.update(entries)

    def read(self, entries: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        for entry in entries:
            with reading(self.path, entry):
                data = self.entries[entry].read_bytes()
            yield entry, data


class _Folder(Files):
    def __init__(self, path: Path) -> None:
        super().__init__(path, walked(path))


_DEPTH = 4  # top folder, split, class, and one more to see that something lies too deep


def walked(path: Path) -> dict[str, Path]:
    """The files in a folder, but for hidden folders, by their paths relative to it."""
    found = {}
    with reading(path):
        # Links are followed, as people keep large datasets behind them; the bounded depth ends a
        # circle of links.
        for folder, folders, files in os.walk(path, followlinks=True, onerror=_raise):
            below = Path(folder).relative_to(path)
            deep = len(below.parts) == _DEPTH
            folders[:] = [] if deep else [name for name in folders if name[0] != "."]
            for file in files:
                found[(below / file).as_posix()] = Path(folder, file)
    return found


class _Archive(Container):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._bound = bound(path)
        self._size = 0

    def _add(self, name: str, size: int, handle: Any, plain: bool) -> None:
        """Add the file ``name`` of ``size`` bytes; ``plain`` says that it is no link or device."""
        where = f"{self.path}: {shown(name)}"
        slashed = name.replace("\\", "/")  # some Windows tools write archives so
        parts = slashed.split("/")
        if ".." in parts or slashed.startswith("/") or re.match("[A-Za-z]:/", slashed):
            raise DataError(f"{where}: absolute paths and paths with .. are refused")
        if not plain:
            raise DataError(f"{where}: links and devices are refused; pack the files")
        if size > LARGEST_ENTRY:
            raise DataError(f"{where}: unpacks to {size} bytes; at most {LARGEST_ENTRY} are read")
        self._size += size
        if self._size > self._bound:
            raise unpacks_too_far(self.path, self._bound)
        entry = "/".join(part for part in parts if part not in ("", "."))
        if entry in self.entries:
            raise DataError(f"{where}: the archive holds this entry twice")
        self.entries[entry] = handle


class _Zip(_Archive):
    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        super().__init__(path)
        self._archive = archive
        for info in archive.infolist():
            if not info.is_dir():
                kind = stat.S_IFMT(info.external_attr >> 16)  # none where no Unix has written it
                self._add(_named(info), info.file_size, info, plain=kind in (0, stat.S_IFREG))

    def read(self, entries: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        for entry in entries:
            with reading(self.path, entry):
                # Gives no more than the size in the archive's directory, and checks the CRC.
                data = self._archive.read(self.entries[entry])
            yield entry, data


class _Tar(_Archive):
    def __init__(self, path: Path, archive: tarfile.TarFile) -> None:
        super().__init__(path)
        self._archive = archive
        last = None
        with reading(path):
            for member in archive:
                last = member.name
                if not member.isdir():
                    self._add(last, member.size, member, plain=member.isfile())
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


def _named(info: zipfile.ZipInfo) -> str:
    """The name of a zip's entry.

    Without the mark of UTF-8, zipfile takes a name for the DOS code page 437, as the format has it.
    Unix and macOS put there whatever bytes name the file on disk.
    """
    if info.flag_bits & _MARK_OF_UTF8 or info.create_system not in _UNIX:
        return info.filename
    return _text(info.filename.encode("cp437"))


def _text(name: bytes) -> str:
    """A name of bytes, as the file system gives it: what is not UTF-8 is kept as surrogates."""
    return name.decode("utf-8", "surrogateescape")


def _raise(error: OSError) -> None:
    raise error
