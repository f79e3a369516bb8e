"""Convolutional basis pursuit denoising."""

from __future__ import annotations

import logging
from typing import Literal

from advsparse.coding._base import Coded, Solver
from advsparse.coding._maps import check_map
from advsparse.lazy import torch
from advsparse.settings import PositiveFloat, PositiveInt, settings

logger = logging.getLogger(__name__)


@settings
class CBPDN(Solver):
    r"""Convolutional basis pursuit denoising: the LASSO of filters that are laid everywhere.

    .. math:: \min_z \frac12 \sum_c \Big\|x_c - \sum_k d_{k,c} \circledast z_k\Big\|_2^2
              + \lambda \sum_k \|z_k\|_1

    with one code for all channels, on images that go on periodically: the dictionary is a
    :class:`~advsparse.coding._circular_map.CircularConvolution`. By ADMM, with steps in the Fourier
    domain where D D^T is C x C at each frequency, or by the same FISTA as :class:`Lasso`.

    ``Coded.objective`` is the value of what is minimised, ``Coded.iterations`` the steps taken.
    Signals that miss the goal are counted in a warning.

    Source: sun2019, eq. 2; Wohlberg 2014 (ADMM in the Fourier domain); Beck and Teboulle 2009
    (FISTA).
    """

    weight: PositiveFloat = 0.2
    """The weight lambda of the l1 norm."""
    solver: Literal["admm", "fista"] = "admm"
    """What solves the problem."""
    rho: PositiveFloat = 1.4
    """Penalty of ADMM for filters of norm 1 and an image whose root mean square is the weight; for
    others it is multiplied by the mean of the filters' norms, and by the weight over the image's
    root mean square. sporco starts with 50 lambda + 1 for all images."""
    adaptive_rho: bool = False
    """Whether ADMM changes rho, for each image by itself, until primal and dual residual agree."""
    gap_tolerance: PositiveFloat = 1e-5
    r"""Duality gap at which an image is done, as a multiple of ||x||_2^2."""
    max_iterations: PositiveInt = 1000
    """Most steps per image."""

    def solve(self, synthesis, x):
        check_map(synthesis)
        if self.solver == "fista":
            from advsparse.coding.lasso import Lasso

            lasso = Lasso(
                weight=self.weight,
                gap_tolerance=self.gap_tolerance,
                max_iterations=self.max_iterations,
            )
            return lasso.solve(synthesis, x)
        return self._split(synthesis, x)

    def _split(self, synthesis, x):
        from advsparse.coding._circular_map import CircularConvolution
        from advsparse.coding._solving import Units, solve_in_parts
        from advsparse.coding._splitting import Problem
        from advsparse.modes import exactly

        if not isinstance(synthesis, CircularConvolution):
            raise ValueError(
                f"cbpdn: admm codes by a CircularConvolution, got {type(synthesis).__name__}; "
                "fista and lasso take any map"
            )
        with torch.no_grad(), exactly():
            synthesis.to(torch.float64).require_finite()
            moderate, of_atoms = synthesis.moderate()
            assert isinstance(moderate, CircularConvolution), "the same map"
            problem = Problem(moderate, self.rho, self.adaptive_rho, self.max_iterations)
        missed = 0

        def solve(part: torch.Tensor) -> Coded:
            nonlocal missed
            units = Units(part, of_atoms)
            signals = units.signals.reshape(-1, *synthesis.signal_shape)
            enough = self.gap_tolerance * units.signals.square().sum(1)
            weight = units.weight(self.weight)
            found = problem.minimise(signals, weight, enough)
            missed += int((~(found.gap <= enough)).sum())
            code = found.code.flatten(1)
            objective = found.energy / 2 + weight * code.abs().sum(1)
            objective = objective * units.of_signals * units.of_signals
            residual = found.energy.sqrt() * units.of_signals
            return Coded(units.codes(code, x.dtype), objective, residual, found.iterations)

        coded = solve_in_parts(solve, synthesis, x, 8 * 8 * synthesis.atoms)
        if missed:
            logger.warning("cbpdn: %d of %d images are not solved to the tolerance", missed, len(x))
        return coded
