"""Defended classifiers. Imports torch: defences import this when they wrap a model."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Literal, Self

import torch

from advsparse.arguments import check_tensor, kind_of
from advsparse.seeding import Random, stable_seed

Transformation = Callable[..., torch.Tensor]
Backward = Literal["declared", "exact", "identity"]


class Defended(torch.nn.Module):
    """A classifier with a defence, pixels to logits; a subclass says in which place.

    Called as any model is, it is what stands in an evaluation: its derivative is its own, and a
    stochastic defence draws numbers that are a function of ``seed`` and of the image, the same each
    time. Attacks draw other numbers, afresh in each pass
    (:class:`advsparse.attacks._eot.Expectation`): with the evaluation's they could pick, of the
    images they try, one for which it is unlucky.
    """

    def __init__(self, model: torch.nn.Module, *, stochastic: bool = False, seed: int = 0) -> None:
        super().__init__()
        self.model = model
        self.stochastic = stochastic
        self.samples = 1
        """Draws over which an attack that adapts takes means."""
        self.watched = False
        """Whether an attack is told of what a detector says."""
        self._evaluation = Random(stable_seed("evaluation", seed))

    def adapted(self, backward: Backward, samples: int) -> Self:
        """The same module as an adaptive attack sees it; its logits are the same.

        ``backward`` stands for the derivative of what has none of its own (BPDA); where the defence
        is stochastic, an attack takes means over ``samples`` draws (EOT). Weights are shared.
        """
        other = copy.copy(self)
        other.samples = samples if self.stochastic else 1
        return other

    @abstractmethod
    def forward(self, x: torch.Tensor, rng: Random | None = None) -> torch.Tensor:
        """Logits, N x K; ``rng`` gives the random numbers instead of the evaluation's."""

    def _numbers(self, rng: Random | None) -> tuple[Random, ...]:
        """What a stochastic defence is called with besides the images."""
        if not (rng is None or isinstance(rng, Random)):
            raise TypeError(
                f"rng: expected an advsparse.seeding.Random, got {kind_of(rng)}; none "
                "stands for the numbers of the evaluation"
            )
        return (self._evaluation if rng is None else rng,) if self.stochastic else ()


class InFront(Defended):
    r"""A transformation t in front of a classifier f: x -> f(t(x)), or an ``ensemble`` of N draws.

    ``stochastic`` and ``backward`` are what the defence declares: see
    :class:`advsparse.defenses._base.Transformation`; an approximation is given as the function
    itself. The logits of an ensemble are log mean softmax(f(t_i(x))).
    """

    def __init__(
        self,
        model: torch.nn.Module,
        transformation: Transformation,
        *,
        stochastic: bool = False,
        backward: Literal["exact", "identity"] | Transformation = "exact",
        ensemble: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(model, stochastic=stochastic, seed=seed)
        if isinstance(model, Defended):
            raise TypeError("the model is defended already: compose the transformations instead")
        if not callable(transformation):
            raise TypeError(
                "transformation: expected a module or function of images, got "
                f"{kind_of(transformation)}"
            )
        if not callable(backward) and backward not in ("exact", "identity"):
            raise ValueError(f"backward: expected exact, identity or a function, got {backward!r}")
        if ensemble > 1 and not stochastic:
            raise ValueError(f"ensemble: {ensemble} draws of what draws nothing are all the same")
        self.transformation, self.backward, self.ensemble = transformation, backward, ensemble
        self._derivative = "exact"

    def adapted(self, backward, samples):
        other = super().adapted(backward, samples)
        other._derivative = self.backward if backward == "declared" else backward
        return other

    def forward(self, x, rng=None):
        return self.passed(x, rng)[0]

    def passed(
        self, x: torch.Tensor, rng: Random | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits, N x K, and the t(x) that they are of; of an ensemble, the first draw."""
        if self.ensemble == 1:
            made = self.transform(x, rng)
            # A copy, as some models work in place.
            return self.model(made.clone()), made
        check_tensor("x", x)
        # All draws are of x, whatever a model does to it.
        (numbers,) = self._numbers(rng)
        logs, first = [], None
        for i in range(self.ensemble):
            made = self.transform(x, numbers.part("ensemble", i))
            first = made.clone() if first is None else first
            logs.append(self.model(made).log_softmax(1))
        return torch.stack(logs).logsumexp(0) - math.log(self.ensemble), first

    def transform(
        self, x: torch.Tensor, rng: Random | None = None, *, like: torch.Tensor | None = None
    ) -> torch.Tensor:
        """t(x), with the derivative that the module was adapted to; of an ensemble, unless ``rng``
        says otherwise, the first draw of the evaluation.

        like: images whose numbers the evaluation's draw is to have, in place of those of ``x``.
        """
        check_tensor("x", x)
        if rng is None and self.ensemble > 1:
            rng = self._evaluation.part("ensemble", 0)
        if like is not None:
            rng = (self._evaluation if rng is None else rng).of(like)
        numbers = self._numbers(rng)
        derivative = self._derivative
        if callable(derivative):
            near, derivative = derivative, lambda given: near(given, *numbers)
        return derived(lambda given: self._transformed(given, numbers), x, derivative)

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


class Changed(Defended):
    """A classifier whose layers do something else when it runs: ``changed``, called as it is.

    ``model`` is the network as it was, whose weights the other shares.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        changed: Transformation,
        *,
        stochastic: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(model, stochastic=stochastic, seed=seed)
        if isinstance(model, Defended):
            raise TypeError("the model is defended already: its layers can't be told from those")
        self.changed = changed

    def forward(self, x, rng=None):
        check_tensor("x", x)
        return self.changed(x, *self._numbers(rng))


class Beside(Defended):
    """A classifier, and a detector beside it: ``score`` of images, and the largest that may pass.

    Logits are the classifier's, whatever the detector says; :meth:`excess` is what that says, in
    units of the ``spread`` of clean images' scores, and above 0 what is refused. Beside a
    classifier that has a detector already, whatever either refuses is.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        score: Callable[[torch.Tensor], torch.Tensor],
        *,
        threshold: torch.Tensor,
        spread: torch.Tensor,
    ) -> None:
        super().__init__(model)
        self.score = score
        self.register_buffer("threshold", torch.as_tensor(threshold).detach().clone())
        self.register_buffer("spread", torch.as_tensor(spread).detach().clone())
        self._others = isinstance(model, Beside)
        # Of a classifier with a transformation in front, what that declares.
        self.stochastic = getattr(model, "stochastic", False)

    def adapted(self, backward, samples):
        other = super().adapted(backward, samples)
        other.watched = True
        if isinstance(self.model, Defended):
            # Modules of a copy are the other's, unless it has a dict of its own.
            other._modules = dict(self._modules)
            other.model = self.model.adapted(backward, samples)
        return other

    def forward(self, x, rng=None):
        check_tensor("x", x)
        # What a defended classifier draws without other numbers are its own evaluation's.
        return self.model(x, rng) if isinstance(self.model, Defended) else self.model(x)

    def excess(self, x: torch.Tensor) -> torch.Tensor:
        """(score - threshold) / spread of each image, shape N: above 0 where it is refused."""
        check_tensor("x", x)
        excess = (self.score(x.clone()) - self.threshold) / self.spread
        return torch.maximum(excess, self.model.excess(x)) if self._others else excess


def network_of(model: torch.nn.Module) -> torch.nn.Module:
    """The network that a classifier is, without the defences that it may have."""
    while isinstance(model, Defended):
        model = model.model
    return model


def derived(
    t: Transformation, x: torch.Tensor, derivative: Literal["exact", "identity"] | Transformation
) -> torch.Tensor:
    """t(x), with its own derivative, with that of the identity, or with that of a function."""
    if not (torch.is_grad_enabled() and x.requires_grad):
        return t(x)
    if derivative == "exact":
        found = t(x)
        # Where t has left autograd, as a codec does, its derivative is 0.
        return found if found.requires_grad else _with_derivative(found, 0 * x.flatten(1).sum(1))
    with torch.no_grad():
        found = t(x)
    near = derivative(x.clone()) if callable(derivative) else x
    if near.shape != found.shape:
        raise ValueError(
            f"the transformation gives {tuple(found.shape)}, its approximation "
            f"{tuple(near.shape)}: the derivative of one can't stand for that of the other"
        )
    return _with_derivative(found, near)


def _with_derivative(value: torch.Tensor, near: torch.Tensor) -> torch.Tensor:
    """``value`` to the last bit, with the derivative of ``near``, whose entries are finite."""
    zero = near - near.detach()
    return value + zero.reshape(*zero.shape, *[1] * (value.ndim - zero.ndim))
