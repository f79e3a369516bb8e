r"""Linear maps from codes to signals: the dictionary D as an operator, and its adjoint.

Everything that codes sparsely works on a :class:`LinearMap`, and so on a matrix and on a
convolution alike, for a batch of signals at once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from advsparse.arguments import check_tensor, kind_of
from advsparse.lazy import torch

_BLOCK = 64
"""Unit signals that go through a map at once."""

_ORDINARY = 20
"""Largest exponent of 2 of numbers whose squares, and those of quotients of two of them, are far
from what float32 can hold."""

_MOST = 1000
"""Largest exponent of a unit: powers of 2 that float64 holds, and their inverses."""


class LinearMap(ABC):
    """A linear map D from codes N x ``code_shape`` to signals N x ``signal_shape``."""

    code_shape: tuple[int, ...]
    signal_shape: tuple[int, ...]

    @abstractmethod
    def forward(self, code: torch.Tensor) -> torch.Tensor:
        """D a for each code a of a batch, N x ``signal_shape``."""

    @abstractmethod
    def adjoint(self, signal: torch.Tensor) -> torch.Tensor:
        """D^T x for each signal x of a batch, N x ``code_shape``."""

    @abstractmethod
    def norms(self) -> torch.Tensor:
        """The l2 norm of each atom, the image of a unit code; of shape ``code_shape``."""

    @property
    @abstractmethod
    def like(self) -> torch.Tensor:
        """A tensor whose dtype and device are those of the map."""

    @property
    def atoms(self) -> int:
        """The number of atoms: entries of a code."""
        return math.prod(self.code_shape)

    @property
    def size(self) -> int:
        """The number of entries of a signal."""
        return math.prod(self.signal_shape)

    def to(self, dtype: torch.dtype) -> LinearMap:
        """The same map in another precision."""
        raise NotImplementedError

    @abstractmethod
    def lipschitz(self) -> float:
        """A Lipschitz constant of a -> D^T (D a - x): the largest eigenvalue of D^T D or more."""

    @abstractmethod
    def columns(self, index: torch.Tensor) -> torch.Tensor:
        """The atoms of the N flat positions ``index`` in a code, as signals: N x ``signal_shape``.

        The same as ``forward`` of unit codes, without its cost.
        """

    def require_finite(self) -> None:
        """Raises ValueError for atoms that hold NaN or infinity, which every code would inherit."""
        wrong = int((~self.norms().isfinite()).sum())
        if wrong:
            raise ValueError(
                f"the dictionary must be finite in {self.like.dtype}, got NaN or infinity in "
                f"{wrong} of its {self.atoms} atoms or their norms"
            )

    @abstractmethod
    def over(self, unit: float) -> LinearMap:
        """The same map with each entry divided by ``unit``."""

    @abstractmethod
    def largest(self) -> torch.Tensor:
        """The largest absolute value of the entries."""

    def moderate(self) -> tuple[LinearMap, float]:
        """The map in float64 over a unit, and that unit: see :func:`unit_of`."""
        exact = self.to(torch.float64)
        unit = float(unit_of(exact.largest()))
        return (exact if unit == 1 else exact.over(unit)), unit

    def gram(self) -> torch.Tensor:
        """D D^T, P x P for signals of P entries, column by column: D D^T e for each unit e."""
        found = self.like.new_empty(self.size, self.size)
        for columns in torch.arange(self.size, device=found.device).split(_BLOCK):
            basis = found.new_zeros(len(columns), self.size)
            basis[torch.arange(len(columns)), columns] = 1
            images = self.forward(self.adjoint(basis.reshape(-1, *self.signal_shape)))
            found[columns] = images.flatten(1)
        return (found + found.T) / 2


def check_map(given: object) -> None:
    """Refuse what is no linear map, such as the matrix of one."""
    if not isinstance(given, LinearMap):
        raise TypeError(
            f"synthesis: expected a LinearMap, got {kind_of(given)}; Matrix(D) makes one of a "
            "matrix D, a torch.Tensor"
        )


class Matrix(LinearMap):
    """The map of a matrix D, m x n: codes of n entries to signals of m."""

    def __init__(self, matrix: torch.Tensor) -> None:
        check_tensor("matrix", matrix)
        if matrix.ndim != 2 or matrix.is_complex():
            raise ValueError(
                f"matrix: expected real numbers m x n, got {matrix.dtype} of shape "
                f"{tuple(matrix.shape)}"
            )
        self.matrix = matrix
        self.signal_shape, self.code_shape = matrix.shape[:1], matrix.shape[1:]

    def forward(self, code):
        return code @ self.matrix.T

    def adjoint(self, signal):
        return signal @ self.matrix

    def norms(self):
        return self.matrix.norm(dim=0)

    @property
    def like(self):
        return self.matrix

    def to(self, dtype):
        return Matrix(self.matrix.to(dtype))

    def lipschitz(self):
        # The smaller of D^T D and D D^T; rounding must not leave the constant too small.
        wide = self.matrix.shape[0] < self.matrix.shape[1]
        matrix = self.matrix.double() if wide else self.matrix.double().T
        return float(torch.linalg.eigvalsh(matrix @ matrix.T)[-1].clamp(min=0)) * (1 + 1e-12)

    def columns(self, index):
        return self.matrix.T[index]

    def over(self, unit):
        return Matrix(self.matrix / unit)

    def largest(self):
        return self.matrix.abs().amax()


def unit_of(largest: torch.Tensor) -> torch.Tensor:
    """The powers of 2 in which numbers are near to 1, in float64: 1 for those that are ordinary.

    ``largest``, in float64 too, is the largest of some numbers that have a unit in common. In it
    their squares neither overflow nor vanish, and dividing by it rounds nothing. It is 1 where that
    number is NaN or infinite.
    """
    ordinary = ((largest < 2.0**_ORDINARY) & (largest > 2.0**-_ORDINARY)) | (largest == 0)
    if ordinary.all():
        return torch.ones_like(largest)
    exponent = torch.frexp(torch.where(largest.isfinite(), largest, 1.0)).exponent.long()
    exponent = torch.where(exponent.abs() > _ORDINARY, exponent.clamp(-_MOST, _MOST), 0)
    return ((exponent + 1023) << 52).view(torch.float64)  # as IEEE 754 writes them: exact
