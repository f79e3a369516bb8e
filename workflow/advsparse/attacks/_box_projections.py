"""Smallest steps onto a hyperplane within a box, exactly and for many images at once."""

from __future__ import annotations

from advsparse.lazy import torch


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

    for linf and l2 (the projections of Croce and Hein 2020b). Where the hyperplane misses
    the box, the step to the corner of the box that comes nearest to it.

    x, w: N x P, x within the bounds; gap: N. Returns d, N x P.

    With c_j >= 0 the room that pixel j has in the direction of sign(gap) w_j, the solution is |d_j|
    = min(r_j t, c_j), where r_j is 1 for linf and |w_j| for l2, and t is the root of

    .. math:: g(t) = \sum_j |w_j| \min(r_j t, c_j) = |gap|.

    g is concave, rises and is linear between the points c_j / r_j. Newton's method from t = 0 never
    passes the root, passes a point with each step but the last, and ends in it: few passes over
    the pixels, where sorting them would cost some ten.
    """
    low, high = bounds
    tiny = torch.finfo(x.dtype).tiny
    sign = w.sign() * torch.where(gap < 0, -1.0, 1.0).to(x.dtype)[:, None]
    size = w.abs()
    scale = size.amax(1).clamp(min=tiny)
    size = size / scale[:, None]
    goal = gap.abs() / scale
    room = torch.where(sign > 0, high - x, x - low)
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
