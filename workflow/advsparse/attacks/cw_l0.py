"""The attack of Carlini and Wagner that changes few entries."""

from __future__ import annotations

import math
from typing import Literal

from advsparse.attacks._base import Candidate
from advsparse.attacks._carlini_wagner import CarliniWagner, Descent, Search
from advsparse.lazy import torch
from advsparse.settings import PositiveFloat, settings
from advsparse.shapes import per_image

_UNCHANGED = 1e-4
"""Changes below this are taken back, as in the authors' code."""


@settings
class CWL0(CarliniWagner):
    r"""Entries that matter least are given back, one round after the other, until none can be.

    .. math:: \min_{x' \in [0,1]^P} \|x' - x\|_2^2 + c\, f(x') \quad \text{s.t.} \quad
              x'_i = x_i,\ i \notin S, \qquad f(x') = \max(m(x') + \kappa, 0) \text{ by default}

    with m as of ``cw``. A round ends at the first adversarial iterate. Then the entries leave S
    that changed by less than 1e-4, and of the others those with the smallest |g_i (x'_i - x_i)|: up
    to ``share`` sqrt(|S|) of them, one at least. g is the gradient of f at the iterate before, as
    beyond the boundary that of a hinge is 0. A round that finds nothing is tried again with twice
    the c, up to ``largest_weight``. The adversarial image with the fewest changed entries is
    returned. An entry is one of the array, whatever its channel.

    Source: Carlini and Wagner 2017, section VI.B; canu2021, slide "Optimization attack".

    Cost: at most iterations gradients a round; most rounds end long before that.
    """

    scales = 1e-5, math.inf

    norm: Literal["l0"] = "l0"
    initial_weight: PositiveFloat = 1e-3
    """First value of c."""
    largest_weight: PositiveFloat = 2e6
    """Largest value of c."""
    share: PositiveFloat = 0.3
    """Entries that a round gives back, as a multiple of the root of those left, as in the authors'
    code; little enough is one at a time, as in the paper."""

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        search = _Search(self, oracle, x, y, target)
        rows = torch.arange(len(x), device=x.device)
        while len(rows):
            won, x_adv = search.round(rows)
            search.give_back(rows[won], x_adv[won])
            again = rows[~won]
            search.weight[again] *= 2
            rows = rows[(search.weight[rows] <= self.largest_weight) & search.may_change(rows)]
        return Candidate(search.best, search.steps)


class _Search(Search):
    """And the set S of each image."""

    def __init__(self, *given) -> None:
        super().__init__(*given)
        self._allowed = torch.ones_like(self._x, dtype=torch.bool)
        # The last before the boundary: beyond it that of a hinge is 0.
        self._gradient = torch.zeros_like(self._x)

    def may_change(self, rows: torch.Tensor) -> torch.Tensor:
        """Which of some images have entries left to change."""
        return self._allowed[rows].flatten(1).any(1)

    def round(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Whether each image became adversarial, and where."""
        won_at_all = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
        points = self._start[rows].clone()
        going = torch.arange(len(rows), device=rows.device)
        descent = Descent(self._settings, points)
        for _ in range(self._settings.iterations):
            at = rows[going]
            allowed, clean = self._allowed[at], self._x[at]
            x_adv = torch.where(allowed, descent.images(), clean)
            value, gradient, won = self._asked(x_adv, at)
            points[going[won]], won_at_all[going[won]] = x_adv[won], True
            self._gradient[at[~won]] = gradient[~won]
            d, weight = x_adv - clean, self.weight[at]
            descent.step(torch.where(allowed, 2 * d + per_image(weight, d) * gradient, 0.0))
            on = descent.falling(d.flatten(1).square().sum(1) + weight * value) & ~won
            going = going[on]
            descent.keep(on)
            if not len(going):
                break
        return won_at_all, points

    def give_back(self, rows: torch.Tensor, x_adv: torch.Tensor) -> None:
        """Fewer entries for images that are adversarial, by what each of them brought."""
        clean = self._x[rows]
        d = (x_adv - clean).flatten(1)
        self._improve(rows, x_adv, (d != 0).sum(1).to(self._distance))
        allowed = self._allowed[rows].flatten(1)
        allowed &= d.abs() >= _UNCHANGED
        for row, brought in enumerate((self._gradient[rows].flatten(1) * d).abs()):
            left = allowed[row].nonzero().flatten()
            count = max(1, math.floor(self._settings.share * math.sqrt(len(left))))
            # The first of equal ones, on every device.
            order = brought[left].argsort(stable=True)
            allowed[row, left[order[:count]]] = False
        self._allowed[rows] = allowed.reshape(clean.shape)
        self._start[rows] = torch.where(self._allowed[rows], x_adv, clean)
