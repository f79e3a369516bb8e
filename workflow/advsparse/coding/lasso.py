"""LASSO, by accelerated proximal gradients."""

from __future__ import annotations

import logging

from advsparse.coding._base import Coded, Solver
from advsparse.coding._maps import check_map
from advsparse.lazy import torch
from advsparse.settings import PositiveFloat, PositiveInt, settings

logger = logging.getLogger(__name__)


@settings
class Lasso(Solver):
    r"""The LASSO, or basis pursuit denoising, by FISTA with restarts and a decreasing weight.

    .. math:: \min_a \tfrac12 \|x - D a\|_2^2 + \lambda \|a\|_1
              \qquad\text{or}\qquad
              \min_a \|a\|_1 \;\text{s.t.}\; \|x - D a\|_2^2 \le t

    The second is the first with a weight of each signal's own, which is searched for: the residual
    grows with it. ``Coded.objective`` is the value of what is minimised, ``Coded.iterations`` the
    proximal steps taken in total. Signals that miss the goal are counted in a warning.

    Source: weitzner2023, eq. 1; Beck and Teboulle 2009 (FISTA).
    """

    weight: PositiveFloat | None = None
    r"""The weight lambda of the l1 norm, scikit-learn's ``alpha`` times m, the size of a signal;
    either this or ``tolerance`` must be given."""
    tolerance: PositiveFloat | None = None
    """Squared norm t of the residual, reached from below to within 0.01 %."""
    gap_tolerance: PositiveFloat = 1e-6
    r"""Duality gap at which a signal is done, as a multiple of ||x||_2^2: scikit-learn's ``tol``.
    With ``tolerance`` it is 1e-9 t if that is less."""
    max_iterations: PositiveInt = 5000
    """Most proximal steps per signal and weight."""

    def __post_init__(self) -> None:
        if (self.weight is None) == (self.tolerance is None):
            raise ValueError("lasso takes one of weight and tolerance, and not both")

    def solve(self, synthesis, x):
        from advsparse.coding._fista import Problem
        from advsparse.coding._solving import Units, solve_in_parts
        from advsparse.coding._weights import weights_for

        check_map(synthesis)
        with torch.no_grad():
            moderate, of_atoms = synthesis.moderate()
            problem = Problem(moderate, self.max_iterations)
        missed = 0

        def solve(part: torch.Tensor) -> Coded:
            nonlocal missed
            units = Units(part, of_atoms)
            signals = units.signals
            enough = self.gap_tolerance * signals.square().sum(1)
            if self.weight is not None:
                weight = units.weight(self.weight)
                found = problem.minimise(signals, weight, enough)
                failed = ~(found.gap <= enough)
                objective = found.energy / 2 + weight * found.code.abs().sum(1)
                objective = objective * units.of_signals * units.of_signals
            else:
                assert self.tolerance is not None, "one of both is given"
                energy = units.energy(self.tolerance)
                found, failed = weights_for(problem, signals, energy, enough)
                objective = units.in_codes(found.code.abs().sum(1))
            missed += int(failed.sum())
            code, residual = units.codes(found.code, x.dtype), found.energy.sqrt()
            return Coded(code, objective, residual * units.of_signals, found.iterations)

        coded = solve_in_parts(solve, synthesis, x, 8 * (10 * synthesis.atoms + 4 * synthesis.size))
        if missed:
            logger.warning(
                "lasso: %d of %d signals are not solved to the tolerance", missed, len(x)
            )
        return coded
