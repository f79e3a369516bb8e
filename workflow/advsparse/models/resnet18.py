"""ResNet-18 for small images."""

from __future__ import annotations

from advsparse.models._base import Architecture, check_size
from advsparse.settings import PositiveInt, settings


@settings
class ResNet18(Architecture):
    """ResNet-18 as for CIFAR, for images of at least 16 x 16 pixels.

    The stem is one 3x3 convolution, without stride and pooling; four stages of two blocks follow.

    Source: He et al. 2016; weitzner2023's supplement.
    """

    width: PositiveInt = 64
    """Channels of the first stage; each further one has twice as many."""

    def layers(self, shape, classes):
        from advsparse.models._residual import Basic, conv, residual_network

        check_size("resnet18", shape, 16)
        stem = conv(shape[0], self.width, 3)
        return residual_network(Basic, stem, self.width, (2, 2, 2, 2), classes)
