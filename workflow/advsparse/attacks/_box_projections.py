"""Smallest steps onto a hyperplane within a box, exactly and for many images at once."""

from __future__ import annotations

from collections.abc import Sequence

from advsparse.lazy import torch

_ENTRIES = 2**17
"""Entries that are done at once, so that all there is of them stays in a processor's cache."""

_REACH = 2.0
"""How many times the step that the box cuts nowhere: pixels still free there are set aside."""

_FEW = 64
"""The least number of entries that are looked at by themselves."""

_SMALL = 1e-15
"""Normals whose norms lie between this and its inverse are taken as they come."""

_POOR = 1e-3
"""Share of a slope below which a difference of slopes is taken for rounding."""


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
    and is linear between the points where pixels are cut. Newton's method from below never passes
    the root, passes a point with each step but the last, and ends in it. It looks at the pixels
    near the box alone, as long as the others turn out not to be cut off.

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
    slope = _dot(w, rate)
    return [_boxed(w, rate, slope, x, gap, bounds) for x, gap in some]


def _boxed(w, rate, slope, x, gap, bounds):
    tiny, most = torch.finfo(x.dtype).tiny, torch.finfo(x.dtype).max
    least, largest = bounds[0] - x, bounds[1] - x
    # Where no pixel is cut off: below the root, or in it.
    start = (gap / slope.clamp(min=tiny)).clamp(-most / _REACH, most / _REACH)
    far = rate * (_REACH * start)[:, None]
    near = (far.clamp(least, largest) != far).flatten().nonzero().flatten()
    up = gap > 0
    some = _near(near, w, rate, least, largest, up)
    others = slope - _dot(some[0], some[1])
    # What is left of a difference may be rounding.
    poor = (others < _POOR * slope).nonzero().flatten()
    if len(poor):
        kept = far[poor].clamp(least[poor], largest[poor]) == far[poor]
        others[poor] = (w[poor] * rate[poor]).where(kept, 0.0).sum(1)
    t = _root(*some, others, start.abs(), gap.abs())
    # Then more of them are cut off: all of them are looked at.
    rows = (t > _REACH * start.abs()).nonzero().flatten()
    if len(rows):
        every = torch.arange(w[rows].numel(), device=w.device)
        given = (values[rows] for values in (w, rate, least, largest, up))
        none = torch.zeros_like(others[rows])
        t[rows] = _root(*_near(every, *given), none, start[rows].abs(), gap[rows].abs())
    signed = torch.where(up, t, -t)[:, None]
    return torch.mul(rate, signed, out=far).clamp_(least, largest)


def _near(chosen, w, rate, least, largest, up):
    """|w|, |r| and the room of the ``chosen`` entries, side by side in rows that 0 fills up."""
    row = chosen // w.shape[1]
    counts = torch.bincount(row, minlength=len(w))
    width = int(counts.max())
    place = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    at = row * width + place
    normal = w.flatten()[chosen]
    higher = (normal > 0) == up[row]
    room = torch.where(higher, largest.flatten()[chosen], -least.flatten()[chosen])
    speed = normal if rate is w else rate.flatten()[chosen]
    empty = w.new_zeros(len(w) * width)
    found = (empty.index_copy(0, at, v).reshape(len(w), width) for v in (normal, speed, room))
    normal, speed, room = found
    return normal.abs_(), speed.abs_(), room


def _root(size, rate, room, others, start, goal):
    """|t| where |g| is the goal, given some entries and the slope of all ``others``, all free.

    A hyperplane that misses the box is approached as far as it goes.
    """
    tiny, most = torch.finfo(goal.dtype).tiny, torch.finfo(goal.dtype).max
    full, rise = size * room, size * rate
    t = start.masked_fill((others == 0) & (full.sum(1) <= goal), most)
    for _ in range(size.shape[1] + 1):
        cut = torch.gt(rate * t[:, None], room).to(goal.dtype)
        held = _dot(full, cut)
        slope = _dot(rise, cut.neg_().add_(1)) + others
        # A row whose pixels are free as before gets the same root again.
        root = ((goal - held) / slope.clamp(min=tiny)).clamp(max=most)
        if not (root > t).any():
            break
        t = torch.maximum(t, root)
    return t


def _dot(one, other):
    """The inner products of the rows, N."""
    return torch.bmm(one[:, None], other[:, :, None])[:, 0, 0]


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
