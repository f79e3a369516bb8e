"""L-BFGS in a box, the first attack on neural networks."""

from __future__ import annotations

from typing import Literal

from advsparse.attacks._base import Candidate, MinimumNormAttack
from advsparse.attacks._box_lbfgs import PAIRS, minimise
from advsparse.attacks._confirm import at_rows, fooled
from advsparse.attacks._targets import runner_up
from advsparse.lazy import torch
from advsparse.settings import NonNegativeFloat, PositiveFloat, PositiveInt, settings

_FACTOR = 10.0
"""By how much c changes from one search to the next until both outcomes have been seen."""


@settings
class LBFGS(MinimumNormAttack):
    r"""A small perturbation found by weighing its length against the cross-entropy with a target.

    .. math:: \min_{x' \in [0, 1]^P} c\, \|x' - x\|_2^2 + H(f(x'), t)

    and the largest c whose minimiser is adversarial, searched for each image: times or over 10
    until c is bracketed, then by bisection of its logarithm (where Szegedy et al. say "the minimum
    c", they must mean the least that the perturbation costs). The length is squared, which changes
    the path that the minimisers take as c varies, not the boundary at its end. An untargeted attack
    goes towards the runner-up on the clean image (as the targets of frecon2021), and another class
    met on the way counts. The nearest adversarial image evaluated is returned; where there is none,
    the last minimiser, which matters to an attack that is cut off. Searches after the first success
    may ``start`` there.

    Source: Szegedy et al. 2014, "Formal description".

    Cost: at most search_steps x iterations gradients.
    """

    scales = 1e-2, 1e8

    norm: Literal["l2"] = "l2"
    search_steps: PositiveInt = 9
    """Number of values of c that are tried."""
    iterations: PositiveInt = 60
    """Evaluations of the objective, gradient included, for each value of c."""
    initial_weight: PositiveFloat = 1.0
    """First value of c."""
    tolerance: NonNegativeFloat = 1e-6
    """A descent ends once a step lowers the objective by less than this share of it (or of 1)."""
    start: Literal["clean", "nearest"] = "clean"
    """Where a descent starts: from the clean image, as in the paper, or from the nearest
    adversarial one so far, which gets nearer in as many passes."""

    def _copies(self, classes, size):
        # Pairs (s, y), and those on the free pixels.
        return 30 + 16 * PAIRS

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        goal = runner_up(oracle.logits(x)) if target is None else target
        search = _Search(oracle, x, y, target, goal, self.start)
        weight = x.new_full((len(x),), self.initial_weight, dtype=torch.float64)
        low, high = torch.zeros_like(weight), torch.full_like(weight, torch.inf)
        for _ in range(self.search_steps):
            last = search.minimiser(weight, self.iterations, self.tolerance, self.threat.bounds)
            won = fooled(oracle.logits(last.reshape(x.shape)), y, target)
            low = torch.where(won, torch.maximum(low, weight), low)
            high = torch.where(won, high, torch.minimum(high, weight))
            middle = (low * high).sqrt()
            weight = torch.where(
                high.isinf(), weight * _FACTOR, torch.where(low == 0, weight / _FACTOR, middle)
            )
        never = search.nearest.isinf()
        search.best[never] = last[never].reshape(-1, *x.shape[1:])
        return Candidate(search.best, search.steps)


class _Search:
    """The objective at one c an image, and the nearest adversarial image that it has been at."""

    def __init__(self, oracle, x, y, target, goal, start) -> None:
        self.oracle, self.x, self.y, self.target, self.goal = oracle, x, y, target, goal
        self.best, self.start = x.clone(), start
        self.nearest = x.new_full((len(x),), torch.inf, dtype=torch.float64)
        self.steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)

    def minimiser(self, weight, iterations, tolerance, bounds):
        """Where the descents end, N x P."""
        # Of an image that was never adversarial the best one is clean.
        start = self.x if self.start == "clean" else self.best.clone()

        def evaluate(z, rows):
            return self._evaluate(z, rows, weight[rows])

        return minimise(
            evaluate,
            start.flatten(1),
            evaluations=iterations,
            tolerance=tolerance,
            bounds=bounds,
        )

    def _evaluate(self, z, rows, weight):
        x_adv, goal = z.reshape(-1, *self.x.shape[1:]), self.goal[rows]
        entropy, logits, gradient = self.oracle.gradient(
            x_adv, lambda f: torch.nn.functional.cross_entropy(f, goal, reduction="none"), rows
        )
        d = (z - self.x[rows].flatten(1)).double()
        square = d.square().sum(1)
        won = fooled(logits, self.y[rows], at_rows(self.target, rows))
        closer = won & (square.sqrt() < self.nearest[rows])
        self.best[rows[closer]] = x_adv[closer]
        self.nearest[rows[closer]] = square[closer].sqrt()
        self.steps[rows] += 1
        value = weight * square + entropy.double()
        slope = (2 * weight[:, None] * d).to(z.dtype) + gradient.flatten(1)
        return value, slope
