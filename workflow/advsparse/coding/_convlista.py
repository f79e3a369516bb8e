"""The network of ConvLISTA."""

from __future__ import annotations

import torch
from torch.nn import Conv2d, Parameter

from advsparse.coding._base import CodingNetwork
from advsparse.coding._convolution_map import Convolution
from advsparse.coding._shrinkage import shrink_
from advsparse.coding._ssim import ssim
from advsparse.coding.convlista import ConvLISTA


class ConvLISTANetwork(CodingNetwork, torch.nn.Module):
    """See :class:`ConvLISTA`; it holds the filters of D, B and A's adjoint, each a Convolution."""

    def __init__(self, convlista: ConvLISTA, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.settings, self.image = convlista, shape[1:]
        channels, count, size = shape[0], convlista.filters, convlista.size

        def decoder() -> Parameter:
            # Torch's transposed convolutions would start from larger weights.
            return Parameter(Conv2d(count, channels, size).weight.detach().transpose(0, 1))

        self.analysis = Parameter(Conv2d(channels, count, size).weight.detach())
        self.prediction, self.decoder = decoder(), decoder()
        self.threshold = Parameter(torch.full((count, 1, 1), convlista.threshold))
        # On CPUs convolutions of few channels take less time in this layout, shrinkage half of it.
        self.to(memory_format=torch.channels_last)

    @property
    def synthesis(self) -> Convolution:
        return self._map(self.decoder)

    def _map(self, filters: torch.Tensor) -> Convolution:
        return Convolution(filters, self.image)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        encoder, decoder = self._map(self.analysis), self._map(self.prediction)
        threshold = self.threshold.clamp(min=0)
        code = shrink_(encoder.adjoint(x), threshold)
        for _ in range(self.settings.iterations):
            step = encoder.adjoint(x - decoder.forward(code))
            code = shrink_(step.add_(code), threshold)
        return code

    def loss(self, x: torch.Tensor, code: torch.Tensor | None) -> torch.Tensor:
        return self.distortion(x, self(x))

    def distortion(self, x: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        """The weighted sum of one minus the structural similarity, and the mean absolute error."""
        found = self.decode(code)
        unlike = 1 - ssim(x, found, self.settings.ssim_window)
        error = (x - found).abs().mean((1, 2, 3))
        return (self.settings.ssim_weight * unlike + self.settings.l1_weight * error).sum()
