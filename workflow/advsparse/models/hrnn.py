"""A hierarchical recurrent network."""

from __future__ import annotations

from math import isqrt

from advsparse.lazy import torch
from advsparse.models._base import Architecture
from advsparse.settings import settings

_UNITS = 256


@settings
class HRNN(Architecture):
    """An LSTM along the pixels of each row, one along the rows, and one along what they come to.

    Each has 256 units. The last state of the second is read as a sequence of 16 vectors of 16
    entries. Keras' example for MNIST with a third LSTM; for images of any size.

    Source: mitro2018, table 3.
    """

    standardises = False

    def layers(self, shape, classes):
        from advsparse.models._keras import EachRow, LastState, initialised

        nn, side = torch.nn, isqrt(_UNITS)
        return initialised(
            nn.Sequential(
                EachRow(shape[0], _UNITS),
                LastState(_UNITS, _UNITS),
                nn.Unflatten(1, (side, side)),
                LastState(side, _UNITS),
                nn.Dropout(0.25),
                nn.Linear(_UNITS, classes),
            )
        )
