"""Layers that several architectures share. Imports torch: architectures import this when built."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

Values = Sequence[float] | np.ndarray
"""A number for each channel."""


class Normalise(torch.nn.Module):
    """x -> (x - mean) / std, channel by channel, with statistics saved beside the weights."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("std", torch.ones(1, channels, 1, 1))

    def set_statistics(self, mean: Values, std: Values) -> None:
        """Take the mean and the standard deviation of each channel of the training images."""
        self.mean.copy_(torch.as_tensor(mean, dtype=torch.float64).reshape(1, -1, 1, 1))
        spread = torch.as_tensor(std, dtype=torch.float64).reshape(1, -1, 1, 1)
        # A constant channel is centred and otherwise left as it is.
        self.std.copy_(torch.where(spread > 0, spread, 1.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) / self.std


class Unnormalised(torch.nn.Identity):
    """In the place of :class:`Normalise` where pixels are taken as they are."""

    def set_statistics(self, mean: Values, std: Values) -> None:
        """Take nothing."""
