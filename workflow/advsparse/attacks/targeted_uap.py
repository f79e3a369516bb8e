"""Universal perturbations that lead into one class."""

from __future__ import annotations

from functools import partial
from typing import Literal

from advsparse.attacks import _universal as universal
from advsparse.attacks._base import BudgetAttack, Candidate
from advsparse.attacks._fitting import Fit, UniversalAttack
from advsparse.lazy import torch
from advsparse.seeding import Random
from advsparse.settings import NonNegativeInt, PositiveFloat, PositiveInt, Share, settings


@settings
class TargetedUAP(UniversalAttack, BudgetAttack):
    r"""One perturbation v that leads every image into the class t.

    .. math:: \|v\|_p \le \epsilon, \qquad \Pr_x(C_f(x + v) = t) \ge \text{success\_rate}

    Passing over the images in random order, each with C_f(x + v) other than t makes a targeted
    FGSM step towards it, and where that reaches t

    .. math:: v \leftarrow \mathrm{Proj}_{\|v\|_p \le \epsilon}(v - \alpha\,
              u(\nabla_x H(f(x + v), t)))

    with the cross-entropy H, u(g) = sign(g) for linf and g / ||g||_2 for l2 (Hirano and Takemoto
    2020, algorithm 1; weitzner2023 compares with it). The v of the pass that reached t most often
    is kept.

    Learns towards ``target_class`` unless targets are given, image by image. Success is counted as
    for any attack: untargeted, unless targets are given to the attack too. ``fit`` gives
    ``perturbation`` (1 x C x H x W), ``target`` (N) and ``success_rate``, the share of the images
    with C_f(clip(x + v)) = t after each pass. Cost of learning: at most passes x images gradients;
    of the attack: none.
    """

    norm: Literal["l2", "linf"] = "l2"
    target_class: NonNegativeInt = 0
    """t, the class to be reached."""
    success_rate: Share = 1.0
    """Share of the images that learning is to lead into the target; it stops there."""
    passes: PositiveInt = 10
    """Largest number of passes over the images."""
    relative_step: PositiveFloat = 0.2
    """alpha, the length of an FGSM step, as a share of eps."""
    only_reaching: bool = True
    """Whether v takes only the steps that bring their image to the target, as published; too short
    a step then leaves v at 0. Otherwise it takes them all."""

    def learn(self, oracle, x, y, target, rng: Random) -> Fit:
        if target is None:
            target = torch.full_like(y, self.target_class)
            classes = oracle.logits(x[:1]).shape[1]
            if self.target_class >= classes:
                raise ValueError(f"target_class: must lie in 0..{classes - 1}")
        length = self.relative_step * self.eps
        v, rates = universal.learn(
            oracle,
            x,
            y,
            target,
            partial(
                universal.gradient_steps,
                norm=self.norm,
                radius=length,
                steps=1,
                length=length,
                only_reaching=self.only_reaching,
            ),
            norm=self.norm,
            eps=self.eps,
            passes=self.passes,
            rate=self.success_rate,
            generator=rng.generator("order"),
        )
        return Fit({"perturbation": v, "target": target, "success_rate": rates})

    def perturb(self, oracle, x, y, target, rng, fit: Fit) -> Candidate:
        return universal.apply(x, fit)
