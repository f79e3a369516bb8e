r"""L-BFGS in a box, for many images at once.

The problem, one for each image:

.. math:: \min_z f(z) \quad \text{subject to} \quad low \le z \le high

Projected quasi-Newton steps z(t) = P(z + t d) with d = -H g, where H is the L-BFGS matrix of the
last pairs (s, y) on the free pixels, those that the gradient does not push out of the box, and t is
halved until Armijo's condition holds (Nocedal and Wright 2006, algorithm 7.4; Bertsekas 1982 for
the free set). Each evaluation is one trial step of every image that is still moving: those that
accept theirs go on, the others shorten it, and none waits for another.
"""

from __future__ import annotations

from collections.abc import Callable

from advsparse.lazy import torch

Evaluate = Callable[..., "tuple[torch.Tensor, torch.Tensor]"]
"""(z, rows) to values (float64, N) and gradients (N x P): z is N x P, rows the images it holds."""

PAIRS = 8
"""Pairs (s, y) that are remembered."""

_ARMIJO = 1e-4
_HALVINGS = 20
"""Failed trials after which an image has arrived."""

_LONGEST = 1.0
"""Length of the first step: nothing is known of the curvature yet."""


def minimise(
    evaluate: Evaluate,
    start: torch.Tensor,
    *,
    evaluations: int,
    tolerance: float,
    bounds: tuple[float, float],
) -> torch.Tensor:
    """The last accepted point of each image, N x P, after at most so many ``evaluations``.

    An image has arrived once a step lowers its value by less than ``tolerance`` of it.
    """
    found = start.clone()
    rows = torch.arange(len(start), device=start.device)
    value, gradient = evaluate(start, rows)
    state = _State(start.clone(), value, gradient, bounds)
    for _ in range(evaluations - 1):
        trial = state.trial()
        moved = trial - state.z
        value, gradient = evaluate(trial, rows)
        expected = (state.g.double() * moved.double()).sum(1)
        accepted = value <= state.f + _ARMIJO * expected
        drop = state.f - value
        small = drop <= tolerance * state.f.abs().clamp(min=1)
        found[rows[accepted]] = trial[accepted]
        state.advance(accepted, trial, value, gradient)
        moving = torch.where(accepted, ~small, state.halvings < _HALVINGS)
        if not moving.all():
            rows = rows[moving]
            state.keep(moving)
            if not len(rows):
                break
    return found


class _State:
    """Points, values, gradients and curvature of the images that are still moving."""

    def __init__(self, z, value, gradient, bounds) -> None:
        self.z, self.f, self.g, self.bounds = z, value, gradient, bounds
        self.s = z.new_zeros((PAIRS, *z.shape))
        self.y = torch.zeros_like(self.s)
        self.t = z.new_ones(len(z))
        self.halvings = torch.zeros(len(z), dtype=torch.int64, device=z.device)
        self.d = self._direction()

    def trial(self):
        return (self.z + self.t[:, None] * self.d).clamp(*self.bounds)

    def advance(self, accepted, trial, value, gradient) -> None:
        """Move the images whose trial was ``accepted``; halve the steps of the others."""
        s, y = trial - self.z, gradient - self.g
        # A pair of no curvature would make the matrix indefinite.
        curved = accepted & ((s * y).sum(1) > 1e-10 * s.norm(dim=1) * y.norm(dim=1))
        if curved.any():
            for pairs, new in ((self.s, s), (self.y, y)):
                pairs[:, curved] = torch.cat([pairs[1:, curved], new[None, curved]])
        self.z = torch.where(accepted[:, None], trial, self.z)
        self.g = torch.where(accepted[:, None], gradient, self.g)
        self.f = torch.where(accepted, value, self.f)
        self.t = torch.where(accepted, 1.0, self.t / 2)
        self.halvings = torch.where(accepted, 0, self.halvings + 1)
        if accepted.any():
            self.d = torch.where(accepted[:, None], self._direction(), self.d)

    def keep(self, chosen) -> None:
        self.s, self.y = self.s[:, chosen], self.y[:, chosen]
        for name in ("z", "f", "g", "t", "halvings", "d"):
            setattr(self, name, getattr(self, name)[chosen])

    def _direction(self):
        """-H g on the free pixels, 0 on the others; the two-loop recursion."""
        low, high = self.bounds
        free = ~(((self.z <= low) & (self.g > 0)) | ((self.z >= high) & (self.g < 0)))
        q = self.g * free
        s, y = self.s * free, self.y * free
        sy, yy = (s * y).sum(2), (y * y).sum(2)
        # On the free pixels alone a pair may have lost its curvature: it is passed over.
        usable = sy > 1e-10 * yy
        rho = torch.where(usable, 1 / sy.clamp(min=torch.finfo(sy.dtype).tiny), 0.0)
        scale = _LONGEST / q.norm(dim=1).clamp(min=_LONGEST)
        for k in range(PAIRS):  # the last usable pair decides
            scale = torch.where(usable[k], sy[k] / yy[k], scale)
        alpha = [None] * PAIRS
        for k in reversed(range(PAIRS)):
            alpha[k] = rho[k] * (s[k] * q).sum(1)
            q = q - alpha[k][:, None] * y[k]
        q = scale[:, None] * q
        for k in range(PAIRS):
            beta = rho[k] * (y[k] * q).sum(1)
            q = q + (alpha[k] - beta)[:, None] * s[k]
        return -q * free
