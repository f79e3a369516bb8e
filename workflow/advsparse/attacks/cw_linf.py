"""The attack of Carlini and Wagner in the linf norm."""

from __future__ import annotations

from typing import Literal

from advsparse.attacks._base import Candidate
from advsparse.attacks._carlini_wagner import CarliniWagner, Descent
from advsparse.attacks._confirm import at_rows
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


class _Search:
    """c and tau of each image, what a descent starts from, and the nearest image so far."""

    def __init__(self, settings: CWLinf, oracle, x, y, target) -> None:
        self._settings, self._oracle, self._x, self._y, self._target = (
            settings,
            oracle,
            x,
            y,
            target,
        )
        self.best, self._start = x.clone(), x.clone()
        self._nearest = x.new_full((len(x),), torch.inf)
        self.steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        self.weight = torch.full_like(self._nearest, settings.initial_weight)
        self._tau = torch.ones_like(self._nearest)

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
            value, gradient, won = self._settings._asked(
                self._oracle, x_adv, self._y[at], at_rows(self._target, at), at
            )
            d = x_adv - self._x[at]
            beyond = (d.abs() - per_image(self._tau[at], d)).clamp(min=0)
            self._note(at, x_adv, d, won)
            self.steps[at] += 1
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

    def _note(self, at, x_adv, d, won):
        size = d.flatten(1).abs().amax(1)
        closer = won & (size < self._nearest[at])
        self.best[at[closer]], self._nearest[at[closer]] = x_adv[closer], size[closer]
        if self._settings.cutoff is not None:
            never = self._nearest[at].isinf()
            self.best[at[never]] = x_adv[never]
