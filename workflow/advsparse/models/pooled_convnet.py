"""One convolution with max-pooling, small enough for certificates."""

from __future__ import annotations

from advsparse.lazy import torch
from advsparse.models._base import Architecture, check_size
from advsparse.settings import PositiveInt, settings


@settings
class PooledConvNet(Architecture):
    """A convolution with ReLU, 2x2 max-pooling, and an affine layer to logits.

    Source: canu2021, "max, convolution, pooling can also be linearized".
    """

    width: PositiveInt = 2
    """Filters."""
    size: PositiveInt = 4
    """Their height and width."""
    stride: PositiveInt = 4
    """Pixels from one place of a filter to the next."""

    standardises = False

    def layers(self, shape, classes):
        check_size("pooled_convnet", shape, self.size + self.stride)
        nn, (channels, height, width) = torch.nn, shape
        cells = [((side - self.size) // self.stride + 1) // 2 for side in (height, width)]
        return nn.Sequential(
            nn.Conv2d(channels, self.width, self.size, self.stride),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(self.width * cells[0] * cells[1], classes),
        )
