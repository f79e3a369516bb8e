"""Products of atoms with one another, and the systems that they make. Imports torch."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from advsparse.coding._circular_map import CircularConvolution

_TOGETHER = 1024
"""Atoms in a tile, on average at most: with more of them their factor takes longer than the steps
that it spares."""

_RIDGE = {torch.float32: 1e-6, torch.float64: 1e-11}
"""Of the largest squared norm, what is added to each, so that a Cholesky factor exists."""


class AtomProducts:
    """D_S^T D_S for sets S of the atoms of a circular convolution.

    A product is told by two filters and by how far they are from one another: of these there are
    few, on a torus that is no larger than it takes.
    """

    def __init__(self, synthesis: CircularConvolution) -> None:
        count, *self.image = synthesis.code_shape
        sizes = synthesis.filters.shape[2:]
        torus = [min(side, 2 * size - 1) for side, size in zip(self.image, sizes, strict=True)]
        small = CircularConvolution(synthesis.filters, (torus[0], torus[1])).spectrum
        correlation = torch.einsum("cjhw,ckhw->jkhw", small.conj(), small)
        # Atoms that are too far from one another to meet find a zero at the end.
        table = functional.pad(torch.fft.irfft2(correlation, s=torus), (0, 1, 0, 1))
        self._table = table.flatten()
        filters = torch.arange(count, device=table.device)
        self._filters = (filters[:, None] * count + filters) * table[0, 0].numel()
        self._rows = _distances(self.image[0], torus[0], table.device) * table.shape[3]
        self._columns = _distances(self.image[1], torus[1], table.device)

    def __call__(self, index: torch.Tensor) -> torch.Tensor:
        """The products of the n atoms at these flat positions in a code, n x n."""
        height, width = self.image
        k, row, column = index // (height * width), index // width % height, index % width
        place = self._filters[k][:, k]
        place += self._rows[row][:, row]
        place += self._columns[column][:, column]
        return self._table[place]


def _distances(side: int, torus: int, device: torch.device) -> torch.Tensor:
    """From two positions along a side to their distance's place along the smaller torus, or, where
    that is too long, to its end."""
    ahead = (torus + 1) // 2
    places = torch.full((side,), torus, device=device)
    places[:ahead] = torch.arange(ahead, device=device)
    places[side - torus + ahead :] = torch.arange(ahead, torus, device=device)
    positions = torch.arange(side, device=device)
    return places[(positions[:, None] - positions) % side]


class NearInverse:
    """Nearly the inverses of D_S^T D_S, for conjugate gradients, which end the sooner for it.

    Images are cut into tiles, few or one. Among the atoms of a tile the inverse is exact; what they
    have to do with others is left out.
    """

    def __init__(self, used: torch.Tensor, products: AtomProducts) -> None:
        """``used``: N x K x H x W truth values, which atoms are in the sets."""
        sets = [image.flatten().nonzero()[:, 0] for image in used]
        self._tiles = [
            [(tile, _factor(products(tile))) for tile in _tiles(atoms, products.image)]
            for atoms in sets
        ]

    def keep(self, images: torch.Tensor) -> None:
        """Let go of all images but those, N truth values."""
        self._tiles = [self._tiles[at] for at in images.nonzero()[:, 0].tolist()]

    def __call__(self, code: torch.Tensor) -> torch.Tensor:
        """The inverses times codes that are zero outside of their set."""
        found = code.clone()
        for image, tiles in zip(found.flatten(1), self._tiles, strict=True):
            for atoms, factor in tiles:
                image[atoms] = torch.cholesky_solve(image[atoms, None], factor)[:, 0]
        return found


def _tiles(atoms: torch.Tensor, image: list[int]) -> list[torch.Tensor]:
    """Atoms, given by their flat positions in a code, tile by tile."""
    cuts = math.ceil(math.sqrt(len(atoms) / _TOGETHER))
    row, column = atoms // image[1] % image[0], atoms % image[1]
    tile = row * cuts // image[0] * cuts + column * cuts // image[1]
    counts = tile.bincount(minlength=1)
    parts = atoms[tile.argsort(stable=True)].split(counts.tolist())
    return [part for part in parts if len(part)]


def _factor(products: torch.Tensor) -> torch.Tensor:
    """The Cholesky factor of products of atoms, which may depend on one another."""
    squares = products.diagonal()
    squares += _RIDGE[products.dtype] * squares.amax()
    factor, failed = torch.linalg.cholesky_ex(products)
    return torch.diag(squares.sqrt()) if failed else factor
