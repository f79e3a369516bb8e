"""The runs of APGD: ascents in which each image has its own step size, best point and end."""

from __future__ import annotations

import math
from collections.abc import Callable

from advsparse.attacks._ball_in_box import project
from advsparse.attacks._confirm import at_rows, confirm
from advsparse.attacks._dlr import dlr
from advsparse.attacks._losses import cross_entropy, direction
from advsparse.lazy import torch
from advsparse.shapes import per_image
from advsparse.threat import Threat

_MOMENTUM = 0.75
"""alpha, the weight of the new step against the last move (Croce and Hein 2020a, "Auto-PGD")."""

_REVIEW, _FIRST_SHARE = 0.04, 0.2
"""Of l1: the share of the steps after which they are reviewed, and that of the entries which the
first of them move."""

_FEWER, _SHRINK, _LEAST = 0.95, 1.5, 0.1
"""Of l1: share of the changed entries below which there are clearly fewer; what step sizes and
numbers of entries are divided by; and the least step as a share of the first."""

_INSIDE = 1 - 1e-12
"""Share of the l1 radius that is used: sums of many entries are rounded, in float64 too."""


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


class Climb:
    """One run in linf or l2.

    ``x``: the clean images; ``start``: where it begins; ``loss``: "ce", or else the DLR loss;
    ``rho``: share of rising steps below which a step size is halved; ``radius``: for linf that of
    each image, N x 1 x ... x 1, where it is not the threat's.
    """

    def __init__(
        self,
        threat: Threat,
        oracle,
        x: torch.Tensor,
        start: torch.Tensor,
        loss: str,
        rho: float,
        *,
        radius: torch.Tensor | None = None,
    ) -> None:
        self.threat, self.oracle, self.x = threat, oracle, x
        self.radius = threat.radius(x) if radius is None else radius
        self.objective, self.rho = cross_entropy if loss == "ce" else dlr, rho
        self.best = start.clone()
        self.best_gradient = torch.zeros_like(x)
        self.top = x.new_full((len(x),), -torch.inf)
        self.found = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        self.steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        self.halvings = torch.zeros_like(self.steps)
        self._begin()

    def _begin(self) -> None:
        """What the rule of the step sizes goes by."""
        self.eta = 2 * self.radius
        self._before, self._last_top = self.top.clone(), self.top.clone()
        self._rises = torch.zeros_like(self.steps)
        self._halved = torch.zeros_like(self.found)
        self._around = None

    def _reviews(self, steps: int) -> list[int]:
        return checkpoints(steps)

    def run(self, steps: int, y, aim, target, *, ends: bool = True) -> None:
        """Ascend the loss that ``y`` or ``aim`` define, until ``y`` is left or ``target`` met, or
        to the last step unless it ``ends`` there."""
        reviews = self._reviews(steps)
        rows = torch.arange(len(self.x), device=self.x.device)
        point = previous = self.best.clone()
        for k in range(steps + 1):

            def loss(logits, rows=rows):
                return self.objective(logits, y[rows], at_rows(aim, rows))

            if k < steps:
                value, logits, gradient = self.oracle.gradient(point, loss, rows)
            else:
                logits = self.oracle.logits(point, rows)
                value, gradient = loss(logits), torch.zeros_like(point)
            self._note(point, value, gradient, rows)
            won = self._won(point, logits, y, target, rows) if ends else torch.zeros_like(rows) > 0
            if won.any():
                keep = ~won
                point, previous, gradient = point[keep], previous[keep], gradient[keep]
                value, rows = value[keep], rows[keep]
            if not len(rows) or k == steps:
                break
            self._watch(value, rows, k)
            if k in reviews[1:]:
                again = self._review(rows, k - reviews[reviews.index(k) - 1])
                one = per_image(again, point)
                point = torch.where(one, self.best[rows], point)
                gradient = torch.where(one, self.best_gradient[rows], gradient)
            point, previous = self._move(point, previous, gradient, rows, k), point
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

    def _watch(self, value, rows, k) -> None:
        if k:
            self._rises[rows] += value > self._before[rows]
        self._before[rows] = value

    def _review(self, rows, steps) -> torch.Tensor:
        """Which images go on from their best point, with a smaller step."""
        top = self.top[rows]
        halved = (self._rises[rows] < self.rho * steps) | (
            ~self._halved[rows] & (self._last_top[rows] >= top)
        )
        self.halvings[rows] += halved
        self.eta[rows] = torch.where(
            per_image(halved, self.eta), self.eta[rows] / 2, self.eta[rows]
        )
        self._halved[rows], self._last_top[rows], self._rises[rows] = halved, top, 0
        return halved

    def _move(self, point, previous, gradient, rows, k) -> torch.Tensor:
        step = direction(gradient, self.threat.norm).mul_(self.eta[rows])
        straight = self._project(step.add_(point), rows)
        if k == 0:
            return straight
        weight = _MOMENTUM
        before = torch.sub(point, previous, out=previous)  # which nothing asks for any more
        moved = torch.lerp(point, straight, weight, out=straight)
        return self._project(moved.add_(before, alpha=1 - weight), rows)

    def _project(self, point, rows):
        if rows is not self._around:  # images leave seldom
            self._around, self._projection = rows, self._onto(rows)
        return self._projection(point)

    def _onto(self, rows) -> Callable[[torch.Tensor], torch.Tensor]:
        """The projection onto what the threat model allows these images; it may overwrite."""
        x = self.x[rows]
        if self.threat.norm != "linf":
            return lambda point: self.threat.project(point, x)
        # Both constraints are one interval for each pixel.
        radius, box = self.radius[rows], self.threat.bounds
        low, high = (x - radius).clamp_(*box), (x + radius).clamp_(*box)
        return lambda point: point.clamp_(low, high)


class SparseClimb(Climb):
    """One run in l1: each step moves some entries only, and as many fewer as turn out to matter.

    ``warm``: whether the start is the end of another run, and tells how many do.
    """

    def __init__(self, *given, warm: bool = False) -> None:
        self._warm = warm
        super().__init__(*given)

    def _begin(self) -> None:
        self.eta = self.radius
        self._first = self.eta.clone()
        self._entries = self.x[0].numel()
        self._changed = self._count(slice(None))
        if self._warm:
            self._share = self._changed / self._entries / _SHRINK
        else:
            self._share = torch.full_like(self.top, _FIRST_SHARE)
            self._changed = torch.full_like(self._changed, self._entries)

    def _count(self, rows) -> torch.Tensor:
        """How many entries the best points change."""
        return (self.best[rows] != self.x[rows]).flatten(1).sum(1).to(self.x.dtype)

    def _reviews(self, steps: int) -> list[int]:
        return list(range(0, steps + 1, max(int(_REVIEW * steps), 1)))

    def _watch(self, value, rows, k) -> None:
        pass

    def _review(self, rows, steps) -> torch.Tensor:
        """Which images change clearly fewer entries than before, and begin anew with few."""
        changed = self._count(rows)
        fewer = changed < _FEWER * self._changed[rows]
        first = self._first[rows]
        smaller = torch.maximum(self.eta[rows] / _SHRINK, _LEAST * first)
        self.halvings[rows] += ~fewer & (smaller < self.eta[rows]).flatten()
        self.eta[rows] = torch.where(per_image(fewer, first), first, smaller)
        self._share[rows], self._changed[rows] = changed / self._entries / _SHRINK, changed
        return fewer

    def _move(self, point, previous, gradient, rows, k) -> torch.Tensor:
        unit = _sparse_sign(gradient.flatten(1), self._share[rows]).reshape(point.shape)
        return project_l1(point + self.eta[rows] * unit, self.x[rows], self.threat)


def _sparse_sign(gradient: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """The signs of that share of the entries whose slopes are steepest, of unit l1 norm, N x P."""
    size, entries = gradient.abs(), gradient.shape[1]
    count = (entries - ((1 - share) * entries).floor()).clamp(1, entries).long()
    top = size.topk(int(count.max()), dim=1).values
    least = top.gather(1, count[:, None] - 1)
    unit = torch.where(size >= least, gradient.sign(), 0.0)
    return unit / (unit != 0).sum(1, keepdim=True).clamp(min=1)


def project_l1(point: torch.Tensor, x: torch.Tensor, threat: Threat) -> torch.Tensor:
    """The nearest point that is both in the l1 ball around ``x`` and in the box."""
    d = project(point - x, x, "l1", threat.radius(x).flatten() * _INSIDE)
    return (x + d).clamp(*threat.bounds)
