"""What universal perturbations share: the passes that learn one, an image's own step, the sum.

Both UAP and its targeted form do this (Moosavi-Dezfooli et al. 2017; Hirano and Takemoto 2020);
they differ in the step that an image contributes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from advsparse.attacks._asking import slope
from advsparse.attacks._base import AdditiveAttack, Candidate
from advsparse.attacks._confirm import at_rows, fooled
from advsparse.attacks._fitting import Fit, UniversalAttack
from advsparse.attacks._losses import cross_entropy, direction
from advsparse.attacks.deepfool import nearest_boundary
from advsparse.lazy import torch
from advsparse.settings import PositiveFloat, settings
from advsparse.shapes import per_image
from advsparse.threat import Threat

logger = logging.getLogger(__name__)

_AHEAD = 4
"""Images whose standing is asked for at once. v changes at the first that contributes a step, which
makes the answers for the rest obsolete: more would be wasted on most networks."""

_COPIES = 32
"""Copies of one image that go through the network at once, one for each gradient wanted."""

BATCH = 64
"""Images whose predictions are asked for at once."""

Step = Callable[..., "torch.Tensor | None"]
"""From (oracle, x, y, target), a single image shifted by v, to its own step, or none."""


def learn(oracle, x, y, target, step: Step, *, norm, eps, passes, rate, generator):
    """The best perturbation v (1 x C x H x W) of ``passes`` passes, and the rate after each.

    Each pass takes the images in random order. One that x + v does not fool adds its own step to v,
    which is projected onto the ball ||v||_p <= eps; one that finds none is skipped. The rate, the
    share of the images that clip(x + v) fools, is measured after each pass; at ``rate`` learning
    ends.
    """
    # No box: what leaves [0, 1] is cut image by image, when v is added to one.
    ball = Threat(norm=norm, eps=eps, bounds=(-torch.inf, torch.inf))
    origin = torch.zeros_like(x[:1])
    v, best, best_rate, rates = origin, origin, -1.0, []
    for number in range(1, passes + 1):
        order = torch.randperm(len(x), generator=generator)
        v = _one_pass(oracle, x, y, target, step, ball, v, order)
        found = [
            fooled(oracle.logits((x[rows] + v).clamp(0, 1), rows), y[rows], at_rows(target, rows))
            for rows in torch.arange(len(x)).split(min(BATCH, oracle.at_once))
        ]
        rates.append(torch.cat(found).float().mean().item())
        logger.info("pass %d of %d: rate %.3f", number, passes, rates[-1])
        if rates[-1] > best_rate:
            best, best_rate = v, rates[-1]
        if best_rate >= rate:
            break
    return best, torch.tensor(rates)


def _one_pass(oracle, x, y, target, step, ball, v, order):
    origin, done = torch.zeros_like(v), 0
    while done < len(order):
        rows = order[done : done + min(_AHEAD, oracle.at_once)]
        found = fooled(oracle.logits(x[rows] + v, rows), y[rows], at_rows(target, rows))
        for i, is_fooled in zip(rows.split(1), found.tolist(), strict=True):
            done += 1
            if is_fooled:
                continue
            own = step(oracle.restrict(i), x[i] + v, y[i], at_rows(target, i))
            if own is not None and own.isfinite().all():
                v = ball.project(v + own, origin)
                break
    return v


def deepfool_step(oracle, x, y, target, *, norm, steps, overshoot):
    """The DeepFool step of one image to just across the boundary; none if ``steps`` don't do."""
    total, classes = torch.zeros_like(x), oracle.logits(x).shape[1]
    for _ in range(steps):
        point = x + (1 + overshoot) * total
        total = total + nearest_boundary(*_jacobian(oracle, point, classes), y, target, norm)
        own = (1 + overshoot) * total
        if fooled(oracle.logits(x + own), y, target).all():
            return own
    return None


def gradient_steps(oracle, x, y, target, *, norm, radius, steps, length, only_reaching=True):
    """Projected gradient steps from one image, until it is adversarial; none if it never is.

    Unless ``only_reaching`` is false: then as far as they led.

    Each goes ``length`` along the gradient of the cross-entropy, within ``radius`` of ``x``. One
    step of the length of the radius is FGSM.
    """
    ball = Threat(norm=norm, eps=radius, bounds=(-torch.inf, torch.inf))
    point = x
    for _ in range(steps):
        _, _, gradient = oracle.gradient(point, lambda z: cross_entropy(z, y, target))
        point = ball.project(point + length * direction(gradient, norm), x)
        if fooled(oracle.logits(point), y, target).all():
            return point - x
    return None if only_reaching else point - x


def _jacobian(oracle, x, classes):
    """Logits (1 x K) of a single image and their gradients (1 x K x C x H x W).

    One backward pass through a copy of the image for each class: a backward pass for each class
    costs more, as a single image hardly fills a processor.
    """
    gradients = []
    for part in torch.arange(classes, device=x.device).split(min(_COPIES, oracle.at_once)):
        copies = x.detach().repeat(len(part), 1, 1, 1).requires_grad_()
        # All of them are passes for the one image of the oracle.
        z = oracle.differentiable(copies, torch.zeros(len(part), dtype=torch.int64))
        logits = z[:1].detach()
        gradients.append(slope(z.gather(1, part[:, None]), copies))
    return logits, torch.cat(gradients)[None]


@settings
class UniversalPerturbation(UniversalAttack, AdditiveAttack):
    """An attack that adds what it has learned: one perturbation for all images, or one a class."""

    only_applied = frozenset({"clamp"})
    perturbations = ("perturbation",)

    learning_eps: PositiveFloat | None = None
    """The radius that it learns at, if it is not eps: what it has learned is then scaled to a norm
    of eps, so that attacks of several eps learn once."""

    def learner(self):
        learner = super().learner()
        if self.learning_eps is None:
            return learner
        return replace(learner, eps=self.learning_eps, learning_eps=None)

    @property
    def _limit(self):
        return None  # ``passes`` are those of learning, and nothing is asked when it is applied

    @property
    def follows_gradients(self) -> bool:
        return False

    def perturb(self, oracle, x, y, target, rng, fit: Fit) -> Candidate:
        v = fit.arrays["perturbation"].to(x)
        if self.norm == "relative_l2":
            length = per_image(v.flatten(1).norm(dim=1), v)
            return added(x, torch.where(length > 0, self.threat.radius(x) / length, 0.0) * v)
        if self.learning_eps is not None:
            v = self._scaled(v)
        if len(v) == 1:
            v = v.expand(x.shape)
        elif target is None:
            raise ValueError("target: a perturbation was learned for each class, say which to use")
        else:
            v = v[target]
        return added(x, v)

    def _scaled(self, v):
        size = Threat(norm=self.norm).distance(v, torch.zeros_like(v))
        factor = torch.where(size > 0, self.eps / size, 0.0)
        return per_image(factor.to(v), v) * v


def added(x, v) -> Candidate:
    """x + v for each image; the l2 length of v, before any clipping, is traced."""
    steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    size = v.double().flatten(1).norm(dim=1)
    return Candidate(x + v, steps, {"unclipped_l2": size})
