"""FISTA for many LASSO problems at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from advsparse.coding._maps import LinearMap
from advsparse.coding._solving import Flat

CHECK = 5
"""Iterations between two looks at the duality gaps."""

COARSE = 1e-4
"""Duality gap, as a multiple of ||x||^2, down to which float32 is as good as float64."""

DECREASE = 0.8
"""Of the weight in each iteration, on its way from where the code is zero to where it is to be:
the iterates stay sparse then, and half of the iterations are saved."""


@dataclass
class Minimised:
    """What was found for each of N signals."""

    code: torch.Tensor
    energy: torch.Tensor
    """||x - D a||_2^2."""
    gap: torch.Tensor
    """How far the Lagrangian is from its least value, at most."""
    iterations: torch.Tensor


class Problem:
    """The LASSO of a dictionary: 1/2 ||x - D a||^2 + weight ||a||_1."""

    def __init__(self, synthesis: LinearMap, iterations: int) -> None:
        self.fine, self.coarse = Flat(synthesis), Flat(synthesis, torch.float32)
        self.lipschitz = synthesis.lipschitz()
        self.iterations = iterations

    def minimise(
        self,
        x: torch.Tensor,
        weight: torch.Tensor,
        enough: torch.Tensor,
        start: torch.Tensor | None = None,
    ) -> Minimised:
        r"""Codes of the signals ``x``, N x m, until the duality gap is at most ``enough``.

        ``weight`` and ``enough`` have shape N. From zero, float32 leads to where it is exact
        enough, at half the time, and ``start`` there. At most ``iterations`` are made in all.
        """
        if start is not None:
            return _descend(self.fine, self.lipschitz, x, weight, enough, self.iterations, start)
        some = torch.maximum(enough, COARSE * x.square().sum(1))
        most = self.iterations // 2
        single = x.float(), weight.float(), some.float()
        first = _descend(self.coarse, self.lipschitz, *single, most)
        left = self.iterations - most
        found = _descend(self.fine, self.lipschitz, x, weight, enough, left, first.code.to(x.dtype))
        found.iterations += first.iterations
        return found


def _descend(
    synthesis: Flat,
    lipschitz: float,
    x: torch.Tensor,
    weight: torch.Tensor,
    enough: torch.Tensor,
    iterations: int,
    start: torch.Tensor | None = None,
) -> Minimised:
    """FISTA in the precision of ``x``.

    From zero the weight is led down to its value; from codes ``start`` it is not. Momentum is
    dropped where it points uphill (O'Donoghue and Candès 2015). Products with D are taken of
    the iterates alone: those of extrapolated points are linear in them.
    """
    found = Minimised(
        x.new_zeros(len(x), synthesis.atoms) if start is None else start.clone(),
        x.square().sum(1),
        torch.full_like(weight, torch.inf),
        torch.zeros(len(x), dtype=torch.int64, device=x.device),
    )
    rows = torch.arange(len(x), device=x.device)
    a = found.code.clone()
    r = x if start is None else x - synthesis.forward(a)
    c = synthesis.adjoint(r)
    old_a, old_c = a, c
    t = torch.ones_like(weight)[:, None]
    goal = weight[:, None]
    now = goal if start is not None else c.abs().amax(1, keepdim=True)
    step = 1 / max(lipschitz, torch.finfo(x.dtype).tiny)
    for count in range(iterations + 1):
        if count % CHECK == 0 or count == iterations:
            gap = duality_gap(x, a, r, c, goal[:, 0])
            done = gap <= enough
            if count == iterations:
                done[:] = True
            if done.any():
                at = rows[done]
                found.code[at], found.gap[at], found.iterations[at] = a[done], gap[done], count
                found.energy[at] = r[done].square().sum(1)
                state = rows, enough, goal, now, x, a, c, old_a, old_c, t
                state = [values[~done] for values in state]
                rows, enough, goal, now, x, a, c, old_a, old_c, t = state
                if not len(rows):
                    break
        now = torch.maximum(DECREASE * now, goal)
        following = (1 + (1 + 4 * t.square()).sqrt()) / 2
        momentum = (t - 1) / following
        y = torch.addcmul(a, momentum, a - old_a)
        moved = torch.addcmul(c, momentum, c - old_c).mul_(step).add_(y)
        b = moved.abs().sub_(step * now).relu_().copysign_(moved)
        uphill = ((y - b) * (b - a)).sum(1, keepdim=True) > 0
        t = torch.where(uphill, 1.0, following)
        r = x - synthesis.forward(b)
        old_a, old_c, a, c = a, c, b, synthesis.adjoint(r)
    return found


def duality_gap(
    x: torch.Tensor, a: torch.Tensor, r: torch.Tensor, c: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    r"""1/2 ||r||^2 + weight ||a||_1 less the dual's value at s r, for r = x - D a and c = D^T r.

    The dual is s <r, x> - s^2/2 ||r||^2, where |s c_i| <= weight for each i; s is the best such.
    """
    energy, along = r.square().sum(1), (r * x).sum(1)
    most = weight / c.abs().amax(1).clamp(min=torch.finfo(x.dtype).tiny)
    return energy / 2 + weight * a.abs().sum(1) - dual_value(along, energy, most)


def dual_value(along: torch.Tensor, energy: torch.Tensor, most: torch.Tensor) -> torch.Tensor:
    """The largest s <r, x> - s^2/2 ||r||^2 for 0 <= s <= ``most``, where ``along`` is <r, x> and
    ``energy`` ||r||^2."""
    s = (along / energy.clamp(min=torch.finfo(energy.dtype).tiny)).clamp(min=0)
    s = torch.minimum(s, most)
    return s * along - s.square() * energy / 2
