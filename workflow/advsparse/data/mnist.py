"""MNIST: handwritten digits."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import numpy as np

from advsparse.data._base import Splits
from advsparse.data._files import reading, splits
from advsparse.data._published import Published
from advsparse.errors import DataError
from advsparse.settings import settings

_UNSIGNED_BYTES = 8  # the type's code in the header
_LARGEST = 2**30


@settings
class Mnist(Published):
    """MNIST as published: 60000 training and 10000 test images of digits, 28 x 28, grey.

    Read from the four IDX files, gzipped or not, in ``mnist`` in the data directory.
    """

    def load(self, directory: Path) -> Splits:
        arrays: dict[str, np.ndarray] = {}
        for split, name in (("train", "train"), ("test", "t10k")):
            x = read_idx(self._checked(directory, f"{name}-images-idx3-ubyte.gz"), 3)
            y = read_idx(self._checked(directory, f"{name}-labels-idx1-ubyte.gz"), 1)
            arrays |= {f"x_{split}": x[:, None], f"y_{split}": y.astype(np.int64)}
        classes = tuple(str(digit) for digit in range(10))
        return splits(directory / "mnist", **arrays, classes=classes)


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The array of unsigned bytes with so many dimensions in an IDX file, gzipped or not.

    The format: two zero bytes, the type, the number of dimensions, each dimension as a big-endian
    integer of 4 bytes, then the elements in C order. Raises DataError for anything else.
    """
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with reading(path), (gzip.open if packed else open)(path, "rb") as file:
        header = file.read(4 + 4 * dimensions)
        if header[:4] != bytes([0, 0, _UNSIGNED_BYTES, dimensions]):
            raise DataError(
                f"{path}: no IDX file of unsigned bytes in {dimensions} dimensions: "
                f"it begins with {header[:4].hex(' ') or 'nothing'}"
            )
        if len(header) < 4 + 4 * dimensions:
            raise DataError(f"{path}: ends within its header")
        shape = struct.unpack(f">{dimensions}I", header[4:])
        size = math.prod(shape)
        if size > _LARGEST:
            raise DataError(f"{path}: the header says {shape}, {size} bytes; at most {_LARGEST}")
        data = file.read(size + 1)
    if len(data) != size:
        held = f"more than {size}" if len(data) > size else len(data)
        raise DataError(f"{path}: the header says {shape}, {size} bytes; it holds {held}")
    return np.frombuffer(data, np.uint8).reshape(shape)
