"""A hierarchical recurrent network."""

from __future__ import annotations

from math import isqrt

from advsparse.lazy import torch
from advsparse.models._base import Architecture
from advsparse.settings import PositiveInt, settings


@settings
class HRNN(Architecture):
    """An LSTM along the pixels of each row, one along the rows, and one along what they come to.

    The last state of the second is read as a sequence of s vectors of s entries, s x s = width.
    Keras' example for MNIST with a third LSTM; for images of any size.

    Source: mitro2018, table 3.
    """

    width: PositiveInt = 256
    """Units of each LSTM, a square number; time goes with its square."""

    standardises = False

    def __post_init__(self) -> None:
        if isqrt(self.width) ** 2 != self.width:
            raise ValueError(f"width must be a square number, got {self.width}")

    def layers(self, shape, classes):
        from advsparse.models._keras import EachRow, LastState, initialised

        nn, units, side = torch.nn, self.width, isqrt(self.width)
        return initialised(
            nn.Sequential(
                EachRow(shape[0], units),
                LastState(units, units),
                nn.Unflatten(1, (side, side)),
                LastState(side, units),
                nn.Dropout(0.25),
                nn.Linear(units, classes),
            )
        )
