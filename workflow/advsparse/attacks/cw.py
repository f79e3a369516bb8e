"""The attack of Carlini and Wagner in the l2 norm."""

from __future__ import annotations

from typing import Literal

from advsparse.attacks._base import Candidate
from advsparse.attacks._carlini_wagner import Bisection, CarliniWagner, Descent
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
        return _Search(self, oracle, x, y, target).run()


class _Search(Bisection):
    """And a descent for one weight of each image."""

    def descend(self) -> torch.Tensor:
        """Whether each image came to be adversarial, by a descent from where it is clean."""
        found = torch.zeros(len(self._x), dtype=torch.bool, device=self._x.device)
        going = torch.arange(len(self._x), device=self._x.device)
        descent = Descent(self._settings, self._x)
        for _ in range(self._settings.iterations):
            x_adv, weight = descent.images(), self.weight[going]
            value, gradient, won = self._asked(x_adv, going)
            d = x_adv - self._x[going]
            square = d.flatten(1).square().sum(1)
            self._improve(going[won], x_adv[won], square[won].sqrt())
            found[going] |= won
            descent.step(2 * d + per_image(weight, d) * gradient)
            on = descent.falling(square + weight * value)
            going = going[on]
            descent.keep(on)
            if not len(going):
                break
        return found
