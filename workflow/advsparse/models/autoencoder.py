"""A classifier of what an autoencoder gives back."""

from __future__ import annotations

from typing import Literal

from advsparse.lazy import torch
from advsparse.models._base import Architecture, check_size
from advsparse.settings import PositiveInt, settings


@settings
class Autoencoder(Architecture):
    """An encoder and a decoder of 3x3 convolutions, and one linear layer of what is decoded.

    Three poolings, which round up, and three enlargements; the last convolution is 5x5. Trained as
    a classifier: nothing asks what is decoded to be the image. For 28 x 28 pixels at least.

    Source: mitro2018, table 3, without the third enlargement, which the authors' code has.
    """

    standardises = False

    decoded: PositiveInt = 1
    """Channels of what is decoded: 1 in the table; 3 in the authors' network for MNIST."""
    activation: Literal["relu", "sigmoid"] = "relu"
    """That of the last convolution: relu; sigmoid in the authors' network for MNIST."""

    def layers(self, shape, classes):
        from advsparse.models._keras import initialised

        check_size("autoencoder", shape, 28)
        nn = torch.nn
        channels, *sides = shape

        def conv(inputs: int, outputs: int, size: int = 3) -> torch.nn.Module:
            return nn.Conv2d(inputs, outputs, size, padding=size // 2)

        def enlarged(inputs: int, outputs: int) -> list[torch.nn.Module]:
            return [nn.Upsample(scale_factor=2), conv(inputs, outputs), nn.ReLU()]

        made: list[torch.nn.Module] = []
        for outputs in (16, 32, 32):
            made += [conv(channels, outputs), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)]
            channels = outputs
        made += [conv(channels, 64), nn.ReLU(), conv(64, 128), nn.ReLU()]
        made += [*enlarged(128, 32), *enlarged(32, 3), nn.Upsample(scale_factor=2)]
        last = nn.Sigmoid() if self.activation == "sigmoid" else nn.ReLU()
        made += [conv(3, self.decoded, 5), last, nn.Flatten()]
        height, width = (8 * -(-side // 8) for side in sides)
        return initialised(nn.Sequential(*made, nn.Linear(self.decoded * height * width, classes)))
