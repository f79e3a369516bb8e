"""The metadata of an artifact, whatever its kind, without its payload."""

from __future__ import annotations

from pathlib import Path

from advsparse.artifacts.arrays import read_metadata
from advsparse.artifacts.metadata import Metadata, damaged, from_json, reading
from advsparse.artifacts.rows import sidecar_path
from advsparse.artifacts.slices import header_text


def recorded(path: str | Path) -> Metadata:
    """How the artifact at ``path`` was made; what it holds is not looked at.

    ArtifactError where there is none, or one whose metadata is not as written.
    """
    path = Path(path)
    if path.suffix == ".npz":
        return read_metadata(path)
    with reading(path):
        if path.suffix == ".csv":
            return from_json(path, sidecar_path(path).read_bytes(), None)[0]
        text = header_text(path)
        if text is None:
            raise damaged(path, "it is a safetensors file without advsparse metadata")
        return from_json(path, text, None)[0]
