"""A convolutional network with dropout."""

from __future__ import annotations

from advsparse.lazy import torch
from advsparse.models._base import Architecture, check_size
from advsparse.settings import settings


@settings
class ConvNet(Architecture):
    """Six 3x3 convolutions of 32, 32, 64, 64, 128 and 256 filters, two poolings, 512 and K units.

    For images of 28 x 28 pixels at least: Keras' example for CIFAR-10 with two convolutions more,
    the second, fourth, fifth and sixth of them without padding.

    Half of the pixels are dropped while it learns, as the table prints. A network that learned
    CIFAR-10 so, in five epochs, came to need it: of 1000 test images it was right of 66 % where
    pixels were dropped, and of 7 % where they were not, as networks are evaluated. The authors'
    script switches dropout off before it trains.

    Source: mitro2018, table 3.
    """

    standardises = False

    def layers(self, shape, classes):
        from advsparse.models._keras import initialised

        check_size("convnet", shape, 28)
        nn = torch.nn
        channels, *sides = shape
        left = [((side - 2) // 2 - 2) // 2 - 4 for side in sides]
        return initialised(
            nn.Sequential(
                nn.Dropout(0.5),
                *(nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU()),
                *(nn.Conv2d(32, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25)),
                *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU()),
                *(nn.Conv2d(64, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
                *(nn.Conv2d(64, 128, 3), nn.ReLU()),
                *(nn.Conv2d(128, 256, 3), nn.ReLU(), nn.Dropout(0.25), nn.Flatten()),
                *(nn.Linear(256 * left[0] * left[1], 512), nn.ReLU(), nn.Dropout(0.5)),
                nn.Linear(512, classes),
            )
        )
