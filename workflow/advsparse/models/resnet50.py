"""ResNet-50."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from advsparse.models._base import Architecture, check_size
from advsparse.settings import PositiveInt, settings

_BLOCKS = [3, 4, 6, 3]


@settings
class ResNet50(Architecture):
    """ResNet-50 for images of 64 x 64 pixels, or others of at least 32 x 32.

    The stem is that for ImageNet without its pooling: one 7x7 convolution of stride 2.

    Source: He et al. 2016; weitzner2023, section 3.
    """

    width: PositiveInt = 64
    """Channels of the stem; the first stage gives four times as many, each further one twice those
    of the one before."""
    blocks: Annotated[list[PositiveInt], Field(min_length=4, max_length=4)] = Field(
        default_factory=lambda: list(_BLOCKS), json_schema_extra={"default": list(_BLOCKS)}
    )
    """Blocks of each of the four stages."""

    def layers(self, shape, classes):
        from advsparse.models._residual import Bottleneck, conv, residual_network

        check_size("resnet50", shape, 32)
        stem = conv(shape[0], self.width, 7, stride=2)
        return residual_network(Bottleneck, stem, self.width, self.blocks, classes)
