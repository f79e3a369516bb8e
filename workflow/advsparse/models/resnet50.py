"""ResNet-50."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from advsparse.models._base import Architecture, check_size
from advsparse.settings import PositiveInt, settings

_BLOCKS = [3, 4, 6, 3]


@settings
class ResNet50(Architecture):
    """ResNet-50, for images of at least 32 x 32 pixels, or of 64 x 64 with the stem for ImageNet.

    The stem is one 7x7 convolution of stride 2; that for ImageNet goes on to pool. The stride of a
    block is that of its 3x3 convolution, as in torchvision's.

    Source: He et al. 2016; weitzner2023, section 3; sun2019, section 4.
    """

    width: PositiveInt = 64
    """Channels of the stem; the first stage gives four times as many, each further one twice those
    of the one before."""
    blocks: Annotated[list[PositiveInt], Field(min_length=4, max_length=4)] = Field(
        default_factory=lambda: list(_BLOCKS), json_schema_extra={"default": list(_BLOCKS)}
    )
    """Blocks of each of the four stages."""
    stem: Literal["small", "imagenet"] = "small"
    """Whether the stem ends in 3x3 max pooling of stride 2, as for ImageNet, or does not."""

    def layers(self, shape, classes):
        from advsparse.models._residual import Bottleneck, conv, residual_network

        pooled = self.stem == "imagenet"
        check_size("resnet50", shape, 64 if pooled else 32)
        stem = conv(shape[0], self.width, 7, stride=2)
        return residual_network(Bottleneck, stem, self.width, self.blocks, classes, pooled=pooled)
