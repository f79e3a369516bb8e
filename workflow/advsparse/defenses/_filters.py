"""Neighbourhoods of pixels, for filters of images."""

from __future__ import annotations

from advsparse.lazy import torch


def extended(x: torch.Tensor, size: int) -> torch.Tensor:
    """Images with all pixels that neighbourhoods of ``size`` x ``size`` reach: beyond the border
    stands its nearest pixel."""
    return torch.nn.functional.pad(x, [size // 2] * 4, mode="replicate")


def neighbourhoods(x: torch.Tensor, size: int) -> torch.Tensor:
    """The ``size`` x ``size`` pixels around each, N x C x H x W x size^2."""
    return extended(x, size).unfold(2, size, 1).unfold(3, size, 1).flatten(4)
