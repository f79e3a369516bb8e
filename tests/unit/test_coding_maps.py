"""Linear maps against their dense matrices."""

from __future__ import annotations

import pytest
import torch

from advsparse.coding._convolution_map import Convolution
from advsparse.coding._maps import Matrix


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


MAPS = {
    "wide matrix": lambda: Matrix(normal(6, 11)),
    "tall matrix": lambda: Matrix(normal(11, 6)),
    "filters": lambda: Convolution(normal(4, 3, 5, 3), (7, 6)),
    "smooth filters": lambda: Convolution(normal(4, 3, 5, 3).abs(), (7, 6)),
    "filter larger than the image": lambda: Convolution(normal(2, 1, 7, 5), (3, 4)),
}


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


def test_sizes_and_atoms(synthesis):
    matrix = dense(synthesis)
    assert matrix.shape == (synthesis.size, synthesis.atoms)
    norms = synthesis.norms()
    assert norms.shape == synthesis.code_shape
    torch.testing.assert_close(norms.flatten(), matrix.norm(dim=0))
    index = torch.randperm(synthesis.atoms, generator=torch.Generator().manual_seed(0))
    columns = synthesis.columns(index)
    assert columns.shape == (synthesis.atoms, *synthesis.signal_shape)
    torch.testing.assert_close(columns.flatten(1).T, matrix[:, index], rtol=0, atol=0)


def test_lipschitz_bounds_the_largest_eigenvalue(synthesis):
    true = float(torch.linalg.matrix_norm(dense(synthesis), 2) ** 2)
    assert synthesis.lipschitz() >= true
    if isinstance(synthesis, Matrix):
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
