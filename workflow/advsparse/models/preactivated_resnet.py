"""A residual network of preactivated blocks, as in Keras' collections."""

from __future__ import annotations

from advsparse.lazy import torch
from advsparse.models._base import Architecture, check_size
from advsparse.settings import PositiveInt, settings


@settings
class PreactivatedResNet(Architecture):
    """Three stages of 16, 32 and 64 filters, with three preactivated blocks of two convolutions.

    Convolutions have biases, the shortcut takes the input before its activation, and dropout comes
    before the last normalisation. For 28 x 28 pixels at least.

    Source: mitro2018, figure 2 and table 3; He et al. 2016b.
    """

    standardises = False

    blocks: PositiveInt = 3
    """Blocks of each stage."""

    def layers(self, shape, classes):
        from advsparse.models._keras import Block, batch_norm, initialised
        from advsparse.models._residual import Pool

        check_size("preactivated_resnet", shape, 28)
        nn, inputs = torch.nn, 16
        body: list[torch.nn.Module] = []
        for stage, outputs in enumerate((16, 32, 64)):
            for index in range(self.blocks):
                body.append(Block(inputs, outputs, 2 if stage and not index else 1))
                inputs = outputs
        return initialised(
            nn.Sequential(
                *(nn.Conv2d(shape[0], 16, 3, padding=1), batch_norm(16), nn.ReLU()),
                *body,
                *(nn.Dropout(0.25), batch_norm(inputs), nn.ReLU(), Pool()),
                nn.Linear(inputs, classes),
            ),
            "he",
        )
