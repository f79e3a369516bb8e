"""Downloads that can be trusted: resumed, bounded, and in place only if the SHA-256 agrees."""

from __future__ import annotations

import errno
import fcntl
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from advsparse.artifacts.atomic import put_in_place
from advsparse.data._files import sha256_of
from advsparse.data._http import Interrupted, Refused, Response, request
from advsparse.data._meter import Meter
from advsparse.data._registry import RemoteFile
from advsparse.errors import DataError

logger = logging.getLogger(__name__)

_CHUNK = 1 << 18


@dataclass(frozen=True)
class Patience:
    """When to give an address up."""

    timeout: float = 30.0
    """Seconds without a byte, and seconds over which the speed is taken."""
    slowest: float = 2048.0
    """Bytes a second at least."""
    tries: int = 4
    """Interruptions in a row, with less than a hundredth of the file between two of them."""
    pause: float = 2.0
    """Seconds before the second try, twice as many before each further one."""


def download(
    target: Path, urls: Sequence[str], file: RemoteFile, patience: Patience | None = None
) -> None:
    """Download ``file`` to ``target`` from the first of ``urls`` that gives it.

    What has arrived is kept in ``<target>.part``, also when this ends with an error, and the next
    call goes on from there, whatever the address. ``target`` appears whole, synced to the disk, or
    not at all. Raises DataError, with what each address said.
    """
    part = target.with_name(target.name + ".part")
    said = []
    with _disk_errors(target, part):
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("a+b", buffering=0) as out:
            _lock(out, part)
            try:
                if target.exists():  # by a process that has held the lock
                    return
                for url in urls:
                    _check_room(target, file.size - _length(out))
                    try:
                        _Transfer(url, out, part, file, patience or Patience()).get()
                    except Refused as error:
                        logger.warning("%s: %s", url, error)
                        said.append(f"  {url}: {error}")
                    else:
                        put_in_place(part, target)
                        return
            finally:
                if not _length(out):
                    part.unlink(missing_ok=True)
    tried = "\n".join(said) or "  there is no address"
    raise DataError(
        f"{target}: could not be downloaded:\n{tried}\nWithout a network here, put the file there "
        f"yourself: {file.size} bytes, SHA-256 {file.sha256}"
    )


class _Transfer:
    """One address of a file, and the part of the file that there is."""

    def __init__(
        self, url: str, out: BinaryIO, part: Path, file: RemoteFile, patience: Patience
    ) -> None:
        self._url, self._out, self._part, self._file = url, out, part, file
        self._patience = patience
        self._validator: str | None = None
        self._from_here = not _length(out)  # whether all of the part came from this address

    def get(self) -> None:
        """Complete the part; raises Refused if this address can't."""
        failures = 0
        while True:
            before = _length(self._out)
            try:
                self._go_on()
            except Interrupted as error:
                gained = _length(self._out) - before
                failures = failures + 1 if gained < self._file.size / 100 else 1
                if failures >= self._patience.tries:
                    raise Refused(f"{error} ({failures} tries)") from error
                pause = self._patience.pause * 2 ** (failures - 1)
                logger.info("%s: %s; again in %.1f s", self._url, error, pause)
                time.sleep(pause)
                continue
            found = sha256_of(self._part)
            if found == self._file.sha256:
                return
            elsewhere = not self._from_here
            self._start_over()
            if not elsewhere:
                raise Refused(f"gives a file of SHA-256 {found}, expected {self._file.sha256}")
            logger.warning("%s: what was there before was another file; anew", self._part)

    def _go_on(self) -> None:
        if _length(self._out) > self._file.size:
            self._start_over()
        have = _length(self._out)
        if have == self._file.size:
            return
        with request(self._url, have, self._validator, self._patience.timeout) as response:
            try:
                resumed = response.check(have, self._file.size)
            except Interrupted:
                self._start_over()
                raise
            if not resumed and have:
                logger.info("%s: does not resume: from the start", self._url)
                self._start_over()
            self._validator = response.validator
            self._receive(response)

    def _receive(self, response: Response) -> None:
        have = _length(self._out)
        with closing(Meter(self._file.name, have, self._file.size)) as meter:
            since, then = time.monotonic(), have
            while have < self._file.size:
                chunk = memoryview(response.read(min(_CHUNK, self._file.size - have)))
                if not chunk:
                    raise Interrupted(f"ends after {have} of {self._file.size} bytes")
                have += len(chunk)
                while chunk:
                    chunk = chunk[self._out.write(chunk) :]
                meter.note(have)
                seconds = time.monotonic() - since
                if seconds > self._patience.timeout:
                    if have - then < self._patience.slowest * seconds:
                        raise Refused(f"sends {(have - then) / seconds:.0f} bytes a second")
                    since, then = time.monotonic(), have
        logger.info("%s: got %s", self._url, self._file.name)

    def _start_over(self) -> None:
        self._out.truncate(0)
        self._from_here = True


def _length(out: BinaryIO) -> int:
    return out.seek(0, 2)


def _lock(out: BinaryIO, part: Path) -> None:
    try:
        fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DataError(f"{part}: another process is downloading this file; wait for it") from None
    except OSError:  # a file system without locks: the digest still decides
        logger.info("%s: its file system has no locks", part)


def _check_room(target: Path, needed: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise DataError(
            f"{target}: {needed} bytes are needed and {free} free on its disk; make room, or set "
            "data.directory to another disk"
        )


@contextmanager
def _disk_errors(target: Path, part: Path) -> Iterator[None]:
    """Errors of the file system as one message; those of the network are no OSError here."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(
                f"{target}: the disk is full; make room, or set data.directory to another disk. "
                f"What has arrived is kept in {part.name}"
            ) from error
        raise DataError(f"{target}: cannot be written: {error.strerror or error}") from error
