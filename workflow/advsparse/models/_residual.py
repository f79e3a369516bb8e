"""Residual networks and their blocks. Imports torch: architectures import this when they build."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import BatchNorm2d, Conv2d, Linear, Sequential
from torch.nn.functional import conv2d, relu


class Pointwise(Conv2d):
    """A convolution 1x1 of every so manieth pixel of each row and column.

    torch's own with a stride, on a CPU and in the layout channels last, writes beyond its memory
    for some shapes in its derivative (8 to 16 channels of 64 x 64, torch 2.12).
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        vertical, horizontal = self.stride
        return conv2d(x[:, :, ::vertical, ::horizontal], self.weight, self.bias)


def conv(inputs: int, outputs: int, size: int, stride: int = 1) -> Conv2d:
    """A convolution without bias that keeps the image's size but for the stride."""
    kind = Pointwise if size == 1 else Conv2d
    return kind(inputs, outputs, size, stride, size // 2, bias=False)


class _Residual(nn.Module):
    """relu(branch(x) + shortcut(x)), where a shortcut between unlike shapes is a convolution."""

    expansion: int
    """Channels of the block's result, as a multiple of its width."""

    def __init__(self, branch: Sequential, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.branch, self.shortcut = branch, Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = Sequential(conv(inputs, outputs, 1, stride), BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return relu(self.branch(x) + self.shortcut(x))


class Basic(_Residual):
    """Two 3x3 convolutions (He et al. 2016, figure 5, left)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        branch = Sequential(
            *(conv(inputs, width, 3, stride), BatchNorm2d(width), nn.ReLU()),
            *(conv(width, width, 3), BatchNorm2d(width)),
        )
        super().__init__(branch, inputs, width, stride)


class Bottleneck(_Residual):
    """Convolutions 1x1, 3x3 and 1x1 (He et al. 2016, figure 5, right); the 3x3 has the stride."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        outputs = self.expansion * width
        branch = Sequential(
            *(conv(inputs, width, 1), BatchNorm2d(width), nn.ReLU()),
            *(conv(width, width, 3, stride), BatchNorm2d(width), nn.ReLU()),
            *(conv(width, outputs, 1), BatchNorm2d(outputs)),
        )
        super().__init__(branch, inputs, outputs, stride)


class Preactivated(nn.Module):
    """Two 3x3 convolutions, each after normalisation and ReLU (Zagoruyko and Komodakis 2016).

    A shortcut between unlike shapes is a convolution of the activated input.
    """

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.activation = Sequential(BatchNorm2d(inputs), nn.ReLU())
        self.branch = Sequential(
            conv(inputs, width, 3, stride), BatchNorm2d(width), nn.ReLU(), conv(width, width, 3)
        )
        unlike = stride != 1 or inputs != width
        self.shortcut = conv(inputs, width, 1, stride) if unlike else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        active = self.activation(x)
        return self.branch(active) + (x if self.shortcut is None else self.shortcut(active))


class Pool(nn.Module):
    """The mean of each channel. Unlike adaptive pooling its gradient is deterministic on GPUs."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


def stages(
    block: type[nn.Module], inputs: int, width: int, blocks: Sequence[int]
) -> tuple[list[nn.Module], int]:
    """Stages of ``blocks`` blocks each, and the channels of the last.

    Each stage after the first has twice the width and half the resolution of the one before.
    """
    made: list[nn.Module] = []
    for stage, count in enumerate(blocks):
        for index in range(count):
            made.append(block(inputs, width, 2 if stage and not index else 1))
            inputs = block.expansion * width
        width *= 2
    return made, inputs


def initialised(network: Sequential) -> Sequential:
    """The network with He et al.'s (2015) normal weights for its convolutions, by fan-out."""
    for module in network.modules():
        if isinstance(module, Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def residual_network(
    block: type[nn.Module],
    stem: Conv2d,
    width: int,
    blocks: Sequence[int],
    classes: int,
    *,
    pooled: bool = False,
) -> Sequential:
    """A residual network: the stem with normalisation and ReLU, ``pooled`` or not, stages, and a
    linear layer."""
    body, channels = stages(block, stem.out_channels, width, blocks)
    head: list[nn.Module] = [BatchNorm2d(stem.out_channels), nn.ReLU()]
    head += [nn.MaxPool2d(3, 2, 1)] if pooled else []
    return initialised(Sequential(stem, *head, *body, Pool(), Linear(channels, classes)))


def preactivated_network(
    stem: Conv2d, width: int, blocks: Sequence[int], classes: int
) -> Sequential:
    """The same of preactivated blocks, whose last result is normalised and activated instead."""
    body, channels = stages(Preactivated, stem.out_channels, width, blocks)
    head = [BatchNorm2d(channels), nn.ReLU(), Pool(), Linear(channels, classes)]
    return initialised(Sequential(stem, *body, *head))
