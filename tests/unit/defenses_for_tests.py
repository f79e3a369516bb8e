"""Small defences, each with one trait that defeats an attack which does not adapt to it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from models_for_tests import predictions

from advsparse.defenses._base import Transformation
from advsparse.defenses._defended import Beside
from advsparse.settings import PositiveFloat, PositiveInt, settings


@settings
class Rounding(Transformation):
    """Pixels rounded to few levels: its derivative is 0 wherever there is one."""

    backward: ClassVar[str] = "identity"
    levels: PositiveInt = 16

    def transformation(self, learned):
        return lambda x: (x * self.levels).round() / self.levels


@settings
class Noise(Transformation):
    """Normal noise added: exactly differentiable, but another function each time."""

    stochastic: ClassVar[bool] = True
    scale: PositiveFloat = 0.3

    def transformation(self, learned):
        return lambda x, rng: x + self.scale * rng.normal_like(x)


@settings
class NoisyRounding(Noise):
    """Both: normal noise added, then rounded."""

    backward: ClassVar[str] = "identity"
    levels: PositiveInt = 16

    def transformation(self, learned):
        noisy = super().transformation(learned)
        return lambda x, rng: (noisy(x, rng) * self.levels).round() / self.levels


@settings
class Masking(Transformation):
    """Half of the pixels blackened, others each time: so is half of each gradient."""

    stochastic: ClassVar[bool] = True

    def transformation(self, learned):
        return lambda x, rng: x * (rng.uniform_like(x) < 0.5)


@settings
class Sine(Transformation):
    """Steps that follow a curve, whose derivative is declared; the curve's strength is learned."""

    backward: ClassVar[str] = "approximation"

    def fit(self, x, y, *, model=None, rng=0):
        return {"strength": x.mean()}

    def transformation(self, learned):
        curve = self.approximation(learned)
        return lambda x: (curve(x) * 64).round() / 64

    def approximation(self, learned):
        return lambda x: x + learned["strength"] * torch.sin(3 * x)


def stands(defended: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    """Whether a defence stands against attacked images: what is refused has fooled nobody."""
    right = predictions(defended, x) == y
    if isinstance(defended, Beside):
        with torch.no_grad():
            right |= defended.excess(x) > 0
    return right.numpy()
