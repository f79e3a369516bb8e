"""Universal perturbations that lead into one class."""

from __future__ import annotations

from functools import partial
from typing import Literal

from advsparse.attacks import _universal as universal
from advsparse.attacks._fitting import Fit, clean_logits
from advsparse.lazy import torch
from advsparse.seeding import Random
from advsparse.settings import NonNegativeInt, PositiveFloat, PositiveInt, Share, settings


@settings
class TargetedUAP(universal.UniversalPerturbation):
    r"""One perturbation v that leads every image into the class t.

    .. math:: \|v\|_p \le \epsilon, \qquad \Pr_x(C_f(x + v) = t) \ge \text{success\_rate}

    Passing over the images in random order, each with C_f(x + v) other than t makes a targeted
    FGSM step towards it, and where that reaches t

    .. math:: v \leftarrow \mathrm{Proj}_{\|v\|_p \le \epsilon}(v - \alpha\,
              u(\nabla_x H(f(x + v), t)))

    with the cross-entropy H, u(g) = sign(g) for linf and g / ||g||_2 for l2. The v of the pass that
    reached t most often is kept.

    Learns towards ``target_class`` unless targets are given, image by image; or one perturbation
    for each class, of which an image is given that of its target. Success is counted as for any
    attack: untargeted, unless targets are given to the attack too.

    Source: Hirano and Takemoto 2020; weitzner2023, which compares with it.

    Cost: no gradient to attack. To learn, at most passes x images gradients for each class learned.

    Learns: ``perturbation`` (1 x C x H x W), ``target`` (N) and ``success_rate``, the share of the
    images with C_f(clip(x + v)) = t after each pass. Where each class is learned there are K of
    all three, the rates K x passes with NaN after the last.

    Trace: ``unclipped_l2`` (N), ||v||_2.
    """

    randomness = "the order of the images that it learns from"

    norm: Literal["l2", "linf"] = "l2"
    target_class: NonNegativeInt | Literal["all"] = 0
    """t, the class to be reached; all learns a perturbation for each class, and applies that of
    each image's target."""
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
        classes = clean_logits(oracle, x, universal.BATCH).shape[1]
        if self.target_class == "all":
            if target is not None:
                raise ValueError("target: target_class 'all' learns towards each class as it is")
            goals = torch.arange(classes).to(y)
            found = [self._towards(oracle, x, y, goal.expand(len(y)), rng) for goal in goals]
            vs, histories = zip(*found, strict=True)
            # Of learning that ended early there is no more to tell.
            rates = torch.nn.utils.rnn.pad_sequence(list(histories), True, torch.nan)
            return Fit({"perturbation": torch.cat(vs), "target": goals, "success_rate": rates})
        if target is None:
            target = torch.full_like(y, self.target_class)
            if self.target_class >= classes:
                raise ValueError(f"target_class: must lie in 0..{classes - 1}")
        v, rates = self._towards(oracle, x, y, target, rng)
        return Fit({"perturbation": v, "target": target, "success_rate": rates})

    def _towards(self, oracle, x, y, target, rng):
        length = self.relative_step * self.eps
        return universal.learn(
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
