"""LeNet-5."""

from __future__ import annotations

from advsparse.errors import ArchitectureError
from advsparse.lazy import torch
from advsparse.models._base import Architecture
from advsparse.settings import settings


@settings
class LeNet(Architecture):
    """LeNet-5 with ReLU and max pooling, for images of 28 x 28 or 32 x 32 pixels.

    Convolutions 6 @ 5x5 and 16 @ 5x5, each followed by 2x2 pooling, then 120, 84 and K units
    (LeCun et al. 1998; frecon2021, section 4). Images of 28 pixels are padded to 32, as LeCun's.
    """

    def layers(self, shape, classes):
        channels, height, width = shape
        if (height, width) not in ((28, 28), (32, 32)):
            raise ArchitectureError(
                f"lenet takes images of 28x28 or 32x32 pixels, not {height}x{width}: "
                "give the dataset another size, or the paper's model another architecture"
            )
        nn = torch.nn
        return nn.Sequential(
            nn.Conv2d(channels, 6, 5, padding=(32 - height) // 2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16 * 5 * 5, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, classes),
        )
