"""A network of fully connected layers with ReLU and nothing else."""

from __future__ import annotations

from itertools import pairwise
from math import prod

from pydantic import Field

from advsparse.lazy import torch
from advsparse.models._base import Architecture
from advsparse.settings import PositiveInt, settings


@settings
class Feedforward(Architecture):
    """Hidden layers z = max(W x + b, 0), and an affine one to logits, for images of any size.

    Small ones are what exact certificates are made for.

    Source: canu2021, "The particular case of a one hidden layer MLP".
    """

    hidden: list[PositiveInt] = Field(default_factory=lambda: [32], min_length=1)
    """Units of each hidden layer."""

    standardises = False

    def layers(self, shape, classes):
        nn = torch.nn
        sizes = [prod(shape), *self.hidden]
        hidden = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]
        return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(sizes[-1], classes))
