"""CIFAR-10: small colour photographs of ten classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from advsparse.data._base import Splits
from advsparse.data._containers import opened
from advsparse.data._files import splits
from advsparse.data._published import Published
from advsparse.errors import DataError
from advsparse.settings import settings

_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
_PARTS = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
_RECORD = 1 + 3 * 32 * 32


@settings
class Cifar10(Published):
    """CIFAR-10 as published: 50000 training and 10000 test images of 10 classes, 32 x 32, colour.

    Read from the archive of the binary version, in ``cifar10`` in the data directory.
    """

    def load(self, directory: Path) -> Splits:
        path = self._checked(directory, "cifar-10-binary.tar.gz")
        with opened(path) as archive:
            names = {Path(entry).name: entry for entry in archive.entries}
            missing = sorted({name for part in _PARTS.values() for name in part} - names.keys())
            if missing:
                raise DataError(f"{path}: {missing[0]} is missing")
            wanted = {names[name]: name for part in _PARTS.values() for name in part}
            records = {
                wanted[entry]: _records(path, entry, data)
                for entry, data in archive.read(list(wanted))
            }
        arrays: dict[str, np.ndarray] = {}
        for split, part in _PARTS.items():
            images = [records[name][:, 1:].reshape(-1, 3, 32, 32) for name in part]
            labels = [records[name][:, 0] for name in part]
            arrays |= {
                f"x_{split}": np.concatenate(images),
                f"y_{split}": np.concatenate(labels).astype(np.int64),
            }
        return splits(path, **arrays, classes=_CLASSES)


def _records(path: Path, entry: str, data: bytes) -> np.ndarray:
    """Records of a label and the red, green and blue planes, N x 3073."""
    if not data or len(data) % _RECORD:
        raise DataError(f"{path}: {entry}: {len(data)} bytes are no records of {_RECORD} bytes")
    return np.frombuffer(data, np.uint8).reshape(-1, _RECORD)
