"""Arrays, in an uncompressed .npz that :func:`numpy.load` reads too."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from advsparse.artifacts.atomic import atomic_path
from advsparse.artifacts.metadata import (
    Metadata,
    check_payload,
    damaged,
    from_json,
    payload_digest,
    reading,
    to_json,
)

_METADATA = "__metadata__"
_SUFFIX = ".npy"


def write_arrays(
    path: str | Path, arrays: Mapping[str, np.ndarray], metadata: Metadata
) -> Metadata:
    """Write ``arrays`` to ``path``; the metadata with the payload's digest is returned.

    Raises TypeError for an array of Python objects, ValueError for a name that cannot be stored.
    """
    # Not ascontiguousarray: that one makes a scalar one-dimensional.
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    for name, array in arrays.items():
        if not isinstance(name, str) or not name or name == _METADATA or "\0" in name:
            raise ValueError(f"{path}: no array can be named {name!r}")
        if array.dtype.hasobject:
            raise TypeError(f"{path}: array {name!r} holds Python objects (dtype {array.dtype})")
    metadata = dataclasses.replace(metadata, payload_sha256=digest(arrays))
    entries = {**arrays, _METADATA: np.array(to_json(metadata))}
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in entries.items():
            # A ZipInfo made from a bare name is dated 1980: equal payloads, equal files.
            info = zipfile.ZipInfo(name + _SUFFIX)
            with archive.open(info, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, array, allow_pickle=False)
    return metadata


def read_arrays(
    path: str | Path, stage: str | None = None
) -> tuple[dict[str, np.ndarray], Metadata]:
    """The arrays at ``path`` and their metadata; ArtifactError unless both are as written.

    With ``stage``, the artifact must come from that stage.
    """
    path = Path(path)
    with reading(path), path.open("rb") as file, zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        if _METADATA + _SUFFIX not in names:
            raise damaged(path, "it is a zip archive without advsparse metadata")
        size = os.fstat(file.fileno()).st_size
        arrays = {}
        for info in archive.infolist():
            # Guards against a directory entry that asks for memory the file does not hold.
            plain = info.compress_type == zipfile.ZIP_STORED and info.file_size <= size
            name = info.filename.removesuffix(_SUFFIX)
            if not plain or info.filename == name or name in arrays:
                raise damaged(path, f"its entry {info.filename!r} was not written by advsparse")
            # Read at once, so that the CRC has vouched for the header before it is parsed.
            data = io.BytesIO(archive.read(info))
            arrays[name] = np.lib.format.read_array(data, allow_pickle=False)
        metadata, _ = from_json(path, str(arrays.pop(_METADATA)), stage)
        check_payload(path, metadata, digest(arrays))
    return arrays, metadata


def read_metadata(path: str | Path, stage: str | None = None) -> Metadata:
    """The metadata of the arrays at ``path``, which are not read: whether they are as written is
    for whoever does to see."""
    path = Path(path)
    with reading(path), zipfile.ZipFile(path) as archive:
        if _METADATA + _SUFFIX not in archive.namelist():
            raise damaged(path, "it is a zip archive without advsparse metadata")
        data = io.BytesIO(archive.read(_METADATA + _SUFFIX))
        text = np.lib.format.read_array(data, allow_pickle=False)
        return from_json(path, str(text), stage)[0]


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of arrays by name, with their types and shapes."""
    return payload_digest(
        (
            name,
            json.dumps(np.lib.format.dtype_to_descr(array.dtype)),
            array.shape,
            _bytes(array),
        )
        for name, array in arrays.items()
    )


def _bytes(array: np.ndarray) -> memoryview | bytes:
    """The array's bytes without a copy; some dtypes have no buffer of their own, uint8 has."""
    return array.reshape(-1).view(np.uint8).data if array.nbytes else b""
