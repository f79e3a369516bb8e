"""Auto-PGD: projected gradient ascent that chooses its own step sizes."""

from __future__ import annotations

import math
from typing import Literal

from advsparse.attacks._base import BudgetAttack, Candidate
from advsparse.attacks._confirm import at_rows, confirm
from advsparse.attacks._dlr import dlr
from advsparse.attacks._losses import cross_entropy, direction
from advsparse.lazy import torch
from advsparse.settings import PositiveInt, Share, settings
from advsparse.shapes import per_image

_MOMENTUM = 0.75
"""alpha, the weight of the new step against the last move (Croce and Hein 2020a, "Auto-PGD")."""


@settings
class APGD(BudgetAttack):
    r"""Gradient ascent with momentum whose step eta is halved where the loss l stops rising.

    .. math:: z_{k+1} = P(x_k + \eta\, u(\nabla l(x_k))), \qquad
              x_{k+1} = P(x_k + \alpha (z_{k+1} - x_k) + (1 - \alpha)(x_k - x_{k-1}))

    with eta = 2 eps at first, alpha = 0.75, P the projection onto the ball and into [0, 1], u(g)
    the sign of g for linf and g / ||g||_2 for l2. At a checkpoint w_j, an image's eta is halved and
    the image goes back to its best point if the loss rose in fewer than rho (w_j - w_{j-1}) of the
    steps since the last one, or if neither eta nor the best loss has changed since then.

    ``loss`` is the cross-entropy, the DLR loss, or its targeted form, which makes one run for each
    of the classes with the largest logits on the clean image. An image leaves once it is
    adversarial, and that point is returned; else the one of largest loss in the last run.

    Source: Croce and Hein 2020a, "Auto-PGD" and the loss DLR; weitzner2023, supplement.

    Cost: at most ``steps`` gradients and one forward pass per restart and target class.

    Trace: ``loss`` (N), the largest loss of the last run, and ``halvings`` (N), how often that run
    halved eta.
    """

    family = "gradient"
    randomness = "the starting points"

    norm: Literal["linf", "l2"] = "linf"
    loss: Literal["ce", "dlr", "targeted_dlr"] = "ce"
    """What is ascended. dlr needs at least 3 classes, targeted_dlr 4."""
    steps: PositiveInt = 100
    """Number of gradient steps of a run."""
    restarts: PositiveInt = 1
    """Runs from different random starts; each attacks only the images that still stand."""
    targets: PositiveInt = 9
    """Number of target classes that targeted_dlr tries, K - 1 at most."""
    rho: Share = 0.75
    """Share of rising steps below which the step size is halved."""

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        best = x.clone()
        steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        trace = {"loss": x.new_zeros(len(x)), "halvings": torch.zeros_like(steps)}
        stand = torch.arange(len(x), device=x.device)
        run = 0
        for aim in self._aims(oracle, x, y, target):
            for _ in range(self.restarts):
                clean, label = x[stand], y[stand]
                # What counts is leaving the label, whatever class the loss leads to.
                goal = at_rows(target, stand)
                # Two streams a run: the l2 ball draws a direction and a radius.
                start = self.threat.random_start(clean, rng, 2 * run)
                climb = _Climb(self, oracle.restrict(stand), clean, start)
                climb.run(label, at_rows(aim, stand), goal)
                best[stand], trace["loss"][stand] = climb.best, climb.top
                steps[stand] += climb.steps
                trace["halvings"][stand] = climb.halvings
                run += 1
                stand = stand[~climb.found]
                if not len(stand):
                    return Candidate(best, steps, trace)
        return Candidate(best, steps, trace)

    def _aims(self, oracle, x, y, target):
        """For each run the classes (N) that the loss leads to, or none to lead away from y."""
        if self.loss != "targeted_dlr" or target is not None:
            return [target]
        return list(leading_classes(oracle.logits(x), y, self.targets).T)


def leading_classes(logits: torch.Tensor, y: torch.Tensor, count: int) -> torch.Tensor:
    """The classes other than ``y`` with the largest logits, in falling order, N x count.

    Where there are fewer other classes than ``count``, all of them.
    """
    others = logits.scatter(1, y[:, None], -torch.inf)
    return others.topk(min(count, logits.shape[1] - 1), dim=1).indices


def checkpoints(steps: int) -> list[int]:
    """The iterations w_0 = 0, w_1, ... at which step sizes are reviewed, at most ``steps``.

    w_j = ceil(p_j steps), p_0 = 0, p_1 = 0.22, p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06)
    (Croce and Hein 2020a, "Auto-PGD").
    """
    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    # Shares are sums of hundredths: 0.41 + 0.16 is to be 0.57, not a bit more.
    found = {math.ceil(round(share * steps, 6)) for share in shares}
    return sorted(w for w in found if w <= steps)


class _Climb:
    """One run of APGD; each image has its own step size, best point and end."""

    def __init__(self, attack: APGD, oracle, x: torch.Tensor, start: torch.Tensor) -> None:
        self.attack, self.threat, self.oracle, self.x = attack, attack.threat, oracle, x
        self.best = start.clone()
        self.best_gradient = torch.zeros_like(x)
        self.top = x.new_full((len(x),), -torch.inf)
        self.found = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        self.steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        self.halvings = torch.zeros_like(self.steps)
        # For linf both constraints are one interval for each pixel.
        radius = self.threat.radius(x)
        self.low = (x - radius).clamp(*self.threat.bounds)
        self.high = (x + radius).clamp(*self.threat.bounds)

    def run(self, y, aim, target) -> None:
        """Ascend the loss that ``y`` or ``aim`` define, until ``y`` is left or ``target`` met."""
        objective = cross_entropy if self.attack.loss == "ce" else dlr
        review = checkpoints(self.attack.steps)
        rows = torch.arange(len(self.x), device=self.x.device)
        point = previous = self.best.clone()
        eta = 2 * self.threat.radius(self.x)
        before, last_top = self.top, self.top.clone()  # which _note changes in place
        rises = torch.zeros_like(self.steps)
        halved = torch.zeros_like(self.found)
        for k in range(self.attack.steps + 1):

            def loss(logits, rows=rows):
                return objective(logits, y[rows], at_rows(aim, rows))

            if k < self.attack.steps:
                value, logits, gradient = self.oracle.gradient(point, loss, rows)
            else:
                logits = self.oracle.logits(point, rows)
                value, gradient = loss(logits), torch.zeros_like(point)
            self._note(point, value, gradient, rows)
            won = self._won(point, logits, y, target, rows)
            if won.any():
                keep = ~won
                point, previous, gradient = point[keep], previous[keep], gradient[keep]
                value, before, last_top = value[keep], before[keep], last_top[keep]
                eta, rises, halved, rows = eta[keep], rises[keep], halved[keep], rows[keep]
            if not len(rows) or k == self.attack.steps:
                break
            rises = rises + (value > before) if k else rises
            before = value
            if k in review[1:]:
                needed = self.attack.rho * (k - review[review.index(k) - 1])
                top = self.top[rows]
                halved = (rises < needed) | (~halved & (last_top >= top))
                self.halvings[rows] += halved
                one = per_image(halved, eta)
                eta = torch.where(one, eta / 2, eta)
                point = torch.where(one, self.best[rows], point)
                gradient = torch.where(one, self.best_gradient[rows], gradient)
                last_top, rises = top, torch.zeros_like(rises)
            point, previous = self._move(point, previous, gradient, eta, rows, k), point
            self.steps[rows] += 1

    def _note(self, point, value, gradient, rows) -> None:
        """Keep the best points; one that a loss of not-a-number would hide is none."""
        better = value > self.top[rows]
        at = rows[better]
        self.best[at], self.best_gradient[at] = point[better], gradient[better]
        self.top[at] = value[better]

    def _won(self, point, logits, y, target, rows) -> torch.Tensor:
        """Which images are done: adversarial also once they are settled in the threat model."""
        won, settled = confirm(self.threat, self.oracle, point, logits, self.x, y, target, rows)
        self.best[rows[won]], self.found[rows[won]] = settled, True
        return won

    def _move(self, point, previous, gradient, eta, rows, k) -> torch.Tensor:
        straight = self._project(point + eta * direction(gradient, self.attack.norm), rows)
        if k == 0:
            return straight
        weight = _MOMENTUM
        moved = torch.lerp(point, straight, weight).add_(point - previous, alpha=1 - weight)
        return self._project(moved, rows)

    def _project(self, point, rows):
        if self.attack.norm == "linf":
            whole = len(rows) == len(self.x)
            low, high = (self.low, self.high) if whole else (self.low[rows], self.high[rows])
            return point.clamp_(low, high)
        return self.threat.project(point, self.x[rows])
