"""Linear maps against their dense matrices."""

from __future__ import annotations

import math

import pytest
import torch

from advsparse.attacks._dict_directions import Spectrum, by_column_norms
from advsparse.coding._circular_map import CircularConvolution
from advsparse.coding._convolution_map import Convolution
from advsparse.coding._maps import Matrix, unit_of
from advsparse.coding.lasso import Lasso
from advsparse.coding.lista import LISTA
from advsparse.coding.omp import OMP


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


MAPS = {
    "wide matrix": lambda: Matrix(normal(6, 11)),
    "tall matrix": lambda: Matrix(normal(11, 6)),
    "filters": lambda: Convolution(normal(4, 3, 5, 3), (7, 6)),
    "smooth filters": lambda: Convolution(normal(4, 3, 5, 3).abs(), (7, 6)),
    "filter larger than the image": lambda: Convolution(normal(2, 1, 7, 5), (3, 4)),
    "filters on a torus": lambda: CircularConvolution(normal(4, 3, 4, 3), (7, 6)),
    "smooth filters on a torus": lambda: CircularConvolution(normal(4, 3, 4, 2).abs(), (6, 5)),
    "filter larger than the torus": lambda: CircularConvolution(normal(2, 1, 7, 5), (3, 4)),
}

EXACT = Matrix, CircularConvolution
"""Maps whose Lipschitz constant is no bound, but the largest eigenvalue."""


@pytest.fixture(params=MAPS)
def synthesis(request):
    return MAPS[request.param]()


def dense(synthesis):
    """The matrix whose columns are the images of unit codes."""
    units = torch.eye(synthesis.atoms, dtype=torch.float64)
    return synthesis.forward(units.reshape(-1, *synthesis.code_shape)).flatten(1).T


def test_adjoint(synthesis):
    code, signal = normal(3, *synthesis.code_shape), normal(3, *synthesis.signal_shape, seed=1)
    left = (synthesis.forward(code) * signal).flatten(1).sum(1)
    right = (code * synthesis.adjoint(signal)).flatten(1).sum(1)
    torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)


def test_convolution_by_its_definition():
    filters, image = normal(2, 3, 3, 5), (4, 6)
    code = normal(1, 2, *image, seed=1)
    expected = torch.zeros(1, 3, *image, dtype=torch.float64)
    for k in range(2):
        for row in range(image[0]):
            for column in range(image[1]):
                for i in range(3):
                    for j in range(5):
                        at = row + i - 1, column + j - 2
                        if 0 <= at[0] < image[0] and 0 <= at[1] < image[1]:
                            part = code[0, k, row, column] * filters[k, :, i, j]
                            expected[0, :, at[0], at[1]] += part
    torch.testing.assert_close(Convolution(filters, image).forward(code), expected)


def test_circular_convolution_by_its_definition():
    filters, image = normal(2, 3, 4, 5), (4, 3)  # wider than the image
    code = normal(1, 2, *image, seed=1)
    expected = torch.zeros(1, 3, *image, dtype=torch.float64)
    for k in range(2):
        for row in range(image[0]):
            for column in range(image[1]):
                for i in range(4):
                    for j in range(5):
                        at = (row + i) % image[0], (column + j) % image[1]
                        part = code[0, k, row, column] * filters[k, :, i, j]
                        expected[0, :, at[0], at[1]] += part
    torch.testing.assert_close(CircularConvolution(filters, image).forward(code), expected)


def test_sizes_and_atoms(synthesis):
    matrix = dense(synthesis)
    assert matrix.shape == (synthesis.size, synthesis.atoms)
    norms = synthesis.norms()
    assert norms.shape == synthesis.code_shape
    torch.testing.assert_close(norms.flatten(), matrix.norm(dim=0))
    index = torch.randperm(synthesis.atoms, generator=torch.Generator().manual_seed(0))
    columns = synthesis.columns(index)
    assert columns.shape == (synthesis.atoms, *synthesis.signal_shape)
    # Fourier transforms round.
    rounding = 1e-14 if isinstance(synthesis, CircularConvolution) else 0
    torch.testing.assert_close(columns.flatten(1).T, matrix[:, index], rtol=0, atol=rounding)


def test_gram(synthesis):
    matrix = dense(synthesis)
    torch.testing.assert_close(synthesis.gram(), matrix @ matrix.T, rtol=1e-12, atol=1e-12)


def test_lipschitz_bounds_the_largest_eigenvalue(synthesis):
    true = float(torch.linalg.matrix_norm(dense(synthesis), 2) ** 2)
    assert synthesis.lipschitz() >= true
    if isinstance(synthesis, EXACT):
        assert synthesis.lipschitz() == pytest.approx(true, rel=1e-10)


@pytest.mark.parametrize("smooth", [False, True])
def test_lipschitz_of_a_convolution_is_hardly_too_large(smooth):
    filters = normal(3, 1, 5, 5)
    convolution = Convolution(filters.abs() if smooth else filters, (24, 24))
    true = float(torch.linalg.matrix_norm(dense(convolution), 2) ** 2)
    assert true <= convolution.lipschitz() <= 1.1 * true


def test_precision(synthesis):
    single = synthesis.to(torch.float32)
    assert (single.like.dtype, synthesis.like.dtype) == (torch.float32, torch.float64)
    code = normal(2, *synthesis.code_shape)
    torch.testing.assert_close(single.forward(code.float()), synthesis.forward(code).float())


def test_filters_of_even_size_are_refused():
    with pytest.raises(ValueError, match="odd sizes, got 3 x 4"):
        Convolution(normal(2, 1, 3, 4), (8, 8))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_maps_that_are_not_finite_are_refused(synthesis, value):
    synthesis.require_finite()
    like = synthesis.like
    like[1, 0] = value
    count = int((~dense_columns(synthesis).isfinite()).any(0).sum())
    with pytest.raises(ValueError, match=f"dictionary must be finite .* {count} of its"):
        synthesis.require_finite()


def dense_columns(synthesis):
    """The atoms as columns, without products that spread what is not finite."""
    return synthesis.columns(torch.arange(synthesis.atoms)).flatten(1).T


@pytest.mark.parametrize("exponent", [-1060, -660, -90, -14, 0, 14, 90, 660, 1015])
def test_units_of_extreme_maps(synthesis, exponent):
    scaled = synthesis.over(2.0 ** (-exponent / 2)).over(2.0 ** (-exponent / 2))
    moderate, unit = scaled.moderate()
    if abs(exponent) <= 14:
        assert unit == 1
        assert torch.equal(dense(moderate), dense(scaled))
    else:
        assert 2**-61 < moderate.largest() <= 2**20 and math.frexp(unit)[0] == 0.5
        assert torch.equal(moderate.like * unit, scaled.like)
    assert torch.equal(moderate.largest(), moderate.like.abs().max())


def test_units_of_numbers():
    numbers = [0, 2.0**-1074, 1.7e308, 1e200, 1e6, -1, torch.inf, torch.nan]
    given = torch.tensor(numbers, dtype=torch.float64)
    found = unit_of(given.abs())
    assert found.tolist() == [1, 2.0**-1000, 2.0**1000, 2.0**665, 1, 1, 1, 1]
    assert unit_of(given[[0, 5]].abs()).tolist() == [1, 1]


SOLVERS = {
    "omp of atoms": OMP(sparsity=2),
    "omp to a tolerance": OMP(tolerance=0.1),
    "lasso of a weight": Lasso(weight=0.1, max_iterations=20),  # reached or not
    "lasso to a tolerance": Lasso(tolerance=0.1, max_iterations=20),
}


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_solvers_refuse_dictionaries_that_are_not_finite(synthesis, solver, value):
    x = synthesis.forward(normal(2, *synthesis.code_shape))
    solver.solve(synthesis, x)
    synthesis.like[1, 0] = value
    for signals in (x, x[:0]):
        with pytest.raises(ValueError, match=r"dictionary must be finite .* NaN or infinity"):
            solver.solve(synthesis, signals)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("start", ["ista", "random"])
def test_learned_coders_refuse_dictionaries_that_are_not_finite(start, value):
    matrix = normal(6, 11).float()
    LISTA(start=start).build((6,), dictionary=matrix)
    matrix[2, 3] = value
    with pytest.raises(ValueError, match=r"dictionary must be finite .* 1 of its 11 atoms"):
        LISTA(start=start).build((6,), dictionary=matrix)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_sensitive_directions_of_what_is_not_finite_are_refused(synthesis, value):
    synthesis.like[1, 0] = value
    with pytest.raises(ValueError, match="dictionary must be finite"):
        Spectrum(synthesis)
    with pytest.raises(ValueError, match="dictionary must be finite"):
        by_column_norms(synthesis, normal(2, *synthesis.code_shape))
