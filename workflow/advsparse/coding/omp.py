"""Orthogonal matching pursuit."""

from __future__ import annotations

import logging
import math

from advsparse.coding._base import Coded, Solver
from advsparse.coding._maps import check_map
from advsparse.lazy import torch
from advsparse.settings import NonNegativeFloat, PositiveInt, settings

logger = logging.getLogger(__name__)

_ROUNDING = 1e-10
"""Of the signal's norm, a residual that is no more than this above the tolerance does not miss it:
where the pursuit ends at a residual of zero, rounding is what is left."""


@settings
class OMP(Solver):
    r"""Orthogonal matching pursuit: atoms are chosen one by one, coefficients by least squares.

    .. math:: \min_a \|x - D a\|_2 \;\text{s.t.}\; \|a\|_0 \le s
              \qquad\text{or}\qquad
              \min_a \|a\|_0 \;\text{s.t.}\; \|x - D a\|_2^2 \le t

    greedily: the atom that joins is the one with the largest :math:`|\langle d_i, r \rangle| /
    \|d_i\|_2` to the residual r; atoms of any norm may be given. The pursuit of a signal also ends
    where the residual is zero up to rounding, and where the next atom depends linearly on those
    chosen. ``Coded.objective`` is what is minimised: the residual's norm, or the number of atoms;
    ``Coded.iterations`` is that number in either case. Signals that miss the tolerance are counted
    in a warning.

    Source: Pati et al. 1993; Rubinstein et al. 2008 (Batch-OMP); weitzner2023, section 2.
    """

    sparsity: PositiveInt | None = None
    """Largest number s of atoms; either this or ``tolerance`` must be given."""
    tolerance: NonNegativeFloat | None = None
    """Squared norm t of the residual at which the pursuit ends, scikit-learn's ``tol``; a signal
    that is no longer than that gets no atom."""

    def __post_init__(self) -> None:
        if (self.sparsity is None) == (self.tolerance is None):
            raise ValueError("omp takes one of sparsity and tolerance, and not both")

    def solve(self, synthesis, x):
        from advsparse.coding._pursuit import dictionary_of, pursue
        from advsparse.coding._solving import Units, solve_in_parts

        check_map(synthesis)
        limit = min(self.sparsity or math.inf, synthesis.size, synthesis.atoms)
        with torch.no_grad():
            moderate, of_atoms = synthesis.moderate()
            dictionary = dictionary_of(moderate)
        missed = 0

        def solve(part: torch.Tensor) -> Coded:
            nonlocal missed
            units = Units(part, of_atoms)
            enough = None if self.tolerance is None else units.energy(self.tolerance)
            found, chosen, left = pursue(dictionary, units.signals, limit, enough)
            code, residual = units.codes(found, x.dtype), left * units.of_signals
            if self.tolerance is None:
                return Coded(code, residual, residual, chosen)
            allowed = math.sqrt(self.tolerance) / units.of_signals
            allowed += _ROUNDING * units.signals.norm(dim=1)
            missed += int((~(left <= allowed)).sum())
            return Coded(code, chosen.double(), residual, chosen)

        coded = solve_in_parts(solve, synthesis, x, dictionary.need(limit))
        if missed:
            logger.warning("omp: %d of %d signals are not solved to the tolerance", missed, len(x))
        return coded
