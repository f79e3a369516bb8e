"""What solvers share: checks of their input, and signals taken in parts that fit into memory."""

from __future__ import annotations

from collections.abc import Callable

from advsparse.coding._base import Coded
from advsparse.coding._maps import LinearMap
from advsparse.lazy import torch

WORKING_SET = 16 * 2**20
"""Bytes of working arrays at a time: iterations are faster where the processor's cache holds them.
One signal at a time is the least that a solver can do."""


class Flat:
    """A map in float64 or ``dtype``, from codes N x n to signals N x m.

    Raises ValueError for a map that is not finite.
    """

    def __init__(self, synthesis: LinearMap, dtype: torch.dtype | None = None) -> None:
        with torch.no_grad():
            self.map = synthesis.to(dtype or torch.float64)
            self.map.require_finite()
        self.atoms, self.size = synthesis.atoms, synthesis.size

    def forward(self, code: torch.Tensor) -> torch.Tensor:
        """D a for each code."""
        return self.map.forward(code.reshape(-1, *self.map.code_shape)).flatten(1)

    def adjoint(self, signal: torch.Tensor) -> torch.Tensor:
        """D^T x for each signal."""
        return self.map.adjoint(signal.reshape(-1, *self.map.signal_shape)).flatten(1)


def solve_in_parts(
    solve: Callable[[torch.Tensor], Coded], synthesis: LinearMap, x: torch.Tensor, need: int
) -> Coded:
    """What ``solve`` finds for the signals ``x``, given flat, in float64 and some at a time.

    need: bytes of working arrays for one signal. Raises ValueError for signals that do not fit the
    map, or are not finite floating-point numbers.
    """
    if x.shape[1:] != synthesis.signal_shape:
        expected = " x ".join(map(str, ("N", *synthesis.signal_shape)))
        raise ValueError(f"signals must be {expected}, got {' x '.join(map(str, x.shape))}")
    if not x.is_floating_point():
        raise ValueError(f"signals must be floating-point numbers, got {x.dtype}")
    if not x.isfinite().all():
        raise ValueError("signals must be finite, got NaN or infinity")
    at_once = max(1, WORKING_SET // need)
    with torch.no_grad():
        parts = [solve(part.double().flatten(1)) for part in x.split(at_once)]
        code = torch.cat([part.code for part in parts]).to(x.dtype)
        return Coded(
            code.reshape(-1, *synthesis.code_shape),
            torch.cat([part.objective for part in parts]),
            torch.cat([part.residual for part in parts]),
            torch.cat([part.iterations for part in parts]),
        )
