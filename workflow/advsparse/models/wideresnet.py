"""Wide residual networks."""

from __future__ import annotations

from advsparse.models._base import Architecture, check_size
from advsparse.settings import PositiveInt, settings


@settings
class WideResNet(Architecture):
    """WRN-depth-width of preactivated blocks, without dropout, for images of at least 8 x 8 pixels.

    A 3x3 convolution of 16 channels, then three stages of (depth - 4) / 6 blocks.

    Source: Zagoruyko and Komodakis 2016; weitzner2023's supplement.
    """

    depth: PositiveInt = 28
    """Layers of the network: 6 n + 4 with n at least 1."""
    width: PositiveInt = 10
    """Channels of the first stage in sixteens; each further one has twice as many."""

    def __post_init__(self) -> None:
        if self.depth < 10 or self.depth % 6 != 4:
            raise ValueError(f"depth must be 10, 16, 22, 28, ..., got {self.depth}")

    def layers(self, shape, classes):
        from advsparse.models._residual import conv, preactivated_network

        check_size("wideresnet", shape, 8)
        blocks = [(self.depth - 4) // 6] * 3
        return preactivated_network(conv(shape[0], 16, 3), 16 * self.width, blocks, classes)
