"""A multilayer perceptron."""

from __future__ import annotations

from math import prod

from advsparse.lazy import torch
from advsparse.models._base import Architecture
from advsparse.settings import settings


@settings
class MLP(Architecture):
    """784, 512, 256 and K units with ReLU, batch normalisation and dropout, for images of any size.

    The paper's table leaves out the 512 units and the normalisation before them, which the authors'
    code has.

    Source: mitro2018, table 3.
    """

    standardises = False

    def layers(self, shape, classes):
        from advsparse.models._keras import batch_norm, initialised

        nn, pixels = torch.nn, prod(shape)
        return initialised(
            nn.Sequential(
                *(nn.Flatten(), nn.Dropout(0.5), batch_norm(pixels, 0)),
                *(nn.Linear(pixels, 784), nn.ReLU(), batch_norm(784, 0)),
                *(nn.Linear(784, 512), nn.ReLU(), nn.Dropout(0.2), batch_norm(512, 0)),
                *(nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, classes)),
            )
        )
