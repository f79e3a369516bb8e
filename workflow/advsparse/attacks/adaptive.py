"""Any attack, adapted to what a defence declares of itself: BPDA and EOT."""

from __future__ import annotations

import copy
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from advsparse import registry
from advsparse.attacks._base import Attack, Candidate
from advsparse.attacks._fitting import UniversalAttack
from advsparse.lazy import torch
from advsparse.registry import Plugin
from advsparse.settings import PositiveInt, settings
from advsparse.threat import Norm, Threat


def _of_single_images(attack: Any) -> Any:
    if isinstance(attack, UniversalAttack):
        raise ValueError(
            f"{registry.kind_of(attack)} learns from many images what it applies to all: adaptive "
            "wraps attacks on single images only"
        )
    return attack


@settings
class Adaptive(Attack):
    r"""Another attack, on a defence x -> f(t(x)) whose t has no useful derivative, or is random.

    Where the defence declares a function g close to t to differentiate in its place (the identity,
    or another), gradients follow, with v the gradient of the attack's objective in t(x),

    .. math:: \nabla_x \approx J_g(x)^T v, \qquad v = \nabla_z\, l(f(z)) \big|_{z = t(x)},

    the forward pass being exact (backward pass differentiable approximation, BPDA). Where it
    declares that t is random, values, gradients and logits are means over draws of t, so that the
    attack's objective l becomes (expectation over transformations, EOT)

    .. math:: E_t[l(f(t(x)))] \approx \frac{1}{T} \sum_{i=1}^{T} l(f(t_i(x))).

    What is returned is measured on the defence itself, with random numbers that the attack has not
    seen. On a model without a defence, or with one that is deterministic and differentiable, it is
    the other attack bit for bit. Norm and budget are the other attack's.

    Source: Athalye, Carlini and Wagner 2018 (BPDA and EOT).

    Cost: the other attack's, times ``samples`` on a random defence.

    Trace: that of the other attack.
    """

    family = "adaptive"
    randomness = "what the defence and the other attack draw"

    attack: Annotated[
        Any, Plugin("attacks", without=("adaptive",)), AfterValidator(_of_single_images)
    ]
    """The other attack: its kind and hyper-parameters. Any on single images."""
    samples: PositiveInt = 20
    """Number T of draws in each mean, where the defence is random; as AutoAttack's version for
    random defences has it. The error of a gradient falls as 1 / sqrt(T)."""
    backward: Literal["declared", "exact", "identity"] = "declared"
    """What is differentiated in place of t: what the defence declares, t itself, which shows how
    much of a defence is masked gradients, or the identity."""

    @property
    def threat(self) -> Threat:
        return self.attack.threat

    @property
    def norm(self) -> Norm:
        """The norm of the other attack."""
        return self.threat.norm

    @property
    def eps(self) -> float | None:
        """The budget of the other attack, none if it minimises the norm."""
        return self.threat.eps

    @property
    def follows_gradients(self) -> bool:
        return self.attack.follows_gradients

    def __call__(self, model, x, y, target=None, **options):
        """Attack with what ``model`` declares; see :meth:`Attack.__call__`."""
        return self.attack(self._adapted(model), x, y, target, **options)

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        seen = copy.copy(oracle)  # which shares the counters
        seen.model = self._adapted(oracle.model)
        return self.attack.perturb(seen, x, y, target, rng)

    def _adapted(self, model: torch.nn.Module) -> torch.nn.Module:
        from advsparse.defenses._defended import Defended

        if not isinstance(model, Defended):
            return model
        return model.adapted(self.backward, self.samples)
