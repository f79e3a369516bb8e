"""The registry of published datasets: registry.yaml, typed."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from advsparse.data._files import Sha256
from advsparse.settings import PositiveInt, settings

PATH = Path(__file__).with_name("registry.yaml")


@settings
class RemoteFile:
    """One published file."""

    name: str
    """Its name, at every address and here."""
    size: PositiveInt
    """Bytes."""
    sha256: Sha256
    """SHA-256 of its bytes."""
    unpacked_sha256: Sha256 | None = None
    """SHA-256 of what a .gz file holds, where the unpacked file serves as well."""


@settings
class Dataset:
    """One published dataset."""

    title: str
    """Its name in papers."""
    version: str
    """Which of its versions is read."""
    homepage: str
    """Where its authors describe it."""
    licence: str
    """What its authors allow."""
    addresses: list[str]
    """Where the files lie: the official address, then mirrors, each to be continued by a file's
    name. None where each user must ask for the files."""
    files: list[RemoteFile]
    """The files."""

    def file(self, name: str) -> RemoteFile:
        """The file of that name."""
        return next(file for file in self.files if file.name == name)


@cache
def registered() -> dict[str, Dataset]:
    """All datasets of the registry by the kind of the source that reads them."""
    import yaml

    text = json.dumps(yaml.safe_load(PATH.read_text(encoding="utf-8")))
    return TypeAdapter(dict[str, Dataset]).validate_json(text)
