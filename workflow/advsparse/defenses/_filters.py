"""Neighbourhoods of pixels, for filters of images."""

from __future__ import annotations

from advsparse.lazy import torch


def neighbourhoods(x: torch.Tensor, size: int) -> torch.Tensor:
    """The ``size`` x ``size`` pixels around each, N x C x H x W x size^2; beyond the border stands
    its nearest pixel."""
    around = size // 2
    padded = torch.nn.functional.pad(x, [around] * 4, mode="replicate")
    return padded.unfold(2, size, 1).unfold(3, size, 1).flatten(4)
