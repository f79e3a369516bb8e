"""What every defence must give, and what it declares to those who attack it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

from advsparse.lazy import torch
from advsparse.seeding import Random
from advsparse.settings import settings

Arrays = Mapping[str, "torch.Tensor"]
"""What a defence has learned, by name."""


@settings
class Defense(ABC):
    r"""The settings of a defence that puts a transformation t in front of a classifier f.

    .. math:: x \mapsto f(t(x)), \qquad t: [0, 1]^{C \times H \times W} \to
              \mathbb{R}^{C' \times H' \times W'}

    The two declarations are what an attack that adapts to the defence goes by (Athalye, Carlini and
    Wagner 2018): a defence that declares less than it knows is weaker than it looks.
    """

    stochastic: ClassVar[bool] = False
    """Whether t draws random numbers: then it is called as ``t(x, rng)`` with a
    :class:`advsparse.seeding.Random`, its only source of them."""
    backward: ClassVar[Literal["exact", "identity", "approximation"]] = "exact"
    """What stands for the derivative of t: its own; the identity, where t(x) is close to x; or that
    of :meth:`approximation`. The last two are for a t whose own derivative is 0 or of no use."""

    def fit(self, x: torch.Tensor, y: torch.Tensor, *, rng: Random | int = 0) -> Arrays:
        """Learn from clean images ``x`` (N x C x H x W) with labels ``y`` (N); by default nothing.

        What is returned is what :meth:`wrap` is to be given.
        """
        return {}

    @abstractmethod
    def transformation(self, learned: Arrays) -> Callable[..., torch.Tensor]:
        """t, a module or function of images that treats each by itself."""

    def approximation(self, learned: Arrays) -> Callable[..., torch.Tensor]:
        """A differentiable function close to t, called as t is, with results of the same shape."""
        raise NotImplementedError(f"{type(self).__name__} declares an approximation of t, has none")

    def wrap(
        self, model: torch.nn.Module, learned: Arrays | None = None, *, seed: int = 0
    ) -> torch.nn.Module:
        """The defended ``model``, a :class:`advsparse.defenses._defended.Defended`.

        ``seed`` decides the random numbers that a stochastic defence draws when it is evaluated.
        """
        from advsparse.defenses._defended import Defended

        learned = {} if learned is None else learned
        declared = self.backward
        return Defended(
            model,
            self.transformation(learned),
            stochastic=self.stochastic,
            backward=self.approximation(learned) if declared == "approximation" else declared,
            seed=seed,
        )
