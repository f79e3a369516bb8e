"""Any attack, adapted to what a defence declares of itself: BPDA and EOT."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from advsparse.attacks._base import Attack, Candidate
from advsparse.lazy import torch
from advsparse.registry import Plugin
from advsparse.settings import PositiveInt, settings
from advsparse.threat import Norm, Threat


@settings
class Adaptive(Attack):
    r"""Another attack, on a model with a defence, by what that declares.

    Where the defence puts a transformation t in front of a network f, and declares a function g
    close to t to differentiate in its place (the identity, or another), gradients follow, with v
    the gradient of the attack's objective in t(x),

    .. math:: \nabla_x \approx J_g(x)^T v, \qquad v = \nabla_z\, l(f(z)) \big|_{z = t(x)},

    the forward pass being exact (backward pass differentiable approximation, BPDA). Where it
    declares that it draws random numbers, values, gradients and logits are means over draws, so
    that the attack's objective l becomes (expectation over transformations, EOT)

    .. math:: E_t[l(f(t(x)))] \approx \frac{1}{T} \sum_{i=1}^{T} l(f(t_i(x))).

    Where a detector stands beside f, which refuses images whose score s(x) exceeds a threshold, an
    image succeeds only if it passes. The logit of its label is

    .. math:: z_y(x) = \max\Big(f_y(x),\; \max_{k \ne y} f_k(x) + \frac{s(x) - \tau}{\sigma}\Big)

    with sigma the spread of clean images' scores: what the attack lowers is the larger of the
    classifier's margin and of what the score exceeds the threshold by (of a target, the smaller of
    its own logit and of one that lacks as much).

    What is returned is measured on the defence itself, with random numbers that the attack has not
    seen. On a model without a defence, or with one that is deterministic and differentiable, it is
    the other attack bit for bit. Norm and budget are the other attack's. An attack that learns from
    images learns on the defence, too.

    Source: Athalye, Carlini and Wagner 2018 (BPDA and EOT); Carlini and Wagner 2017b (detectors).

    Cost: the other attack's, times ``samples`` on a random defence.

    Trace: that of the other attack.
    """

    family = "adaptive"
    randomness = "what the defence and the other attack draw"

    attack: Annotated[Any, Plugin("attacks", without=("adaptive",))]
    """The other attack: its kind and hyper-parameters."""
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

    @property
    def universal(self) -> bool:
        return self.attack.universal

    def learner(self) -> Adaptive:
        """The attack that learns for this one; see :meth:`UniversalAttack.learner`."""
        return replace(self, attack=self.attack.learner())

    def fit(self, model, x, y, target=None, **options):
        """Learn on what ``model`` declares; see :meth:`UniversalAttack.fit`."""
        return self.attack.fit(self._adapted(model), x, y, target, **options)

    def __call__(self, model, x, y, target=None, **options):
        """Attack with what ``model`` declares; see :meth:`Attack.__call__`."""
        attack = self.attack
        # Of some attacks ``passes`` are those of learning, and nothing is asked later on.
        if self.passes is not None and attack._limit == attack.passes:
            attack = replace(attack, passes=min(self.passes, attack.passes or self.passes))
        return attack(self._adapted(model), x, y, target, **options)

    def joined(self, parts):
        """See :meth:`Attack.joined`."""
        return self.attack.joined(parts)

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        seen = oracle.with_model(self._adapted(oracle.model))
        return self.attack.perturb(seen, x, y, target, rng)

    def _adapted(self, model: torch.nn.Module) -> torch.nn.Module:
        from advsparse.defenses._defended import Defended

        if not isinstance(model, Defended):
            return model
        return model.adapted(self.backward, self.samples)
