"""Thermometer encoding."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from advsparse.defenses._base import Transformation
from advsparse.lazy import torch
from advsparse.settings import settings


@settings
class Thermometer(Transformation):
    r"""Each entry becomes L bits, as many of which are on as it exceeds levels.

    .. math:: t(x)_{c,k,i,j} = 1[x_{c,i,j} \ge k / L], \qquad k = 0, \ldots, L - 1

    The first bit is always on. The L bits of a channel follow each other: the network behind takes
    L times as many channels, and has to be trained for them. Levels are met exactly (the code of
    Athalye, Carlini and Wagner 2018 counts an entry on a level to the one below).

    The derivative of t is 0 wherever there is one. In its place stands that of a ramp, which is
    the code at each level and differs from it in one bit in between,

    .. math:: g(x)_{c,k,i,j} = \min(\max(L\, x_{c,i,j} - k + 1, 0), 1),

    or 1 for each bit that is on.

    Source: Buckman, Roy, Raffel and Goodfellow 2018, section 4; sun2019, table 4. The ramp is that
    of Athalye, Carlini and Wagner 2018.

    Cost: L comparisons for each entry, and a first layer with L times as many channels.

    Attacks: Athalye, Carlini and Wagner 2018: accuracy 0 at linf 0.031 (CIFAR-10), 30 % with
    adversarial training, by BPDA with the ramp.
    """

    backward = "approximation"

    levels: Annotated[int, Field(ge=2, le=256)] = 16
    """Number L of levels."""
    slope: Literal["ramp", "on"] = "ramp"
    """What stands for the derivative: that of the ramp, L for the one bit that is next to change;
    or 1 for each bit that is on."""

    def shape(self, shape):
        channels, *size = shape
        return (channels * self.levels, *size)

    def transformation(self, learned):
        return Code(self.levels)

    def approximation(self, learned):
        def ramp(x):
            steps = torch.arange(self.levels, dtype=x.dtype, device=x.device)[:, None, None]
            return (self.levels * x[:, :, None] - steps + 1).clamp(0, 1).flatten(1, 2)

        def on(x):
            return (x[:, :, None] - thresholds(self.levels, x)).clamp(min=0).flatten(1, 2)

        return ramp if self.slope == "ramp" else on


class Code:
    """t, of a number of ``levels``."""

    def __init__(self, levels: int) -> None:
        self.levels = levels

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return (x[:, :, None] >= thresholds(self.levels, x)).to(x.dtype).flatten(1, 2)


def thresholds(levels: int, x: torch.Tensor) -> torch.Tensor:
    """The ``levels`` that an entry of ``x`` is compared with, along an axis before its last two."""
    steps = torch.arange(levels, dtype=x.dtype, device=x.device)
    # A division by a tensor: GPUs would multiply by the inverse of a number, which is rounded.
    return (steps / torch.full_like(steps, levels))[:, None, None]
