"""What solvers share: checks of their input, and signals taken in parts that fit into memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from advsparse.arguments import all_finite, check_tensor
from advsparse.coding._base import Coded
from advsparse.coding._maps import LinearMap, check_map, unit_of
from advsparse.lazy import torch
from advsparse.modes import exactly
from advsparse.shapes import per_image

WORKING_SET = 16 * 2**20
"""Bytes of working arrays at a time: iterations are faster where the processor's cache holds them.
One signal at a time is the least that a solver can do."""

_ENDLESS = 2.0**100
"""A weight that no product of a signal and an atom reaches, both of ordinary size."""


class Flat:
    """A map in float64 or ``dtype``, from codes N x n to signals N x m.

    Raises ValueError for a map that is not finite.
    """

    def __init__(self, synthesis: LinearMap, dtype: torch.dtype | None = None) -> None:
        check_map(synthesis)
        with torch.no_grad(), exactly():
            self.map = synthesis.to(dtype or torch.float64)
            self.map.require_finite()
        self.atoms, self.size = synthesis.atoms, synthesis.size

    def forward(self, code: torch.Tensor) -> torch.Tensor:
        """D a for each code."""
        return self.map.forward(code.reshape(-1, *self.map.code_shape)).flatten(1)

    def adjoint(self, signal: torch.Tensor) -> torch.Tensor:
        """D^T x for each signal."""
        return self.map.adjoint(signal.reshape(-1, *self.map.signal_shape)).flatten(1)


class Units:
    """The units, powers of 2, in which signals and atoms are of ordinary size; mostly 1.

    Solvers take squares, which overflow and vanish long before the numbers do. What they are told
    of a dictionary and of signals N x m, ``signals``, is in these units; their codes are then in
    that of the signals over that of the atoms.
    """

    def __init__(self, x: torch.Tensor, atoms: float) -> None:
        self.of_signals, self._of_atoms = unit_of(x.abs().amax(1)), atoms
        extreme = bool((self.of_signals != 1).any())
        self.signals = x / self.of_signals[:, None] if extreme else x
        self._extreme = extreme or atoms != 1

    def energy(self, given: float) -> torch.Tensor:
        """What a squared norm of signals is in their units, of shape N."""
        return given / self.of_signals / self.of_signals

    def weight(self, given: float) -> torch.Tensor:
        """What the LASSO's weight is, of shape N; finite, as infinity times a code of zero would be
        NaN."""
        return (given / self.of_signals / self._of_atoms).clamp(max=_ENDLESS)

    def in_codes(self, found: torch.Tensor) -> torch.Tensor:
        """What numbers in the unit of codes are without it, for N x ... of them."""
        if not self._extreme:
            return found
        return found * per_image(self.of_signals, found) / self._of_atoms

    def codes(self, found: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """The codes without their unit, in the precision that they are wanted in.

        Raises ValueError for those that vanish there.
        """
        codes = self.in_codes(found).to(dtype)
        if not self._extreme:
            return codes
        lost = (found != 0).any(1) & (codes == 0).all(1)
        if lost.any():
            raise ValueError(_out_of_range(lost, "vanish", dtype))
        return codes


def solve_in_parts(
    solve: Callable[[torch.Tensor], Coded], synthesis: LinearMap, x: torch.Tensor, need: int
) -> Coded:
    """What ``solve`` finds for the signals ``x``, given flat, in float64 and some at a time.

    need: bytes of working arrays for one signal. Raises ValueError for signals that do not fit the
    map, or are not finite floating-point numbers, and for codes that are not finite in the signals'
    precision.
    """
    check_tensor("x", x)
    if x.shape[1:] != synthesis.signal_shape:
        expected = " x ".join(map(str, ("N", *synthesis.signal_shape)))
        raise ValueError(f"signals must be {expected}, got {' x '.join(map(str, x.shape))}")
    if not x.is_floating_point():
        raise ValueError(f"signals must be floating-point numbers, got {x.dtype}")
    if not all_finite(x):
        raise ValueError("signals must be finite, got NaN or infinity")
    at_once = max(1, WORKING_SET // need)
    with torch.no_grad(), exactly():
        # Codes are large, mostly zeros, and wanted in the signals' precision.
        code = x.new_empty(len(x), synthesis.atoms)
        parts = []
        for signals, codes in zip(x.split(at_once), code.split(at_once), strict=True):
            found = solve(signals.double().flatten(1))
            codes.copy_(found.code)
            parts.append(replace(found, code=codes))
        if not all_finite(code):
            broken = ~code.isfinite().all(1)
            raise ValueError(_out_of_range(broken, "overflow", x.dtype))
        return Coded(
            code.reshape(-1, *synthesis.code_shape),
            torch.cat([part.objective for part in parts]),
            torch.cat([part.residual for part in parts]),
            torch.cat([part.iterations for part in parts]),
        )


def _out_of_range(signals: torch.Tensor, what: str, dtype: torch.dtype) -> str:
    return (
        f"the codes of {int(signals.sum())} of {len(signals)} signals {what} in {dtype}: they are "
        "too large or too small beside the dictionary"
    )
