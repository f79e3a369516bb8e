"""The network of ConvLISTA."""

from __future__ import annotations

import torch
from torch.nn import Conv2d, Parameter

from advsparse.coding._base import CodingNetwork
from advsparse.coding._convolution_map import Convolution
from advsparse.coding._shrinkage import shrink_
from advsparse.coding._ssim import ssim
from advsparse.modes import outside_inference


class ConvLISTANetwork(CodingNetwork, torch.nn.Module):
    """Made of the settings of a :class:`~advsparse.coding.convlista.ConvLISTA`.

    It holds the filters of D, B and A's adjoint, each a Convolution.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        filters: int,
        size: int,
        iterations: int,
        threshold: float,
        ssim_weight: float,
        l1_weight: float,
        ssim_window: int,
    ) -> None:
        super().__init__()
        channels, self.image = shape[0], shape[1:]
        self.iterations = iterations
        self.ssim_weight, self.l1_weight, self.ssim_window = ssim_weight, l1_weight, ssim_window

        def decoder() -> Parameter:
            # Torch's transposed convolutions would start from larger weights.
            return Parameter(Conv2d(filters, channels, size).weight.detach().transpose(0, 1))

        self.analysis = Parameter(Conv2d(channels, filters, size).weight.detach())
        self.prediction, self.decoder = decoder(), decoder()
        self.threshold = Parameter(torch.full((filters, 1, 1), threshold))
        # On CPUs convolutions of few channels take less time in this layout, shrinkage half of it.
        self.to(memory_format=torch.channels_last)

    @property
    def synthesis(self) -> Convolution:
        return self._map(self.decoder)

    def _map(self, filters: torch.Tensor) -> Convolution:
        return Convolution(filters, self.image)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = outside_inference(x)
        encoder, decoder = self._map(self.analysis), self._map(self.prediction)
        threshold = self.threshold.clamp(min=0)
        code = shrink_(encoder.adjoint(x), threshold)
        for _ in range(self.iterations):
            step = encoder.adjoint(x - decoder.forward(code))
            code = shrink_(step.add_(code), threshold)
        return code

    def loss(self, x: torch.Tensor, code: torch.Tensor | None) -> torch.Tensor:
        return self.distortion(x, self(x))

    def distortion(self, x: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        """The weighted sum of one minus the structural similarity, and the mean absolute error."""
        x, found = outside_inference(x), self.synthesis.forward(code)
        unlike = 1 - ssim(x, found, self.ssim_window)
        error = (x - found).abs().mean((1, 2, 3))
        return (self.ssim_weight * unlike + self.l1_weight * error).sum()
