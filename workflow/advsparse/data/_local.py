"""What the sources have in common that read a file of the user's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from advsparse.data._base import Source
from advsparse.data._containers import walked
from advsparse.data._contents import digest
from advsparse.data._files import Sha256, check_sha256, existing, located
from advsparse.errors import DataError
from advsparse.settings import settings


@settings
class LocalFile(Source):
    """A dataset in a file or folder that the configuration names."""

    path: Annotated[str, Field(min_length=1)]
    """The file, or the folder where one is read; a relative path starts at the data directory."""

    sha256: Sha256 | None = None
    """SHA-256 of the file, which is refused if it has another one."""

    note: str = ""
    """What tables and figures say of this copy, such as "re-encoded as JPEG, slightly lossy"."""

    def files(self, directory: Path) -> list[Path]:
        return [located(self.path, directory)]

    def contents(self, directory: Path) -> str | None:
        """Of names and bytes: times differ between copies, and an older file may replace one."""
        if self.sha256 is not None:
            return None
        try:
            path = existing(self.path, directory)
            found = walked(path) if path.is_dir() else {"": path}
            read = sorted(name for name in found if self.reads(name))
            return digest(path, {name: found[name] for name in read})
        except (OSError, DataError):
            return None  # loading says why

    def reads(self, entry: str) -> bool:
        """Whether a file of a folder is looked at."""
        return True

    def _checked(self, directory: Path) -> Path:
        """Where the file is; raises DataError if it is not there, or not the right one."""
        path = existing(self.path, directory)
        if self.sha256 is not None:
            if path.is_dir():
                raise DataError(f"{path}: sha256 is given, but this is a folder, which has none")
            check_sha256(path, self.sha256, "correct sha256 in the configuration, or the file")
        return path
