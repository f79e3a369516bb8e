"""Layers that several architectures share. Imports torch: architectures import this when built."""

from __future__ import annotations

import torch


class Normalise(torch.nn.Module):
    """x -> (x - mean) / std, channel by channel, with statistics saved beside the weights."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("std", torch.ones(1, channels, 1, 1))

    def set_statistics(self, images: torch.Tensor) -> None:
        """Take mean and standard deviation of each channel of ``images``, N x C x H x W."""
        std, mean = torch.std_mean(images.double(), dim=(0, 2, 3), correction=0, keepdim=True)
        self.mean.copy_(mean)
        # A constant channel is centred and otherwise left as it is.
        self.std.copy_(torch.where(std > 0, std, 1.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) / self.std


class Unnormalised(torch.nn.Identity):
    """In the place of :class:`Normalise` where pixels are taken as they are."""

    def set_statistics(self, images: torch.Tensor) -> None:
        """Take nothing."""
