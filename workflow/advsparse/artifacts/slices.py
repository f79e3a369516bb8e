"""Arrays that are read by slice: safetensors, mapped into memory, with a digest of each block.

The bytes of an array are digested in blocks of :data:`BLOCK`. The digests are an array of the file
themselves, which the metadata's ``payload_sha256`` vouches for. Whoever opens a file reads its
header and these digests; a block is read, and compared with its digest, when a row in it is first
asked for. What is asked for is copied: nothing that a caller holds changes with the file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

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

BLOCK = 2**18
"""Bytes of an array that have one digest: few enough that single rows cost little, and so many
that the digests of 200 GB are 25 MB."""
_AT_ONCE = 2**25
"""Bytes of an array that are in memory at once while it is written."""

_METADATA, _BLOCKS = "advsparse", "__blocks__"
_DIGEST = hashlib.sha256().digest_size
_CODES = {
    **{"uint8": "U8", "int64": "I64", "int32": "I32", "bool": "BOOL"},
    **{"float16": "F16", "float32": "F32", "float64": "F64"},
}
_DTYPES = {code: np.dtype(name).newbyteorder("<") for name, code in _CODES.items()}


class _Kind(NamedTuple):
    """What an array is, as the header has it."""

    code: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Its bytes."""
        return math.prod(self.shape) * _DTYPES[self.code].itemsize


class Rows(Protocol):
    """What an array is to whoever reads rows of it; NumPy's are some."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, and the axes of each."""

    @property
    def dtype(self) -> np.dtype:
        """What its entries are."""

    def __len__(self) -> int:
        """The number of rows."""

    def __getitem__(self, index: Any, /) -> np.ndarray:
        """The rows of a slice, or of an array of their numbers."""


def write_slices(path: str | Path, arrays: Mapping[str, Rows], metadata: Metadata) -> Metadata:
    """Write ``arrays`` to ``path``; the metadata with the payload's digest is returned.

    They are asked for some rows after the other, from the first to the last, so that they need not
    be in memory. Raises TypeError for what can't be stored.
    """
    for name, array in arrays.items():
        if array.dtype.name not in _CODES or not array.shape:
            raise TypeError(f"{path}: {name!r} can't be stored ({array.dtype}, {array.shape})")
    # The widest first, so that each lies where a number of its width may.
    names = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    kinds = {name: _Kind(_CODES[arrays[name].dtype.name], arrays[name].shape) for name in names}
    count = sum(_blocks(kind.size) for kind in kinds.values())
    entries = kinds | {_BLOCKS: _Kind("U8", (count, _DIGEST))}
    with atomic_path(path) as temporary, temporary.open("r+b") as file:
        # The digest in the header is known last, and its length first.
        head = _header(entries, dataclasses.replace(metadata, payload_sha256="0" * 64))
        file.write(head)
        digests = {name: _written(file, arrays[name]) for name in names}
        file.write(b"".join(digest for found in digests.values() for digest in found))
        payload = _payload(kinds, digests)
        metadata = dataclasses.replace(metadata, payload_sha256=payload)
        file.seek(0)
        file.write(_header(entries, metadata))
    return metadata


class Slices(Mapping[str, "Sliced"]):
    """The arrays of a file that :func:`write_slices` has written, and its metadata.

    Raises ArtifactError unless header and digests are as written; with ``stage``, the artifact must
    come from that stage.
    """

    def __init__(self, path: str | Path, stage: str | None = None) -> None:
        self.path = path = Path(path)
        with reading(path):
            kinds, text, start = _read_header(path)
            if text is None:
                raise damaged(path, "it is a safetensors file without advsparse metadata")
            self.metadata, _ = from_json(path, text, stage)
            if _BLOCKS not in kinds:
                raise damaged(path, "it has no digests of blocks, by which slices are read")
            # Open as long as it is used: one that is replaced meanwhile stays what it was.
            everything = np.asarray(np.memmap(path, np.uint8, "r"))[start:]
            stored, at = {}, 0
            for name, kind in kinds.items():
                stored[name] = everything[at : at + kind.size]
                at += kind.size
            del kinds[_BLOCKS]
            table = stored.pop(_BLOCKS).tobytes()
            found = [table[at : at + _DIGEST] for at in range(0, len(table), _DIGEST)]
            self._arrays: dict[str, Sliced] = {}
            digests = {}
            for name, kind in kinds.items():
                count = _blocks(kind.size)
                digests[name], found = found[:count], found[count:]
                self._arrays[name] = Sliced(path, kind, stored[name], digests[name])
            check_payload(path, self.metadata, _payload(kinds, digests))

    def __getitem__(self, name: str) -> Sliced:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


class Sliced:
    """An array of a file, of which only those blocks are read that rows are asked of."""

    def __init__(self, path: Path, kind: _Kind, stored: np.ndarray, digests: list[bytes]) -> None:
        self._path, self._stored, self._digests = path, stored, digests
        self.dtype, self.shape, self.nbytes = _DTYPES[kind.code], kind.shape, kind.size
        self._seen = np.zeros(len(digests), dtype=bool)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        """The rows of a slice, or of an array of their numbers; ArtifactError unless as written."""
        whole = self._stored.view(self.dtype).reshape(self.shape)
        width = self.nbytes // max(len(self), 1)
        if isinstance(index, slice) and index.step in (None, 1):
            start, stop, _ = index.indices(len(self))
            rows = np.array([[start], [stop - 1]]) if start < stop else np.empty((2, 0), np.int64)
        else:
            one = np.arange(len(self))[index]
            rows = np.stack([one, one])
        if rows.size and width:
            self._check(rows[0] * width // BLOCK, ((rows[1] + 1) * width - 1) // BLOCK)
        found = whole[index]
        return found.copy() if isinstance(index, slice) else found

    def _check(self, firsts: np.ndarray, lasts: np.ndarray) -> None:
        """Compare the blocks from each first to each last with their digests, once."""
        wanted = np.zeros(len(self._digests) + 1, dtype=np.int64)
        np.add.at(wanted, firsts, 1)
        np.add.at(wanted, lasts + 1, -1)
        for block in np.flatnonzero((wanted.cumsum()[:-1] > 0) & ~self._seen):
            data = self._stored[block * BLOCK : (block + 1) * BLOCK]
            if hashlib.sha256(data.data).digest() != self._digests[block]:
                raise damaged(self._path, "its payload does not match the digest in its metadata")
            self._seen[block] = True


class Joined:
    """The rows of several arrays, one after the other, of which there is one at least."""

    def __init__(self, parts: Sequence[Rows]) -> None:
        self._parts = parts
        self.shape, self.dtype = (sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: slice) -> np.ndarray:
        start, stop, _ = index.indices(len(self))
        found = []
        for part in self._parts:
            found.append(part[min(max(start, 0), len(part)) : max(stop, 0)])
            start, stop = start - len(part), stop - len(part)
        return np.concatenate(found)


class Chosen:
    """Some of the rows of an array, in the order of their numbers in ``index``."""

    def __init__(self, rows: Rows, index: np.ndarray) -> None:
        self._rows, self._index = rows, index
        self.shape, self.dtype = (len(index), *rows.shape[1:]), rows.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        return self._rows[self._index[index]]


def _blocks(size: int) -> int:
    return -(-size // BLOCK)


def _payload(kinds: Mapping[str, _Kind], digests: Mapping[str, list[bytes]]) -> str:
    """The digest of arrays, by those of their blocks."""
    return payload_digest(
        (name, kinds[name].code, kinds[name].shape, b"".join(found))
        for name, found in digests.items()
    )


def _written(file: BinaryIO, array: Rows) -> list[bytes]:
    """Write an array some rows at a time; returns the digests of its blocks."""
    digests, left = [], b""
    width = math.prod(array.shape[1:]) * array.dtype.itemsize
    rows = max(1, _AT_ONCE // max(width, 1))
    for start in range(0, len(array), rows):
        part = np.ascontiguousarray(array[start : start + rows], array.dtype.newbyteorder("<"))
        if part.shape != (min(rows, len(array) - start), *array.shape[1:]):
            raise ValueError(f"rows {start} and on are of shape {part.shape}")
        file.write(part.data)
        data = memoryview(left + part.tobytes())
        whole = len(data) // BLOCK * BLOCK
        digests += [hashlib.sha256(data[at : at + BLOCK]).digest() for at in range(0, whole, BLOCK)]
        left = bytes(data[whole:])
    return [*digests, hashlib.sha256(left).digest()] if left else digests


def _header(kinds: Mapping[str, _Kind], metadata: Metadata) -> bytes:
    """The beginning of a safetensors file: the length of its JSON, and that."""
    described: dict[str, Any] = {"__metadata__": {_METADATA: to_json(metadata)}}
    at = 0
    for name, kind in kinds.items():
        place = [at, at + kind.size]
        described[name] = {"dtype": kind.code, "shape": list(kind.shape), "data_offsets": place}
        at += kind.size
    text = json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def header_text(path: Path) -> str | None:
    """The metadata in the header of a safetensors file, as it stands there; None without any."""
    return _read_header(path)[1]


def _read_header(path: Path) -> tuple[dict[str, _Kind], str | None, int]:
    """What each array is, in the order they lie in; the metadata; and where the first begins."""
    from safetensors import safe_open

    with safe_open(path, framework="np"):  # which sees to it that they lie end to end
        pass
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        described = json.loads(file.read(length))
    text = described.pop("__metadata__", {}).get(_METADATA)
    ordered = sorted(described.items(), key=lambda item: item[1]["data_offsets"])
    kinds = {name: _Kind(entry["dtype"], tuple(entry["shape"])) for name, entry in ordered}
    return kinds, text, 8 + length
