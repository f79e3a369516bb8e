"""The attack of Carlini and Wagner in the l2 norm."""

from __future__ import annotations

from typing import Literal

from advsparse.attacks._base import Candidate
from advsparse.attacks._carlini_wagner import CarliniWagner, Descent
from advsparse.attacks._confirm import at_rows
from advsparse.lazy import torch
from advsparse.settings import PositiveFloat, PositiveInt, settings
from advsparse.shapes import per_image


@settings
class CW(CarliniWagner):
    r"""A small perturbation found by weighing its length against a margin.

    .. math:: \min_{x' \in [0,1]^P} \|x' - x\|_2^2 + c\, f(x'), \qquad
              f(x') = \max(m(x') + \kappa, 0) \text{ by default}

    where m(x') = z_y - max_{k != y} z_k (untargeted) or max_{k != t} z_k - z_t (targeted), and c is
    searched by bisection for each image: lowered after a success, raised after a failure. The
    descent is Adam's, each image with its own. The nearest adversarial iterate of all searches is
    returned; where there is none, the last iterate, which matters to an attack that is cut off.

    Source: Carlini and Wagner 2017; frecon2021, section 4; sun2019, section 4.

    Cost: at most search_steps x iterations gradients.
    """

    scales = 1e-5, 1e6

    norm: Literal["l2"] = "l2"
    search_steps: PositiveInt = 9
    """Number of values of c that are tried."""
    initial_weight: PositiveFloat = 0.01
    """First value of c."""

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        best = x.clone()
        nearest = x.new_full((len(x),), torch.inf)
        steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        weight = x.new_full((len(x),), self.initial_weight)
        low, high = torch.zeros_like(weight), torch.full_like(weight, torch.inf)
        for _ in range(self.search_steps):
            found = self._descend(oracle, x, y, target, weight, best, nearest, steps)
            high = torch.where(found, torch.minimum(high, weight), high)
            low = torch.where(found, low, torch.maximum(low, weight))
            weight = torch.where(high.isinf(), 10 * weight, (low + high) / 2)
        return Candidate(best, steps)

    def _descend(self, oracle, x, y, target, weight, best, nearest, steps):
        """One search; ``best``, ``nearest`` and ``steps`` are brought up to date in place."""
        found = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        rows = torch.arange(len(x), device=x.device)
        descent = Descent(self, x)
        for _ in range(self.iterations):
            x_adv, clean = descent.images(), x[rows]
            value, gradient, won = self._asked(oracle, x_adv, y[rows], at_rows(target, rows), rows)
            d = x_adv - clean
            square = d.flatten(1).square().sum(1)
            closer = won & (square.sqrt() < nearest[rows])
            best[rows[closer]], nearest[rows[closer]] = x_adv[closer], square[closer].sqrt()
            found[rows] |= won
            if self.cutoff is not None:
                never = nearest[rows].isinf()
                best[rows[never]] = x_adv[never]
            steps[rows] += 1
            descent.step(2 * d + per_image(weight[rows], d) * gradient)
            falling = descent.falling(square + weight[rows] * value)
            rows = rows[falling]
            descent.keep(falling)
            if not len(rows):
                break
        return found
