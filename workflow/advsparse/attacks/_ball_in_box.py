r"""Exact projections of perturbations onto a ball within the box, many images at once.

The problem, for each image, with the room low <= 0 <= high that its pixels have:

.. math:: \min_z \|z - u\|_2 \quad \text{subject to} \quad \|z\|_p \le \epsilon,\;
          low \le z \le high

Onto the ball first and then into the box is another point, too short where the box cuts it: for l1
it is far from the one that is wanted (Croce and Hein 2021, section 2).
"""

from __future__ import annotations

from advsparse.attacks._secants import root_from_below
from advsparse.lazy import torch

_ROUNDS = 60
"""More than Newton's steps and halvings take to the last digit."""

_CLOSE = 1e-6
"""Share of a radius that rounding may leave out."""

_BLOCK = 8
"""Entries of which the largest is looked at first."""


class Balls:
    """Balls around the images ``x`` in [0, 1], onto which one perturbation after another is
    projected: for l1 each time from the threshold of the time before.

    All is arithmetic of real numbers, as comparisons take torch many times as long on a CPU.
    """

    def __init__(self, x: torch.Tensor, norm: str) -> None:
        self._norm = norm
        # What may be added: x + (1 - x) is never above 1, whatever is rounded.
        self._low, self._high = -x.flatten(1), 1 - x.flatten(1)
        self._threshold = x.new_zeros(len(x))

    def project(self, u: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
        """The nearest perturbations within balls of ``radius`` (N)."""
        into = {"linf": self._linf, "l2": self._l2, "l1": self._l1, "l0": self._l0}
        return into[self._norm](u.flatten(1), radius).reshape(u.shape)

    def _boxed(self, u):
        return torch.minimum(torch.maximum(u, self._low), self._high)

    def _linf(self, u, radius):
        r = radius[:, None]
        return self._boxed(torch.minimum(torch.maximum(u, -r), r))

    def _l2(self, u, radius):
        """clip(s u) for the s <= 1 at which its norm is the radius, or for 1 if it is not longer.

        The square of the norm, as a function of s^2, is concave and linear in pieces.
        """
        length = torch.linalg.vector_norm(u, dim=1)
        tiny = torch.finfo(u.dtype).tiny
        share = torch.where(length > radius, radius / length.clamp(min=tiny), 1.0).square()

        def square(share, rows):
            some = slice(None) if len(rows) == len(u) else rows
            scaled = u[some] * share.sqrt()[:, None]
            cut = torch.minimum(torch.maximum(scaled, self._low[some]), self._high[some])
            return torch.linalg.vector_norm(cut, dim=1).square()

        goal = radius.square()
        share = root_from_below(square, share, goal, 2 * _CLOSE * goal, 1.0)
        return self._boxed(u * share.sqrt()[:, None])

    def _l1(self, u, radius):
        """sign(u) min(max(|u| - t, 0), room) for the t >= 0 at which its l1 norm is the radius."""
        inside = self._boxed(u)
        free, room = u.abs(), inside.abs()
        length = room.sum(1)
        # No entry falls faster than t rises.
        least = (length - radius).clamp(min=0) / u.shape[1]
        start = torch.where(length > radius, torch.maximum(self._threshold, least), 0.0)
        t = _threshold(free, room, start, torch.minimum(radius, length))
        self._threshold = t
        return torch.minimum(free.sub_(t[:, None]).clamp_(min=0), room).copysign_(u)

    def _l0(self, u, radius):
        """The entries whose change brings them most, as many as the radius says."""
        inside = self._boxed(u)
        most = min(int(radius.max()), u.shape[1])
        best = _largest(inside * (2 * u - inside), most)
        values = inside.gather(1, best)
        values = values * (torch.arange(most, device=u.device) < radius.floor()[:, None])
        return torch.zeros_like(u).scatter(1, best, values)


def project(u: torch.Tensor, x: torch.Tensor, norm: str, radius: torch.Tensor) -> torch.Tensor:
    """The nearest perturbations of the images ``x`` in [0, 1] within balls of ``radius`` (N)."""
    return Balls(x, norm).project(u, radius)


def _largest(values, count):
    """Where the ``count`` largest entries of each row are, the largest first.

    They are in the blocks with the largest entries, as many.
    """
    if values.shape[1] % _BLOCK or 2 * count * _BLOCK > values.shape[1]:
        return values.topk(count, dim=1).indices
    blocks = values.unflatten(1, (-1, _BLOCK))
    chosen = blocks.amax(2).topk(count, dim=1).indices
    some = blocks.gather(1, chosen[:, :, None].expand(-1, -1, _BLOCK)).flatten(1)
    at = some.topk(count, dim=1).indices
    return chosen.gather(1, at // _BLOCK) * _BLOCK + at % _BLOCK


def _threshold(free, room, t, radius):
    """Where the sum of min(max(free - t, 0), room), which falls, is the radius.

    Newton's steps, and halvings where they leave what is known to hold the root. An image ends once
    the sum is the radius but for rounding.
    """
    found, rows = t.clone(), torch.arange(len(t), device=t.device)
    close = 16 * torch.finfo(free.dtype).eps * radius
    low, high = torch.zeros_like(t), free.amax(1)
    for _ in range(_ROUNDS):
        less = torch.sub(free, t[:, None]).clamp_(min=0)
        kept = torch.minimum(less, room)
        height = kept.sum(1) - radius
        low = torch.where(height > 0, t, low)
        high = torch.where(height > 0, high, t)
        # Those that are neither 0 nor cut off are what the sum falls by.
        moving = less.sign_().mul_(kept.sub_(room).sign_()).sum(1)
        step = t - height / moving
        middle = torch.where((step >= low) & (step <= high), step, (low + high) / 2)
        going = (height.abs() > close) & (middle != t)
        left = int(going.sum())
        if not left:
            break
        t = torch.where(going, middle, t)
        found[rows] = t
        if 2 * left <= len(t):
            rows, t, low, high = rows[going], t[going], low[going], high[going]
            free, room, radius, close = free[going], room[going], radius[going], close[going]
    return found
