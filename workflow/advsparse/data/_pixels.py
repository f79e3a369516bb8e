"""Images in eight bits, and the numbers in [0, 1] that networks are given."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from advsparse.artifacts import Rows
from advsparse.lazy import torch

IN_MEMORY = 2 * 2**30
"""Bytes of images that a training holds in memory: those of larger sets stay where they are, and
come in batches."""


def floats(pixels: torch.Tensor) -> torch.Tensor:
    """``uint8`` of any shape as ``float32`` in [0, 1], on its device; floats are left as they are.

    The same numbers everywhere: a division by 255 that is no number of the CPU is one on GPUs too,
    and no product with its rounded inverse.
    """
    if pixels.dtype != torch.uint8:
        return pixels
    return pixels.to(torch.float32) / torch.full((), 255.0, device=pixels.device)


def batches(rows: Rows, size: int, device: str | torch.device = "cpu") -> Iterator[torch.Tensor]:
    """Images of ``rows`` (uint8, N x C x H x W), ``size`` at a time, as :func:`floats`."""
    for start in range(0, len(rows), size):
        yield floats(torch.from_numpy(rows[start : start + size]).to(device))


def channel_statistics(rows: Rows, size: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel of images (N x C x H x W), in eight bits or
    [0, 1].

    Of eight bits exact up to the last rounding, whatever the number that is looked at at once,
    which is ``size``.
    """
    channels = rows.shape[1]
    if rows.dtype != np.uint8:
        return _statistics_of_floats(rows, size)
    counts = np.zeros((channels, 256), dtype=np.int64)
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        for channel in range(channels):
            counts[channel] += np.bincount(part[:, channel].reshape(-1), minlength=256)
    levels = (np.arange(256, dtype=np.float32) / np.float32(255)).astype(np.float64)
    shares = counts / counts.sum(1, keepdims=True)
    mean = shares @ levels
    deviation = np.sqrt((shares * (levels - mean[:, None]) ** 2).sum(1))
    return mean, deviation


def _statistics_of_floats(rows: Rows, size: int) -> tuple[np.ndarray, np.ndarray]:
    starts, count = range(0, len(rows), size), len(rows) * math.prod(rows.shape[2:])
    parts = (rows[start : start + size].astype(np.float64) for start in starts)
    mean = sum((part.sum((0, 2, 3)) for part in parts), np.zeros(rows.shape[1])) / count
    parts = (rows[start : start + size].astype(np.float64) for start in starts)
    squares = (((part - mean[:, None, None]) ** 2).sum((0, 2, 3)) for part in parts)
    return mean, np.sqrt(sum(squares, np.zeros(rows.shape[1])) / count)
