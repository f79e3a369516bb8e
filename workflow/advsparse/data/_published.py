"""What the sources have in common that read the files of a published dataset."""

from __future__ import annotations

from pathlib import Path

from advsparse import registry
from advsparse.data._base import Source
from advsparse.data._files import check_sha256
from advsparse.data._registry import Dataset, RemoteFile, registered
from advsparse.settings import settings

FETCH = "snakemake --cores 1 fetch"


@settings
class Published(Source):
    """A dataset of the registry, in the folder of the data directory that is named as its kind."""

    def published(self) -> Dataset:
        return registered()[registry.kind_of(self)]

    def files(self, directory: Path) -> list[Path]:
        folder = directory / registry.kind_of(self)
        return [located_file(folder, file)[0] for file in self.published().files]

    def absent(self, directory: Path) -> str | None:
        gone = [path.name for path in self.files(directory) if not path.exists()]
        if not gone:
            return None
        folder = directory / registry.kind_of(self)
        return (
            f"{self.published().title} is not in {folder} (no {', '.join(gone)}); download it by "
            f"{FETCH!r}, with the options of this run, or put the files there"
        )

    def _checked(self, directory: Path, name: str) -> Path:
        """Where the file ``name`` is; raises DataError unless it is the published one."""
        folder = directory / registry.kind_of(self)
        path, sha256 = located_file(folder, self.published().file(name))
        check_sha256(path, sha256, f"move it away and run {FETCH!r}")
        return path


def located_file(folder: Path, file: RemoteFile) -> tuple[Path, str]:
    """Where ``file`` lies or should lie in ``folder``, and the SHA-256 that it has there.

    That is its unpacked form where only this one is there.
    """
    path, unpacked = folder / file.name, folder / file.name.removesuffix(".gz")
    if file.unpacked_sha256 and unpacked.exists() and not path.exists():
        return unpacked, file.unpacked_sha256
    return path, file.sha256
