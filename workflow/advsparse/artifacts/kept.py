"""What a long job has finished so far, piece by piece, for the one that takes over from it."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from advsparse.artifacts.atomic import atomic_path


class Kept:
    """A folder of pieces, each some arrays, that are used again if they are of one ``identity``."""

    def __init__(self, folder: str | Path, identity: str) -> None:
        self._above = Path(folder)
        self._folder = self._above / hashlib.sha256(identity.encode()).hexdigest()[:16]

    def get(self, name: object) -> dict[str, np.ndarray] | None:
        """A piece; None if it is not there, or damaged."""
        try:
            with np.load(self._folder / f"{name}.npz", allow_pickle=False) as kept:
                return dict(kept)
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
            return None

    def put(self, name: object, arrays: Mapping[str, np.ndarray]) -> None:
        with (
            atomic_path(self._folder / f"{name}.npz") as temporary,
            temporary.open("wb") as file,
        ):
            np.savez(file, **arrays)  # type: ignore[arg-type]

    def forget(self) -> None:
        """Remove what was kept of this and of other identities."""
        shutil.rmtree(self._above, ignore_errors=True)
