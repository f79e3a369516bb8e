"""Roots of many concave functions at once, by secants: one look at each function a step."""

from __future__ import annotations

from collections.abc import Callable

from advsparse.lazy import torch

_ROUNDS = 100
"""More than secants take to the last digit."""


def root_from_below(
    value: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    t: torch.Tensor,
    goal: torch.Tensor,
    close: torch.Tensor,
    most: float,
) -> torch.Tensor:
    """Where each function, which rises from 0 in 0 and is concave, comes to its goal, N.

    value: (t, rows) -> what the functions of some rows are at t; t: N points, none above its root;
    close: what a value may lack; most: the largest t that is tried, where none is enough.

    A secant lies above a concave function ahead of its two points, so that it never leads past the
    root, and ends in it where the function is linear in pieces. The first one goes through 0.
    """
    found = t.clone()
    rows = torch.arange(len(t), device=t.device)
    t0, v0 = torch.zeros_like(t), torch.zeros_like(t)
    for _ in range(_ROUNDS):
        v = value(t, rows)
        # 0 / 0 where a row is done, which then is no step ahead.
        ahead = (t + (goal - v) * (t - t0) / (v - v0)).clamp(max=most)
        going = (v < goal - close) & (ahead > t)
        left = int(going.sum())
        if not left:
            break
        t0, v0, t = t, v, torch.where(going, ahead, t)
        found[rows] = t
        if 2 * left <= len(t):
            rows, t, t0, v0 = rows[going], t[going], t0[going], v0[going]
            goal, close = goal[going], close[going]
    return found
