"""Dictionaries and signals that the tests of solvers share."""

from __future__ import annotations

import torch

from advsparse.coding._convolution_map import Convolution
from advsparse.coding._maps import Matrix


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit_columns(m, n, seed=0):
    matrix = normal(m, n, seed=seed)
    return matrix / matrix.norm(dim=0)


def planted(synthesis, count, sparsity, seed=1):
    """Codes of ``sparsity`` normal entries at random places."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.rand(count, synthesis.atoms, generator=generator).topk(sparsity, dim=1).indices
    values = normal(count, sparsity, seed=seed)
    code = torch.zeros(count, synthesis.atoms, dtype=torch.float64).scatter_(1, places, values)
    return code.reshape(-1, *synthesis.code_shape)


def noisy(synthesis, count, sparsity, noise=0.05):
    """Signals near the span of few atoms."""
    signals = synthesis.forward(planted(synthesis, count, sparsity))
    return signals + noise * normal(*signals.shape, seed=2)


def small_convolution():
    return Convolution(normal(5, 2, 3, 3), (6, 7))


def dense(synthesis):
    """The same dictionary as a matrix."""
    units = torch.eye(synthesis.atoms, dtype=torch.float64)
    return Matrix(synthesis.forward(units.reshape(-1, *synthesis.code_shape)).flatten(1).T)
