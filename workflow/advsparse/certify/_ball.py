r"""The images near to one: a ball in some norm, within the box of valid pixels.

.. math:: \mathcal{A} = \{a : \|a - x\| \le R, \; low \le a \le high\}

What bounds and attacks ask of it is the maximum of linear functions, and the nearest point of the
box at which one of them is large enough. Both are exact, up to rounding, in every norm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

Array = np.ndarray

NORMS = ("linf", "l2", "l1", "l0")


@dataclass(frozen=True)
class Ball:
    """Vectors within ``radius`` of ``x`` (P, float64), in the norm and in the box."""

    x: Array
    norm: str
    radius: float
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise ValueError(f"no certificate is defined for the norm {self.norm!r}")
        if not ((self.x >= self.low) & (self.x <= self.high)).all():
            raise ValueError(f"an image must lie within [{self.low:g}, {self.high:g}]")

    def of(self, radius: float) -> Ball:
        """The ball of another radius."""
        return replace(self, radius=radius)

    @property
    def widest(self) -> float:
        """The radius at which it holds the whole box of images in [0, 1]."""
        count = len(self.x)
        return {"linf": 1.0, "l2": float(np.sqrt(count))}.get(self.norm, float(count))

    def below(self, distance: float, gap: float) -> float:
        """The radius that holds nothing if no image is nearer than ``distance``, up to a relative
        gap; in l0, whose distances are whole numbers, the number before."""
        return distance - 1 if self.norm == "l0" else distance * (1 - gap)

    @cached_property
    def rooms(self) -> tuple[Array, Array]:
        """How far each pixel can go down and up: within the box, and within a ball in linf."""
        down, up = self.x - self.low, self.high - self.x
        if self.norm == "linf":
            down, up = np.minimum(down, self.radius), np.minimum(up, self.radius)
        return down, up

    def distance(self, a: Array) -> Array:
        """The distance of vectors ``a``, N x P or P."""
        return distance(a - self.x, self.norm)

    def largest(self, c: Array) -> tuple[Array, Array]:
        """The maximum of c . a over the ball for each row of ``c`` (J x P), and where it is."""
        a = self.x + self._step(c)
        return (c * a).sum(1), a

    def support(self, c: Array) -> Array:
        """The maximum alone, of c . a for each row."""
        if self.norm == "linf":
            # From the lowest corner on, whose pixels go up where that is of use.
            down, up = self.rooms
            return c @ (self.x - down) + np.maximum(c, 0) @ (down + up)
        return self.largest(c)[0]

    def slopes(self, c: Array) -> Callable[[Array], Array]:
        """c . a at the maximisers a of other rows, for each row: a function of those."""
        if self.norm == "linf":
            down, up = self.rooms
            lowest, weights = c @ (self.x - down), c * (down + up)
            return lambda rows: lowest + ((rows > 0) * weights).sum(1)
        return lambda rows: (c * self.largest(rows)[1]).sum(1)

    def _step(self, c: Array) -> Array:
        """The maximisers' distance from x, J x P."""
        down, up = self.rooms
        if self.norm == "linf":
            return np.where(c > 0, up, -down)
        room = np.where(c > 0, up, down)
        if self.norm == "l2":
            return np.sign(c) * _water(np.abs(c), room, self.radius)
        order = np.argsort(-np.abs(c) * (room if self.norm == "l0" else 1.0), axis=1)
        sorted_room = np.take_along_axis(room, order, 1)
        if self.norm == "l0":
            taken = np.where(np.arange(c.shape[1]) < int(self.radius), sorted_room, 0.0)
        else:
            before = np.cumsum(sorted_room, axis=1) - sorted_room
            taken = np.clip(self.radius - before, 0, sorted_room)
        steps = np.empty_like(c)
        np.put_along_axis(steps, order, taken, 1)
        return np.where(c == 0, 0.0, np.sign(c)) * steps


def _water(size: Array, room: Array, radius: float) -> Array:
    """min(size / mu, room) with the mu at which its l2 norm is the radius, for each row; room
    itself where that is no longer. Zeros stay where they are."""
    far = np.where(size > 0, room, 0.0)
    outside = np.sqrt((far**2).sum(1)) > radius
    if not outside.any():
        return far
    s, r = size[outside], far[outside]
    # Those with the largest size beside their room go all the way; of mu, as many as that takes.
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(r > 0, s / r, np.inf)
        order = np.argsort(-ratio, axis=1)
        ratio = np.take_along_axis(ratio, order, 1)
        s2 = np.take_along_axis(np.where(r > 0, s, 0.0), order, 1) ** 2
        r2 = np.take_along_axis(r, order, 1) ** 2
        left = radius**2 - (np.cumsum(r2, axis=1) - r2)
        rest = np.cumsum(s2[:, ::-1], axis=1)[:, ::-1]
        mu = np.sqrt(rest / np.maximum(left, 0))
        first = ((ratio <= mu) & (left > 0)).argmax(1)
        mu = mu[np.arange(len(s)), first][:, None]
        far[outside] = np.where(r > 0, np.minimum(s / mu, r), 0.0)
    return far


def distance(d: Array, norm: str) -> Array:
    """The norm of vectors, N x P or P."""
    match norm:
        case "linf":
            return np.abs(d).max(-1)
        case "l2":
            return np.sqrt((d**2).sum(-1))
        case "l1":
            return np.abs(d).sum(-1)
    return (d != 0).sum(-1).astype(float)


def nearest(ball: Ball, c: Array, need: Array) -> Array:
    """The points of the box nearest to x with c . (a - x) >= need, for rows of ``c`` and needs; the
    farthest that there is where no point of the box is enough. The ball's radius is ignored."""
    wide = replace(ball, radius=np.inf)
    down, up = wide.x - wide.low, wide.high - wide.x
    room = np.where(c > 0, up, down)
    size = np.abs(c)
    need = np.maximum(need, 0.0)[:, None]
    if ball.norm in ("l1", "l0"):
        order = np.argsort(-size * (room if ball.norm == "l0" else 1.0), axis=1)
        gain = np.take_along_axis(size * room, order, 1)
        before = np.cumsum(gain, axis=1) - gain
        share = np.clip((need - before) / np.maximum(gain, 1e-300), 0, 1)
        if ball.norm == "l0":  # a pixel that is changed may as well go all the way
            share = np.ceil(share)
        step = np.empty_like(c)
        np.put_along_axis(step, order, share * np.take_along_axis(room, order, 1), 1)
    elif ball.norm == "linf":
        order = np.argsort(room, axis=1)
        r, s = np.take_along_axis(room, order, 1), np.take_along_axis(size, order, 1)
        full = np.cumsum(s * r, axis=1) - s * r  # pixels of less room, all the way
        rest = np.cumsum(s[:, ::-1], axis=1)[:, ::-1]  # the others, as far as each other
        reached = full + rest * r >= need
        first = np.where(reached.any(1), reached.argmax(1), c.shape[1] - 1)[:, None]
        at = (np.take_along_axis(full, first, 1), np.take_along_axis(rest, first, 1))
        eps = (need - at[0]) / np.maximum(at[1], 1e-300)
        eps = np.where(reached.any(1)[:, None], eps, np.inf)
        step = np.minimum(room, eps)
    else:
        low, high = np.zeros(len(c)), np.full(len(c), 1e300)
        with np.errstate(over="ignore"):
            for _ in range(200):  # the least multiple t of |c|, cut off at the box, that is enough
                middle = np.where(high > 1e299, 2 * low + 1, (low + high) / 2)
                enough = (size * np.minimum(middle[:, None] * size, room)).sum(1) >= need[:, 0]
                low, high = np.where(enough, low, middle), np.where(enough, middle, high)
                if ((high - low) <= 1e-13 * high).all() or (low > 1e200).all():
                    break
            step = np.minimum(np.minimum(high, 1e200)[:, None] * size, room)
    return ball.x + np.where(c > 0, step, -step) * (c != 0)
