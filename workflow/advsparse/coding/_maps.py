r"""Linear maps from codes to signals: the dictionary D as an operator, and its adjoint.

Everything that codes sparsely works on a :class:`LinearMap`, and so on a matrix and on a
convolution alike, for a batch of signals at once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from advsparse.lazy import torch


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


class Matrix(LinearMap):
    """The map of a matrix D, m x n: codes of n entries to signals of m."""

    def __init__(self, matrix: torch.Tensor) -> None:
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


class Convolution(LinearMap):
    r"""The map of a convolutional dictionary with zero padding.

    .. math:: (D a)_c = \sum_k d_{k,c} * a_k

    Codes are K x H x W, signals C x H x W; the filters d, K x C x h x w with h and w odd, are laid
    around each position (which makes it a convolution, not a correlation), and what falls
    outside of the image is lost. An atom is a filter at a position.
    """

    def __init__(self, filters: torch.Tensor, image: tuple[int, int]) -> None:
        height, width = filters.shape[2:]
        if height % 2 == 0 or width % 2 == 0:
            raise ValueError(f"filters must have odd sizes, got {height} x {width}")
        self.filters = filters
        self.padding = (height // 2, width // 2)
        self.code_shape = (filters.shape[0], *image)
        self.signal_shape = (filters.shape[1], *image)

    def forward(self, code):
        from advsparse.coding._convolutions import synthesis

        return synthesis(code, self.filters)

    def adjoint(self, signal):
        from advsparse.coding._convolutions import analysis

        return analysis(signal, self.filters)

    def norms(self):
        # The squares of a filter, summed over the part of it that lies within the image.
        inside = torch.ones(1, *self.signal_shape[1:]).to(self.like)
        energy = self.filters.square().sum(1, keepdim=True)
        return torch.nn.functional.conv2d(inside, energy, padding=self.padding).sqrt()

    @property
    def like(self):
        return self.filters

    def to(self, dtype):
        return Convolution(self.filters.to(dtype), self.signal_shape[1:])

    def lipschitz(self):
        r"""The largest eigenvalue of D^T D for images on a torus that is larger by the padding.

        Padding and cropping shorten, so that D on the plane never exceeds it. On the torus the
        Fourier transform splits D^T D into a C x C matrix per frequency.
        """
        torus = [
            side + 2 * padding
            for side, padding in zip(self.signal_shape[1:], self.padding, strict=True)
        ]
        spectrum = torch.fft.rfft2(self.filters.double(), s=torus).flatten(2)  # K x C x frequencies
        product = torch.einsum("kcf,kdf->fcd", spectrum, spectrum.conj())
        return float(torch.linalg.eigvalsh(product)[:, -1].max().clamp(min=0)) * (1 + 1e-12)

    def columns(self, index):
        (_, height, width), (above, left) = self.signal_shape, self.padding
        kernel, position = index // (height * width), index % (height * width)
        # Onto a canvas with room for the filters that cross the image's edges.
        canvas = self.filters.new_zeros(
            len(index), self.signal_shape[0], height + 2 * above, width + 2 * left
        )
        rows = (position // width)[:, None] + torch.arange(2 * above + 1, device=index.device)
        across = (position % width)[:, None] + torch.arange(2 * left + 1, device=index.device)
        at = torch.arange(len(index), device=index.device)[:, None, None]
        # Indices around a slice put its channels last.
        canvas[at, :, rows[:, :, None], across[:, None, :]] = self.filters[kernel].movedim(1, 3)
        return canvas[:, :, above : above + height, left : left + width]
