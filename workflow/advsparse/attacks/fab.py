"""FAB: the fast adaptive boundary attack, towards target classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from advsparse.attacks._base import Candidate, MinimumNormAttack
from advsparse.attacks._box_projections import step_to_hyperplane, steps_to_hyperplanes
from advsparse.attacks._confirm import at_rows, fooled
from advsparse.attacks._losses import margin
from advsparse.attacks._walks import scattered, size
from advsparse.attacks.apgd import leading_classes
from advsparse.lazy import torch
from advsparse.settings import Fraction, NonNegativeInt, PositiveFloat, PositiveInt, settings
from advsparse.shapes import per_image

_RADIUS = {"linf": 0.3, "l2": 1.0, "l1": 5.0}
"""Radius that random starts are drawn within while no adversarial image is known (the default of
the authors' code)."""

_LOOKED = 10
"""Classes whose boundaries are looked at, where there are as many."""


@settings
class FAB(MinimumNormAttack):
    r"""The nearest adversarial image, by projections onto linearised boundaries within the box.

    With f = z_t - z_y for a target class t, pi the hyperplane where f's linearisation at x_i is 0,
    and d(u) the shortest step from u to pi that keeps to [0, 1],

    .. math:: x_{i+1} = \mathrm{clip}\big((1 - \alpha)(x_i + \eta\, d(x_i))
                        + \alpha\, (x + \eta\, d(x))\big), \qquad
              \alpha = \min\Big(\frac{\|d(x_i)\|_p}{\|d(x_i)\|_p + \|d(x)\|_p}, \alpha_{max}\Big)

    An adversarial x_{i+1} is kept if it is the nearest so far, and drawn back to x + beta (x_{i+1}
    - x). Some classes are targets in turn; later restarts begin at random in half the ball up to
    the nearest adversarial image. At the end, secant steps
    bring that one closer to the boundary. With a target that is to be reached, f is its margin.

    Source: Croce and Hein 2020b; towards target classes (FAB-T) Croce and Hein 2020a; weitzner2023,
    supplement.

    Cost: at most targets x restarts x steps gradients, and as many forward passes; with
    ``choice`` nearest ten gradients more, unless all classes are targets, each in full.
    """

    randomness = "the starting points of all restarts but the first"

    norm: Literal["l2", "linf", "l1"] = "l2"
    steps: PositiveInt = 100
    """Number of projections of a run."""
    restarts: PositiveInt = 1
    """Runs towards each target class; the first starts at the clean image."""
    targets: PositiveInt = 9
    """Number of target classes, K - 1 at most."""
    choice: Literal["nearest", "logits"] | None = None
    """Which classes are the targets: those with the shortest d(x), on the clean image, out of ten
    with the largest logits or as many as ``targets``, which takes a gradient for each; or those
    with the largest logits, as in FAB-T. None means the former, but for l1 the latter: there a
    single target that is near in one direction fails more often."""
    overshoot: PositiveFloat = 1.05
    """eta: by how much projections are lengthened."""
    clean_share: Fraction = 0.1
    """alpha_max, the largest weight of the projection of the clean image."""
    backward: Fraction = 0.9
    """beta: what is left of an adversarial perturbation after it is drawn back."""
    final_steps: NonNegativeInt = 3
    """Secant steps between the clean image and the nearest adversarial one."""

    def _copies(self, classes, size):
        # Both projections of a step, with the room and the rates of each pixel.
        return 80

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        return self.search(oracle, x, y, target, rng)

    def search(self, oracle, x, y, target, rng, enough: float = 0.0) -> Candidate:
        """The attack; an image leaves once it is adversarial at a distance of ``enough``."""
        found = _Nearest(x)
        stand = torch.arange(len(x), device=x.device)
        aims: Iterable[torch.Tensor | None] = [None]
        if target is None:
            aims = self._aims(oracle, x, y).T
        for number, aim in enumerate(aims):
            for restart in range(self.restarts):
                stand = stand[found.distance[stand] > enough]
                if not len(stand):
                    break
                stream = 2 * (number * self.restarts + restart)
                start = x[stand]
                if restart:
                    radius = found.distance[stand].clamp(max=enough or _RADIUS[self.norm]) / 2
                    start = scattered(start, self.norm, radius, rng, stream)
                self._approach(oracle, x, y, target, aim, start, stand, found, enough)
        self._finish(oracle, x, y, target, found, enough)
        return Candidate(found.x, found.steps)

    def _aims(self, oracle, x, y) -> torch.Tensor:
        """The target classes of each image, in turn, N x targets."""
        logits, room = oracle.logits(x), oracle.affords(3)
        whole = room is None or room >= self.targets * self.restarts * self.steps
        # Where all classes are tried, and each in full, their order is not worth a pass.
        choice = self.choice or ("logits" if self.norm == "l1" else "nearest")
        if choice == "logits" or (whole and self.targets >= logits.shape[1] - 1):
            return leading_classes(logits, y, self.targets)
        classes = leading_classes(logits, y, max(self.targets, _LOOKED))

        def leads(logits):
            return list((logits.gather(1, classes) - logits.gather(1, y[:, None])).T)

        logits, slopes = oracle.gradients(x, leads)
        flat, bounds = x.flatten(1), self.threat.bounds
        distance = [
            size(step_to_hyperplane(flat, w.flatten(1), -lead, self.norm, bounds), self.norm)
            for lead, w in zip(leads(logits), slopes, strict=True)
        ]
        order = torch.stack(distance, 1).nan_to_num(torch.inf).argsort(dim=1, stable=True)
        return classes.gather(1, order[:, : self.targets])

    def _approach(self, oracle, x, y, target, aim, point, rows, found, enough):
        """One run from ``point`` for the images ``rows``, towards ``aim`` or to ``target``."""

        def slope(point, rows):
            return oracle.gradient(point, lambda z: _lead(z, rows, y, target, aim), rows)

        for _ in range(self.steps):
            value, _, gradient = slope(point, rows)
            point = self._step(point, x[rows], value, gradient)
            found.steps[rows] += 1
            # Most steps cross the boundary, and go on from another point: no gradient yet.
            won = fooled(oracle.logits(point, rows), y[rows], at_rows(target, rows))
            if not won.any():
                continue
            found.offer(point[won], x, rows[won], self.norm)
            going = found.distance[rows] > enough
            if not going.all():
                rows, point, won = rows[going], point[going], won[going]
            if not len(rows):
                return
            point[won] = torch.lerp(x[rows[won]], point[won], self.backward)
        # The best effort for an image on which the search fails.
        failed = found.distance[rows].isinf()
        found.x[rows[failed]] = point[failed]

    def _step(self, point, x, value, gradient):
        """x_{i+1} of the formula; both projections in one call."""
        flat, clean, w = point.flatten(1), x.flatten(1), gradient.flatten(1)
        gaps = -value, -value - (w * (clean - flat)).sum(1)
        steps = steps_to_hyperplanes((flat, clean), w, gaps, self.norm, self.threat.bounds)
        own, other = (size(d, self.norm) for d in steps)
        tiny = torch.finfo(x.dtype).tiny
        share = (own / (own + other).clamp(min=tiny)).clamp(max=self.clean_share)
        ahead, aside = (
            torch.add(one, d, alpha=self.overshoot)
            for one, d in zip((flat, clean), steps, strict=True)
        )
        moved = torch.lerp(ahead, aside, share[:, None])
        return moved.clamp_(*self.threat.bounds).reshape(x.shape)

    def _finish(self, oracle, x, y, target, found, enough):
        """Secant steps for the root of f on the way from the clean to the adversarial image."""
        rows = (found.distance.isfinite() & (found.distance > enough)).nonzero().flatten()
        if not len(rows) or not self.final_steps:
            return
        goal = at_rows(target, rows)
        inner, outer = x[rows], found.x[rows]
        below, above = (-margin(oracle.logits(z, rows), y[rows], goal) for z in (inner, outer))
        for _ in range(self.final_steps):
            # Not the root, where rounding would decide, but a hundredth of the present lead.
            share = (1 - 0.99 * above / (above - below)).nan_to_num(0.5).clamp(0, 1)
            middle = torch.lerp(inner, outer, per_image(share, inner))
            logits = oracle.logits(middle, rows)
            value, won = -margin(logits, y[rows], goal), fooled(logits, y[rows], goal)
            one = per_image(won, middle)
            outer, inner = torch.where(one, middle, outer), torch.where(one, inner, middle)
            above, below = torch.where(won, value, above), torch.where(won, below, value)
        found.offer(outer, x, rows, self.norm)


class _Nearest:
    """The nearest adversarial image known for each image, and the steps spent on it."""

    def __init__(self, x: torch.Tensor) -> None:
        self.x = x.clone()
        self.distance = x.new_full((len(x),), torch.inf)
        self.steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)

    def offer(self, point, x, rows, norm) -> None:
        """Keep those of the adversarial points that are nearer than what is known."""
        distance = size(point - x[rows], norm)
        closer = distance < self.distance[rows]
        at = rows[closer]
        self.x[at], self.distance[at] = point[closer], distance[closer]


def _lead(logits, rows, y, target, aim):
    """f, how far the class to be reached is ahead: of the label, or of all others; N."""
    if target is not None:
        return -margin(logits, y[rows], target[rows])
    return (logits.gather(1, aim[rows, None]) - logits.gather(1, y[rows, None])).squeeze(1)
