"""Layers as Keras 2 makes and starts them. Imports torch: architectures import this when built.

mitro2018's networks were built there, and it shows in attacks: its batch normalisation divides by
the root of the variance plus 1e-3, a hundred times torch's 1e-5, which is what keeps border pixels
of MNIST, whose variance is 0, from being blown up.
"""

from __future__ import annotations

import torch
from torch import nn

from advsparse.models._residual import Pointwise


def batch_norm(channels: int, axes: int = 2) -> nn.Module:
    """Batch normalisation of images (2 axes) or of vectors (0)."""
    kind = nn.BatchNorm2d if axes else _OfVectors
    return kind(channels, eps=1e-3, momentum=0.01)


class _OfVectors(nn.BatchNorm1d):
    """Of a mini-batch of one, as may be the last of an epoch, there is no variance to take: it is
    normalised by the running statistics."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > 1:
            return super().forward(x)
        learned = (self.running_mean, self.running_var, self.weight, self.bias)
        return nn.functional.batch_norm(x, *learned, eps=self.eps)


def initialised(network: nn.Module, convolutions: str = "glorot") -> nn.Module:
    """The network with Glorot and Bengio's (2010) uniform weights and biases of 0; ``convolutions``
    may have He et al.'s (2015) normal weights by fan-in (``he``)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and convolutions == "he":
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        elif isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
        elif isinstance(module, nn.LSTM):
            _start(module)
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.zeros_(module.bias)
    return network


def _start(lstm: nn.LSTM) -> None:
    """One bias, of 1 for what is remembered; torch's second one stays 0."""
    nn.init.xavier_uniform_(lstm.weight_ih_l0)
    nn.init.orthogonal_(lstm.weight_hh_l0)
    nn.init.zeros_(lstm.bias_ih_l0)
    with torch.no_grad():
        # Gates are in the order input, forget, cell, output.
        lstm.bias_ih_l0[lstm.hidden_size : 2 * lstm.hidden_size] = 1.0
    nn.init.zeros_(lstm.bias_hh_l0).requires_grad_(False)


def parameters(network: nn.Module) -> int:
    """The number of parameters as Keras counts them: running statistics of batch normalisation are
    some, biases that stay 0 are none."""
    learned = sum(value.numel() for value in network.parameters() if value.requires_grad)
    kept = (value for name, value in network.named_buffers() if "running" in name)
    return learned + sum(value.numel() for value in kept)


class LastState(nn.Module):
    """The state of an LSTM after the last element of each sequence, N x T x inputs to N x units."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, units, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # cuDNN takes no gradients of an LSTM in evaluation mode, in which networks are attacked.
        with torch.backends.cudnn.flags(enabled=self.training):
            return self.lstm(x)[1][0][0]


class EachRow(LastState):
    """The same of each row of pixels of images: N x C x H x W to N x H x units."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.permute(0, 2, 3, 1).reshape(-1, x.shape[3], x.shape[1])
        return super().forward(rows).reshape(len(x), x.shape[2], -1)


class Block(nn.Module):
    """Two 3x3 convolutions, each after normalisation and ReLU, and a shortcut of the input, which
    is a convolution 1x1 where their shapes differ."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            batch_norm(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, outputs, 3, stride, 1),
            batch_norm(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1),
        )
        unlike = stride != 1 or inputs != outputs
        self.shortcut = Pointwise(inputs, outputs, 1, stride) if unlike else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.branch(x) + self.shortcut(x)
