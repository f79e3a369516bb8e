"""DeepFool: the nearest boundary of a linearised classifier, again and again."""

from __future__ import annotations

from typing import Literal

from advsparse.attacks._base import Candidate, MinimumNormAttack
from advsparse.attacks._confirm import at_rows, fooled
from advsparse.lazy import torch
from advsparse.settings import NonNegativeFloat, NonNegativeInt, PositiveInt, settings
from advsparse.shapes import per_image

_NUDGE = 1e-4
"""How much further than the boundary each step goes, in the norm of the attack, as in the code of
Moosavi-Dezfooli et al. Where the box cuts a step off, the iterates otherwise close in on the
boundary without ever crossing it."""

_FAR = 1e9
"""A boundary as far away as that is none: the gradient is zero but for rounding."""

_SMALL = 1e-15
"""Norms from this to its inverse are taken as they come, in any precision."""


@settings
class DeepFool(MinimumNormAttack):
    r"""A small perturbation found by linearising the logits f around the iterate.

    With w_k = grad f_k - grad f_y and m_k = f_k - f_y at x_i, each step goes to the nearest of the
    linearised boundaries,

    .. math:: r_i = \frac{|m_l|}{\|w_l\|_2^2} w_l, \qquad l = \arg\min_{k \ne y}
              \frac{|m_k|}{\|w_k\|_2},

    and for linf r_i = |m_l| / ||w_l||_1 sign(w_l) with the l1 norm in the choice of l. Each step is
    made 1e-4 longer than that, as in the authors' code. The steps end where x + (1 + overshoot) sum
    r_i is adversarial, which is the image returned: on an affine classifier away from the box it
    lies at (1 + overshoot) (d + 1e-4), where d is the distance of the boundary. A targeted attack
    goes to the boundary with the target alone. ``ray`` asks for bisections between the clean image
    and the one that was found, which bring it nearer to the boundary.

    Source: Moosavi-Dezfooli et al. 2016, algorithm 2; frecon2021, section 4; sun2019, section 4.

    Cost: at most ``steps`` x K gradients, one for each of the K classes a step, and ``ray`` + 1
    forward passes where there are bisections.
    """

    norm: Literal["l2", "linf"] = "l2"
    steps: PositiveInt = 50
    """Largest number of linearisations; an image that needs more has failed."""
    overshoot: NonNegativeFloat = 0.02
    """Share by which the perturbation is lengthened to cross the boundary."""
    ray: NonNegativeInt = 0
    """Number of bisections at the end, none in the paper."""

    def _copies(self, classes, size):
        # Gradients for each class, their differences, and what the norms of those take.
        return 28 + 5 * classes

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        bounds = self.threat.bounds

        def reached(total, rows):
            return (x[rows] + (1 + self.overshoot) * total).clamp(*bounds)

        total, steps = cross_boundary(oracle, x, y, target, self.norm, self.steps, reached)
        found = x + (1 + self.overshoot) * total
        if self.ray:
            found = self._nearer(oracle, x, y, target, found.clamp(*bounds))
        return Candidate(found, steps)

    def _nearer(self, oracle, x, y, target, found):
        """Points on the way to those that are adversarial, just beyond the boundary."""
        rows = fooled(oracle.logits(found), y, target).nonzero().flatten()
        if not len(rows):
            return found
        inner, outer, goal = x[rows], found[rows], at_rows(target, rows)
        for _ in range(self.ray):
            middle = (inner + outer) / 2
            won = per_image(fooled(oracle.logits(middle, rows), y[rows], goal), middle)
            inner, outer = torch.where(won, inner, middle), torch.where(won, middle, outer)
        return found.index_copy(0, rows, outer)


def cross_boundary(oracle, x, y, target, norm, limit, reached):
    """Sum the steps of DeepFool from ``x`` until ``reached(total, rows)`` is adversarial.

    Returns the sum of the steps, before any overshoot, and their number for each image.
    """
    total = torch.zeros_like(x)
    steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    active = torch.arange(len(x), device=x.device)
    for _ in range(limit):
        goal = at_rows(target, active)
        point = reached(total[active], active)
        logits, jacobian = oracle.jacobian(point, active)
        stand = ~fooled(logits, y[active], goal)
        if not stand.all():
            active, logits, jacobian = active[stand], logits[stand], jacobian[stand]
            goal = at_rows(goal, stand)
        if not len(active):
            break
        total[active] += nearest_boundary(logits, jacobian, y[active], goal, norm)
        steps[active] += 1
    return total, steps


def nearest_boundary(logits, jacobian, y, target, norm):
    """The step just across the nearest linearised boundary of class ``y``, N x C x H x W.

    logits: N x K; jacobian: N x K x C x H x W.
    """
    flat = jacobian.flatten(2)
    order = 2 if norm == "l2" else 1
    n = torch.arange(len(y), device=y.device)
    # Untargeted: w_k = grad f_k - grad f_y, any k. Targeted: w_k = grad f_t - grad f_k, where k is
    # the class that wins now.
    if target is None:
        w = flat - flat[n, y][:, None]
        gap = (logits - logits[n, y][:, None]).abs()
        gap = gap.scatter(1, y[:, None], torch.inf)
        size = _length(w, order, y)
        distance = gap / size.clamp(min=torch.finfo(w.dtype).tiny)
        nearest = torch.where(distance.isnan(), torch.inf, distance).argmin(1)
    else:
        nearest = logits.argmax(1)
        w = flat[n, target][:, None] - flat
        gap = (logits - logits[n, target][:, None]).abs()
        size = _length(w, order, target)
    w, gap, size = w[n, nearest], gap[n, nearest], size[n, nearest]
    # A gradient that is zero or not finite leaves the image where it is.
    usable = ((gap < _FAR * size) & size.isfinite())[:, None]
    size = size[:, None]
    unit = w / size if norm == "l2" else w.sign()
    step = torch.where(usable, (gap[:, None] / size + _NUDGE) * unit, 0.0)
    return step.reshape(len(y), *jacobian.shape[2:])


def _length(w, order, own):
    """The norm of each vector of ``w``, N x K x P, also where squares overflow or underflow.

    That of each image's class ``own`` is 0.
    """
    size = w.norm(p=order, dim=2)
    poor = ~((size > _SMALL) & (size < 1 / _SMALL)).scatter(1, own[:, None], True)
    if poor.any():
        few = w[poor]
        # A power of two, so that nothing is rounded.
        exponent = torch.frexp(few.abs().amax(1, keepdim=True)).exponent
        scale = torch.ldexp(torch.ones_like(few[:, :1]), exponent - 1)
        size[poor] = (few / scale).norm(p=order, dim=1) * scale[:, 0]
    return size
