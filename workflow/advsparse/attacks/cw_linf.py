"""The attack of Carlini and Wagner in the linf norm."""

from __future__ import annotations

from typing import Literal

from advsparse.attacks._base import Candidate
from advsparse.attacks._carlini_wagner import CarliniWagner, Descent, Search
from advsparse.lazy import torch
from advsparse.settings import Fraction, PositiveFloat, PositiveInt, settings
from advsparse.shapes import per_image

_REACHED = 1e-4
"""Share of c up to which what lies beyond tau is as good as nothing, as in the authors' code."""


@settings
class CWLinf(CarliniWagner):
    r"""The least bound on all changes, found by a penalty on those that exceed it.

    .. math:: \min_{x' \in [0,1]^P} c\, f(x') + \sum_i \max(|x'_i - x_i| - \tau, 0), \qquad
              f(x') = \max(m(x') + \kappa, 0) \text{ by default}

    with m as of ``cw``. The gradient of the norm itself is that of its largest entry alone. For
    each image tau starts at 1; a descent that ends adversarial and within it takes it down to
    ``shrink`` times the largest change, and goes on from there; one that does not is tried again
    with twice the c, up to ``largest_weight``. The nearest adversarial iterate is returned.

    Source: Carlini and Wagner 2017, section VI.C; canu2021, slide "Optimization attack".

    Cost: at most search_steps x iterations gradients.
    """

    scales = 1e-3, 1e6

    norm: Literal["linf"] = "linf"
    learning_rate: PositiveFloat = 0.005
    """Adam's step size."""
    initial_weight: PositiveFloat = 1e-5
    """First value of c."""
    largest_weight: PositiveFloat = 20.0
    """Largest value of c."""
    shrink: Fraction = 0.9
    """What tau is of the largest change once that is adversarial."""
    search_steps: PositiveInt = 100
    """Largest number of pairs (c, tau) that are tried."""

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        search = _Search(self, oracle, x, y, target)
        rows = torch.arange(len(x), device=x.device)
        for _ in range(self.search_steps):
            within = search.descend(rows)
            search.narrow(rows[within])
            again = rows[~within]
            search.weight[again] *= 2
            rows = rows[search.weight[rows] <= self.largest_weight]
            if not len(rows):
                break
        return Candidate(search.best, search.steps)


class _Search(Search):
    """And tau of each image."""

    def __init__(self, *given) -> None:
        super().__init__(*given)
        self._tau = torch.ones_like(self.weight)

    def narrow(self, rows: torch.Tensor) -> None:
        """A smaller tau for images that are adversarial within theirs, from where they are."""
        largest = (self._start[rows] - self._x[rows]).flatten(1).abs().amax(1)
        self._tau[rows] = self._settings.shrink * torch.minimum(self._tau[rows], largest)

    def descend(self, rows: torch.Tensor) -> torch.Tensor:
        """Whether each of some images came to be adversarial within its tau, by a descent that ends
        there; from that image the next one starts."""
        reached = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
        going = torch.arange(len(rows), device=rows.device)
        descent = Descent(self._settings, self._start[rows])
        for _ in range(self._settings.iterations):
            at = rows[going]
            x_adv, weight = descent.images(), self.weight[at]
            value, gradient, won = self._asked(x_adv, at)
            d = x_adv - self._x[at]
            beyond = (d.abs() - per_image(self._tau[at], d)).clamp(min=0)
            self._improve(at[won], x_adv[won], d[won].flatten(1).abs().amax(1))
            excess = beyond.flatten(1).sum(1)
            within = won & (excess <= _REACHED * weight)
            self._start[at[within]] = x_adv[within]
            reached[going[within]] = True
            descent.step(beyond.sign() * d.sign() + per_image(weight, d) * gradient)
            on = descent.falling(excess + weight * value) & ~within
            going = going[on]
            descent.keep(on)
            if not len(going):
                break
        return reached
