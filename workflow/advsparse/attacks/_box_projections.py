"""Smallest steps onto a hyperplane within a box, exactly and for many images at once."""

from __future__ import annotations

from collections.abc import Sequence

from advsparse.attacks._secants import root_from_below
from advsparse.lazy import torch

_ENTRIES = 2**20
"""Entries that are done at once."""

_FEW = 64
"""The least number of entries that are looked at by themselves."""

_SMALL = 1e-15
"""Normals whose norms lie between this and its inverse are taken as they come."""

_CLOSE = 16
"""How many units of rounding a step may end short of its hyperplane."""


def step_to_hyperplane(
    x: torch.Tensor,
    w: torch.Tensor,
    gap: torch.Tensor,
    norm: str,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> torch.Tensor:
    r"""The shortest step from each point of the box to its hyperplane, without leaving the box.

    .. math:: \min_d \|d\|_p \quad \text{subject to} \quad \langle w, d \rangle = gap,\;
              low \le x + d \le high

    for linf, l2 and l1 (the projections of Croce and Hein 2020b). Where the hyperplane misses the
    box, the step to the corner of the box that comes nearest to it.

    x, w: N x P, x within the bounds; gap: N. Returns d, N x P.

    The solution is d_j = t r_j, cut off where x + d leaves the box, with r_j = w_j for l2 and its
    sign for linf, and t is the root of g(t) = sum_j w_j d_j = gap. From 0 on, |g| is concave, rises
    and is linear between the points where pixels are cut.

    For l1 the pixels of largest |w_j| take all the room they have, but for the last, which takes
    what is left.
    """
    return steps_to_hyperplanes([x], w, [gap], norm, bounds)[0]


def steps_to_hyperplanes(
    points: Sequence[torch.Tensor],
    w: torch.Tensor,
    gaps: Sequence[torch.Tensor],
    norm: str,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> list[torch.Tensor]:
    """:func:`step_to_hyperplane` from several points of each row, whose normal is the same."""
    found = [torch.empty_like(x) for x in points]
    at_once = max(1, _ENTRIES // w.shape[1])
    for start in range(0, len(w), at_once):
        part = slice(start, start + at_once)
        normal = w[part]
        scale = torch.linalg.vector_norm(normal, dim=1)
        if not bool(((scale > _SMALL) & (scale < 1 / _SMALL)).all()):
            scale = normal.abs().amax(1).clamp(min=torch.finfo(w.dtype).tiny)
            normal = normal / scale[:, None]
        else:
            scale = torch.ones_like(scale)
        some = [(x[part], gap[part] / scale) for x, gap in zip(points, gaps, strict=True)]
        steps = _filled(normal, some, bounds) if norm == "l1" else _cut(normal, some, norm, bounds)
        for whole, step in zip(found, steps, strict=True):
            whole[part] = step
    return found


def _cut(w, some, norm, bounds):
    """For l2 and linf: t r, cut off by the box, at the root of g."""
    rate = w if norm == "l2" else w.sign()
    slope = (w * rate).sum(1)
    return [_boxed(w, rate, slope, x, gap, bounds) for x, gap in some]


def _boxed(w, rate, slope, x, gap, bounds):
    tiny, most = torch.finfo(x.dtype).tiny, torch.finfo(x.dtype).max
    least, largest = bounds[0] - x, bounds[1] - x
    sign = gap.sign()

    def step(t, rows):
        some = slice(None) if len(rows) == len(w) else rows
        d = rate[some] * (t * sign[some])[:, None]
        return torch.minimum(torch.maximum(d, least[some]), largest[some])

    def height(t, rows):
        some = slice(None) if len(rows) == len(w) else rows
        return step(t, rows).mul_(w[some]).sum(1) * sign[some]

    goal = gap.abs()
    # Where no pixel is cut off: below the root, or in it.
    start = (goal / slope.clamp(min=tiny)).clamp(max=most)
    t = root_from_below(height, start, goal, _CLOSE * torch.finfo(x.dtype).eps * goal, most)
    return step(t, torch.arange(len(t), device=t.device))


def _filled(w, some, bounds):
    """For l1: of the entries with the largest |w| all the room, until that is enough.

    Only the largest entries are looked at where they are enough, which is nearly always.
    """
    size = w.abs()
    found = [torch.zeros_like(w) for _ in some]
    left = [torch.arange(len(w), device=w.device) for _ in some]
    for count in (min(max(_FEW, w.shape[1] // 16), w.shape[1]), w.shape[1]):
        going = torch.cat(left).unique()
        if not len(going):
            break
        top, at = size[going].topk(count, dim=1)
        sign = w[going].gather(1, at).sign()
        for k, (x, gap) in enumerate(some):
            mine = torch.isin(going, left[k])
            rows = going[mine]
            up = sign[mine] * torch.where(gap[rows] < 0, -1.0, 1.0).to(w.dtype)[:, None]
            here = x[rows].gather(1, at[mine])
            room = torch.where(up > 0, bounds[1] - here, here - bounds[0])
            worth = top[mine] * room
            behind = worth.cumsum(1)
            before = gap[rows].abs()[:, None] - behind + worth
            part = before / top[mine].clamp(min=torch.finfo(w.dtype).tiny)
            part = torch.minimum(part.clamp_(min=0), room) * up
            done = (behind[:, -1] >= gap[rows].abs()) | (count == w.shape[1])
            found[k][rows[done]] = found[k][rows[done]].scatter(1, at[mine][done], part[done])
            left[k] = rows[~done]
    return found
