"""Shapes that numbers are brought into to go with images."""

from __future__ import annotations

from advsparse.lazy import torch


def per_image(values: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """``values``, one for each image, N, in the shape N x 1 x ... x 1 with the axes of ``x``."""
    return values.reshape(-1, *[1] * (x.ndim - 1))
