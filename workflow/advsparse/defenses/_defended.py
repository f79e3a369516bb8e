"""A defended classifier. Imports torch: defences import this when they wrap a model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Literal

import torch

from advsparse.arguments import check_tensor, kind_of
from advsparse.seeding import Random, stable_seed

Transformation = Callable[..., torch.Tensor]


class Defended(torch.nn.Module):
    r"""A transformation t in front of a classifier f: x -> f(t(x)), pixels to logits.

    ``stochastic`` and ``backward`` are what the defence declares: see
    :class:`advsparse.defenses._base.Defense`; an approximation is given as the function itself.

    Called as any model is, it is what stands in an evaluation: its derivative is its own, and a
    stochastic t draws numbers that are a function of ``seed`` and of the image, the same each time.
    Attacks draw other numbers, afresh in each pass (:class:`advsparse.attacks._eot.Expectation`):
    with the evaluation's they could pick, of the images they try, one for which it is unlucky.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        transformation: Transformation,
        *,
        stochastic: bool = False,
        backward: Literal["exact", "identity"] | Transformation = "exact",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if isinstance(model, Defended):
            raise TypeError("the model is defended already: compose the transformations instead")
        if not callable(transformation):
            raise TypeError(
                "transformation: expected a module or function of images, got "
                f"{kind_of(transformation)}"
            )
        if not callable(backward) and backward not in ("exact", "identity"):
            raise ValueError(f"backward: expected exact, identity or a function, got {backward!r}")
        self.model, self.transformation = model, transformation
        self.stochastic, self.backward = stochastic, backward
        self.samples = 1
        self._derivative = "exact"
        self._evaluation = Random(stable_seed("evaluation", seed))

    def adapted(self, backward: Literal["declared", "exact", "identity"], samples: int) -> Defended:
        """The same module as an adaptive attack differentiates it; its logits are the same.

        ``backward`` stands for the derivative of t (BPDA); where t is stochastic, an attack takes
        means over ``samples`` draws (EOT). Weights are shared.
        """
        other = copy.copy(self)
        other._derivative = self.backward if backward == "declared" else backward
        other.samples = samples if self.stochastic else 1
        return other

    def forward(self, x: torch.Tensor, rng: Random | None = None) -> torch.Tensor:
        """Logits, N x K; ``rng`` gives the random numbers instead of the evaluation's."""
        return self.model(self.transform(x, rng))

    def transform(self, x: torch.Tensor, rng: Random | None = None) -> torch.Tensor:
        """t(x), with the derivative that the module was adapted to."""
        check_tensor("x", x)
        if not (rng is None or isinstance(rng, Random)):
            raise TypeError(
                f"rng: expected an advsparse.seeding.Random, got {kind_of(rng)}; none "
                "stands for the numbers of the evaluation"
            )
        numbers = (self._evaluation if rng is None else rng,) if self.stochastic else ()
        if not (torch.is_grad_enabled() and x.requires_grad):
            return self._transformed(x, numbers)
        if self._derivative == "exact":
            t = self._transformed(x, numbers)
            # Where t has left autograd, as a codec does, its derivative is 0.
            return t if t.requires_grad else _with_derivative(t, 0 * x.flatten(1).sum(1))
        with torch.no_grad():
            t = self._transformed(x, numbers)
        near = x if self._derivative == "identity" else self._derivative(x.clone(), *numbers)
        if near.shape != t.shape:
            raise ValueError(
                f"the transformation gives {tuple(t.shape)}, its approximation "
                f"{tuple(near.shape)}: the derivative of one can't stand for that of the other"
            )
        return _with_derivative(t, near)

    def _transformed(self, x, numbers):
        """t(x). Some transformations work in place and some keep what they return, as some models
        work in place: a copy goes in, and a copy goes on."""
        t = self.transformation(x.clone(), *numbers)
        check_tensor("transformation", t)
        if t.shape[:1] != x.shape[:1]:
            raise ValueError(
                "transformation: expected each image by itself, for "
                f"{tuple(x.shape)} {len(x)} x ..., got {tuple(t.shape)}"
            )
        return t.clone()


def _with_derivative(value: torch.Tensor, near: torch.Tensor) -> torch.Tensor:
    """``value`` to the last bit, with the derivative of ``near``, whose entries are finite."""
    zero = near - near.detach()
    return value + zero.reshape(*zero.shape, *[1] * (value.ndim - zero.ndim))
