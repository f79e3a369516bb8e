"""Orthogonal matching pursuit."""

from __future__ import annotations

import math

from advsparse.coding._base import Coded, Solver
from advsparse.lazy import torch
from advsparse.settings import NonNegativeFloat, PositiveInt, settings


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
    ``Coded.iterations`` is that number in either case.

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
        from advsparse.coding._solving import solve_in_parts

        limit = min(self.sparsity or math.inf, synthesis.size, synthesis.atoms)
        with torch.no_grad():
            dictionary = dictionary_of(synthesis)

        def solve(part: torch.Tensor) -> Coded:
            code, chosen = pursue(dictionary, part, limit, self.tolerance)
            residual = (part - dictionary.synthesis.forward(code)).norm(dim=1)
            objective = residual if self.tolerance is None else chosen.double()
            return Coded(code, objective, residual, chosen)

        return solve_in_parts(solve, synthesis, x, dictionary.need(limit))
