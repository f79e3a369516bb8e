"""Universal adversarial perturbations."""

from __future__ import annotations

from functools import partial
from typing import Literal

from advsparse.attacks import _universal as universal
from advsparse.attacks._fitting import Fit, clean_logits
from advsparse.seeding import Random
from advsparse.settings import NonNegativeFloat, PositiveFloat, PositiveInt, Share, settings


@settings
class UAP(universal.UniversalPerturbation):
    r"""One perturbation v, the same for every image.

    .. math:: \|v\|_p \le \epsilon, \qquad \Pr_x(C_f(x + v) \ne C_f(x)) \ge \text{fooling\_rate}

    Passing over the images in random order, each that x + v does not fool yet adds its own step,

    .. math:: v \leftarrow \mathrm{Proj}_{\|v\|_p \le \epsilon}(v + \Delta v_i), \qquad
              \Delta v_i = \arg\min_r \|r\|_p \text{ such that } C_f(x_i + v + r) \ne C_f(x_i),

    for which any attack may stand in: DeepFool as published, PGD in weitzner2023. As in the
    authors' code, an image whose DeepFool ran out of linearisations is skipped in that pass, its
    step going nowhere in particular; so is one that FGSM or PGD did not fool. The v of the pass
    that fooled most is kept.

    In relative l2 it learns in l2, within eps times the mean length of the images that it learns
    from, and each image is given v scaled to eps times its own length.

    Source: Moosavi-Dezfooli et al. 2017; frecon2021, section 4; sun2019, section 4; weitzner2023.

    Cost: no gradient to attack. To learn, at most passes x images inner attacks, one of DeepFool's
    steps being a gradient a class.

    Learns: ``perturbation`` (1 x C x H x W) and ``fooling_rate``, the share of the images that
    clip(x + v) fools after each pass.

    Trace: ``unclipped_l2`` (N), ||v||_2, the same for all images.
    """

    randomness = "the order of the images that it learns from"

    norm: Literal["l2", "linf", "relative_l2"] = "l2"
    fooling_rate: Share = 0.8
    """Share of the images that learning is to fool; it stops there."""
    passes: PositiveInt = 5
    """Largest number of passes over the images."""
    inner: Literal["deepfool", "fgsm", "pgd"] = "deepfool"
    """The attack that finds an image's own step."""
    inner_steps: PositiveInt = 10
    """Largest number of linearisations in one DeepFool run, or of PGD's gradient steps."""
    overshoot: NonNegativeFloat = 0.02
    """Share by which a DeepFool step is lengthened to cross the boundary."""
    relative_step: PositiveFloat = 0.2
    """The length of the FGSM step, or the radius of PGD's ball around x + v, as a share of eps.
    PGD takes steps of 2.5 / inner_steps of that, without a random start, until the image is
    fooled."""

    def learn(self, oracle, x, y, target, rng: Random) -> Fit:
        clean_logits(oracle, x, universal.BATCH)
        norm, radius = self.norm, self.eps
        if norm == "relative_l2":
            norm, radius = "l2", self.eps * float(x.flatten(1).norm(dim=1).mean())
        v, rates = universal.learn(
            oracle,
            x,
            y,
            target,
            self._own_step(norm, radius),
            norm=norm,
            eps=radius,
            passes=self.passes,
            rate=self.fooling_rate,
            generator=rng.generator("order"),
        )
        return Fit({"perturbation": v, "fooling_rate": rates})

    def _own_step(self, norm, eps):
        if self.inner == "deepfool":
            return partial(
                universal.deepfool_step,
                norm=norm,
                steps=self.inner_steps,
                overshoot=self.overshoot,
            )
        radius = self.relative_step * eps
        steps = 1 if self.inner == "fgsm" else self.inner_steps
        return partial(
            universal.gradient_steps,
            norm=norm,
            radius=radius,
            steps=steps,
            length=radius * min(1, 2.5 / steps),
        )
