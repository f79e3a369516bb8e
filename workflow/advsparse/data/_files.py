"""Where the files of a dataset are, that they are the right ones, and errors that name them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from advsparse.data._base import Splits, is_utf8
from advsparse.errors import DataError

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


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
        where = path if entry is None else f"{path}: {shown(entry)}"
        reason = str(error).partition("\n")[0].rstrip(":") or "the data end too early"
        raise DataError(f"{where}: cannot be read: {reason} ({type(error).__name__})") from error


def shown(name: str) -> str:
    """A name as messages have it: what of it is not UTF-8 is escaped."""
    with suppress(UnicodeEncodeError):  # of half a surrogate pair, which is no byte
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return name.encode("utf-8", "backslashreplace").decode()


def check_utf8(path: Path, name: str) -> None:
    """Raise DataError unless ``name``, of a file in ``path``, is UTF-8."""
    if not is_utf8(name):
        raise DataError(f"{path}: {shown(name)}: the name is not UTF-8; rename the file or folder")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, expected: str, remedy: str) -> None:
    """Raise DataError, with what to do about it, unless ``path`` has the ``expected`` SHA-256."""
    with reading(path):
        found = sha256_of(path)
    if found != expected:
        raise DataError(f"{path}: SHA-256 is {found}, expected {expected}: {remedy}")


def splits(path: Path, **arrays: Any) -> Splits:
    """``Splits(**arrays)``, whose errors name ``path``."""
    try:
        return Splits(**arrays)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
