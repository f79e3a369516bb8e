"""Images of random size, at a random place of a larger one."""

from __future__ import annotations

from advsparse.defenses._base import Transformation
from advsparse.defenses._resizing import drawn, interpolation
from advsparse.lazy import torch
from advsparse.settings import PositiveFloat, Share, settings


@settings
class RandomResizing(Transformation):
    r"""An image is resized to a random size, and padded at random to a fixed one.

    .. math:: t(x) = P_{a, b}\, R_s\, x, \qquad s \sim \text{uniform in } \{s_0, \dots, S - 1\},
              \qquad a, b \sim \text{uniform in } \{0, \dots, S - s\}

    with R_s bilinear interpolation to s x s pixels, and P what puts the upper left corner of these
    at (a, b) among S x S pixels, which are of one value elsewhere. The network is to take images of
    that larger size. Where s_0 is S, that is the size of all.

    Source: Xie et al. 2018; its authors' code, for images of 299 pixels, draws a size from 310 on
    and below 331, and resizes by the nearest pixel.

    Cost: two small products of matrices, and a network that sees S^2 instead of the image's own
    number of pixels.

    Attacks: Athalye, Carlini and Wagner 2018: accuracy 0 at linf 0.031 (ImageNet), by EOT.
    """

    stochastic = True
    moves = True

    smallest: PositiveFloat = 310 / 299
    """The smallest size s_0, as a share of an image's side; rounded to whole pixels."""
    largest: PositiveFloat = 331 / 299
    """The size S of what comes out, as a share of an image's side; rounded to whole pixels."""
    value: Share = 0.5
    """What the rest is filled with; the authors fill it with 0 in images from -1 to 1."""

    def __post_init__(self) -> None:
        if self.smallest > self.largest:
            raise ValueError(f"smallest: {self.smallest} is above the largest, {self.largest}")

    def shape(self, shape):
        channels, *sides = shape
        return (channels, *(self._sizes(side)[1] for side in sides))

    def _sizes(self, side):
        """The smallest and the largest size, in pixels."""
        return tuple(max(1, round(share * side)) for share in (self.smallest, self.largest))

    def transformation(self, learned):
        def t(x, rng):
            numbers = rng.uniform_block(x, (3,))
            # One number tells both sizes, so that squares stay squares.
            down, along = (
                self._placed(side, numbers[:, 0], numbers[:, axis]).to(x)[:, None]
                for axis, side in enumerate(x.shape[2:], start=1)
            )
            return down @ (x - self.value) @ along.mT + self.value

        return t

    def _placed(self, side, size, place):
        """The matrices that resize an axis of ``side`` pixels and put it at a place of the larger
        one, from two numbers in [0, 1) for each image; N x S x side."""
        smallest, largest = self._sizes(side)
        sizes = range(smallest, max(smallest + 1, largest))
        known = torch.stack([
            torch.nn.functional.pad(interpolation(side, one), (0, 0, 0, largest - one))
            for one in sizes
        ]).to(size.device)  # fmt: skip
        chosen = drawn(size, len(sizes))
        start = drawn(place, largest - smallest - chosen + 1)
        # Rows beyond the image are rows of zeros, which stand last.
        rows = torch.arange(largest, device=size.device) - start[:, None]
        return known[chosen[:, None], rows % largest]
