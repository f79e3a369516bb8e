"""Smallest steps onto a hyperplane within a box, exactly and for many images at once."""

from __future__ import annotations

from advsparse.lazy import torch

_FEW = 64
"""The least number of entries that are looked at by themselves."""


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

    With c_j >= 0 the room that pixel j has in the direction of sign(gap) w_j, the solution is |d_j|
    = min(r_j t, c_j), where r_j is 1 for linf and |w_j| for l2, and t is the root of

    .. math:: g(t) = \sum_j |w_j| \min(r_j t, c_j) = |gap|.

    g is concave, rises and is linear between the points c_j / r_j. Newton's method from t = 0 never
    passes the root, passes a point with each step but the last, and ends in it: few passes over
    the pixels, where sorting them would cost some ten.

    For l1 the pixels of largest |w_j| take all the room they have, but for the last, which takes
    what is left.
    """
    low, high = bounds
    tiny = torch.finfo(x.dtype).tiny
    sign = w.sign() * torch.where(gap < 0, -1.0, 1.0).to(x.dtype)[:, None]
    size = w.abs()
    scale = size.amax(1).clamp(min=tiny)
    size = size / scale[:, None]
    goal = gap.abs() / scale
    room = torch.where(sign > 0, high - x, x - low)
    if norm == "l1":
        return sign * _filled(size, room, goal)
    rate = size if norm == "l2" else torch.ones_like(size)
    full = size * room
    # Beyond all points: a hyperplane that misses the box is approached as far as it goes.
    end = torch.finfo(x.dtype).max
    missed = full.sum(1) <= goal
    t = torch.zeros_like(goal).masked_fill(missed, end)
    rows = (~missed).nonzero().flatten()
    part = (size[rows], rate[rows], room[rows], full[rows], goal[rows], t[rows])
    while len(rows):
        size_, rate_, room_, full_, goal_, t_ = part
        free = rate_ * t_[:, None] < room_
        slope = torch.where(free, size_ * rate_, 0.0).sum(1)
        held = torch.where(free, 0.0, full_).sum(1)
        root = ((goal_ - held) / slope.clamp(min=tiny)).clamp(max=end)
        # A row whose pixels are free as before gets the same root again, and ends.
        going = root > t_
        t[rows[going]] = root[going]
        rows = rows[going]
        part = (*(values[going] for values in part[:-1]), root[going])
    return sign * torch.minimum(rate * t[:, None], room)


def _filled(size, room, goal):
    """The least |d| with sum_j size_j |d_j| = goal, or all the room where that is not enough.

    Only the largest entries are looked at where they are enough, which is nearly always.
    """
    found = torch.zeros_like(size)
    rows = torch.arange(len(size), device=size.device)
    for count in (max(_FEW, size.shape[1] // 16), size.shape[1]):
        top, at = size[rows].topk(min(count, size.shape[1]), dim=1)
        space = room[rows].gather(1, at)
        worth = top * space
        behind = worth.cumsum(1)
        left = goal[rows, None] - behind + worth
        part = torch.minimum(
            (left / top.clamp(min=torch.finfo(top.dtype).tiny)).clamp(min=0), space
        )
        enough = behind[:, -1] >= goal[rows]
        done = enough if count < size.shape[1] else torch.ones_like(enough)
        found[rows[done]] = found[rows[done]].scatter(1, at[done], part[done])
        rows = rows[~done]
        if not len(rows):
            break
    return found
