"""VGG-16."""

from __future__ import annotations

from typing import Literal

from advsparse.errors import ArchitectureError
from advsparse.lazy import torch
from advsparse.models._base import Architecture, check_size
from advsparse.settings import PositiveInt, settings

_STAGES = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))
"""Channels of the convolutions of each stage, as multiples of the width."""


@settings
class VGG16(Architecture):
    """VGG-16 (configuration D), for images of at least 32 x 32 pixels.

    Thirteen 3x3 convolutions in five stages, each of which ends in 2x2 max pooling. What follows is
    the mean of each channel and one linear layer, as is usual for small images, or the head for
    ImageNet: three linear layers, with dropout between them, of 7 x 7 places.

    Source: Simonyan and Zisserman 2015; sun2019, section 4 and its appendix.
    """

    width: PositiveInt = 64
    """Channels of the first stage; the others have 2, 4, 8 and 8 times as many."""
    batch_norm: bool = True
    """Whether each convolution is followed by batch normalisation, which the paper's have not."""
    head: Literal["mean", "imagenet"] = "mean"
    """What follows the convolutions; that for ImageNet takes 224 x 224 pixels."""
    units: PositiveInt = 4096
    """Units of the two inner layers of the head for ImageNet."""

    def layers(self, shape, classes):
        from advsparse.models._residual import initialised

        check_size("vgg16", shape, 32)
        nn = torch.nn
        made: list[torch.nn.Module] = []
        inputs = shape[0]
        for stage in _STAGES:
            for multiple in stage:
                outputs = multiple * self.width
                made.append(nn.Conv2d(inputs, outputs, 3, padding=1))
                made += [nn.BatchNorm2d(outputs)] if self.batch_norm else []
                made.append(nn.ReLU())
                inputs = outputs
            made.append(nn.MaxPool2d(2))
        network = nn.Sequential(*made, *self._head(shape, inputs, classes))
        for module in network.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)
        return initialised(network)

    def _head(self, shape, channels, classes):
        from advsparse.models._residual import Pool

        nn = torch.nn
        if self.head == "mean":
            return [Pool(), nn.Linear(channels, classes)]
        if (shape[1] // 32, shape[2] // 32) != (7, 7):
            raise ArchitectureError(
                f"vgg16 with the head for ImageNet takes images of 224x224 pixels, not "
                f"{shape[1]}x{shape[2]}: give the dataset another size, or the network 'head: mean'"
            )
        inner = [nn.Linear(channels * 49, self.units), nn.Linear(self.units, self.units)]
        hidden = [layer for linear in inner for layer in (linear, nn.ReLU(), nn.Dropout(0.5))]
        return [nn.Flatten(), *hidden, nn.Linear(self.units, classes)]
