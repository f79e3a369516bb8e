"""Transformations made of others, which are its ``parts``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from advsparse import registry
from advsparse.defenses._base import Transformation
from advsparse.lazy import torch
from advsparse.prefixes import below, under
from advsparse.seeding import Random, seeded
from advsparse.settings import settings


@settings
class Composed(Transformation):
    """What holds for all that are made of others, whatever is made of them."""

    backward = "approximation"
    of_parts = True

    parts: list[Any]

    def __post_init__(self) -> None:
        for part in self.parts:
            if not isinstance(part, Transformation):
                raise ValueError(
                    f"parts: {registry.kind_of(part)} acts {part.place}, and transforms no images"
                )
        # What a class declares for all of its instances is told by the parts of this one.
        for name in ("stochastic", "learns", "asks_network", "moves"):
            value = getattr(type(self), name) or any(getattr(part, name) for part in self.parts)
            object.__setattr__(self, name, value)
        object.__setattr__(self, "eight_bits", all(part.eight_bits for part in self.parts))

    def fit(self, x, y, *, model=None, rng=0):
        """Each learns from the images as they are given, untransformed."""
        rng = seeded(rng)
        learned: dict[str, torch.Tensor] = {}
        for i, part in enumerate(self.parts):
            learned |= under(part.fit(x, y, model=model, rng=rng.part("part", i)), f"{i}.")
        return learned

    def transformation(self, learned):
        return self._composed(self._steps(learned, None))

    def for_network(self, learned, model):
        return self._composed(self._steps(learned, model))

    def approximation(self, learned):
        return self._composed(self._steps(learned, None, declared=True))

    def approximation_for(self, learned, model):
        return self._composed(self._steps(learned, model, declared=True))

    def _composed(self, steps: list[Step]) -> Callable[..., torch.Tensor]:
        """The whole, of images and, if it is stochastic, a Random."""
        raise NotImplementedError

    def _steps(self, learned, model, declared=False):
        return [
            Step(i, part, below(learned, f"{i}."), model, declared)
            for i, part in enumerate(self.parts)
        ]


class Step:
    """One part, called with images and the numbers of the whole, if that has any.

    declared: whether it has the derivative that the part declares, or its own.
    """

    def __init__(
        self,
        index: int,
        part: Transformation,
        learned: dict[str, torch.Tensor],
        model: torch.nn.Module | None,
        declared: bool,
    ) -> None:
        self.index, self.stochastic = index, part.stochastic
        self.derivative: Any = part.backward if declared else "exact"
        alone = model is None
        self.t = part.transformation(learned) if alone else part.for_network(learned, model)
        if self.derivative == "approximation":
            self.derivative = (
                part.approximation(learned) if alone else part.approximation_for(learned, model)
            )

    def __call__(self, x: torch.Tensor, rng: Random | None) -> torch.Tensor:
        from advsparse.defenses._defended import derived

        numbers = (rng.part("part", self.index),) if rng and self.stochastic else ()

        def given(function):
            return lambda z: function(z, *numbers)

        near = self.derivative
        return derived(given(self.t), x, given(near) if callable(near) else near)
