r"""The mathematics of Dict-Attack: steps of images that change codes under a dictionary D most.

D, with a column for each entry of a code, is never formed: D D^T is, P x P for images of P entries.
"""

from __future__ import annotations

from advsparse.attacks._losses import direction
from advsparse.coding._maps import LinearMap
from advsparse.lazy import torch


class Spectrum:
    r"""Singular values of D, ascending, and its left singular vectors, from D D^T in float64.

    A singular value below sqrt(P u) times the largest, with u the unit roundoff, is lost in the
    rounding of D D^T, whose eigenvalues are the squares: it counts as 0, and its vector is not
    among them.
    """

    def __init__(self, synthesis: LinearMap) -> None:
        self._map, self._unit = synthesis.moderate()
        self._map.require_finite()
        squares, vectors = torch.linalg.eigh(self._map.gram())
        kept = squares > squares[-1] * synthesis.size * torch.finfo(torch.float64).eps
        if not kept.any():
            raise ValueError("synthesis: the dictionary is 0")
        self._values, self._vectors = squares[kept].sqrt(), vectors[:, kept]
        self.values = self._values * self._unit

    def smallest(self) -> torch.Tensor:
        r"""D a / ||D a|| for the a that maximises ||a|| subject to ||D a|| <= eps.

        Of the codes orthogonal to the null space of D, that is (weitzner2023, equation 3): the left
        singular vector of the smallest singular value that is not 0. Its largest entry is positive.
        """
        vector = self._vectors[:, 0]
        vector = vector * vector[vector.abs().argmax()].sign()
        return vector.reshape(self._map.signal_shape)

    def dual(self, g: torch.Tensor) -> torch.Tensor:
        r"""(D^T)^+ g = (D D^T)^+ D g for each g of a batch of codes.

        Its direction is that of D a for the a that maximises a^T g subject to ||D a|| <= eps, of
        the codes orthogonal to the null space of D (weitzner2023, equation 4).
        """
        image = self._map.forward(g.to(self._map.like)).flatten(1)
        found = (image @ self._vectors / self._values.square()) @ self._vectors.T
        return found.reshape(-1, *self._map.signal_shape) / self._unit


def by_column_norms(synthesis: LinearMap, g: torch.Tensor) -> torch.Tensor:
    r"""D a, up to its length, for the a that maximises a^T g subject to sum_i c_i a_i^2 <= eps^2.

    c_i = ||d_i||^2 are the squared norms of the columns of D, and so a_i is proportional to
    g_i / c_i; a column that is 0 contributes nothing. For each g of a batch of codes, in float64.
    """
    synthesis, unit = synthesis.moderate()
    synthesis.require_finite()
    squares = synthesis.norms().square()
    weights = torch.where(squares > 0, 1 / squares, 0.0)
    return synthesis.forward(weights * g.to(weights)) / unit


def between(classes: torch.Tensor, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Unit directions from the classes ``source`` to ``target``; 0 where the two are the same.

    classes: K x C x H x W, what :meth:`Spectrum.dual` gives for the weights of each class. Being
    linear, it gives their differences for differences of weights.
    """
    return direction(classes[target] - classes[source], "l2")
