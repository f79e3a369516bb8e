"""Orthogonal matching pursuit against scikit-learn, least squares and definitions."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from sklearn.linear_model import orthogonal_mp, orthogonal_mp_gram
from solver_cases import dense, noisy, normal, planted, small_convolution, unit_columns

from advsparse.coding import _pursuit, _solving
from advsparse.coding._maps import Matrix
from advsparse.coding.omp import OMP


@pytest.fixture(params=["Gram matrix", "residuals"])
def tracked(request, monkeypatch):
    """Both ways to keep track of residuals."""
    if request.param == "residuals":
        monkeypatch.setattr(_pursuit, "GRAM", 0)


def assert_least_squares(matrix, code, signal, tolerance):
    """That the code has the best coefficients on its support."""
    on = code != 0
    best = torch.linalg.lstsq(matrix[:, on], signal[:, None]).solution[:, 0]
    torch.testing.assert_close(code[on], best, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("m", "n", "s"), [(50, 100, 10), (30, 200, 25), (60, 40, 40)])
def test_sparsity_is_as_scikit_learn_has_it(tracked, m, n, s):
    synthesis = Matrix(unit_columns(m, n))
    x = noisy(synthesis, 40, 8)
    found = OMP(sparsity=s).solve(synthesis, x)
    matrix = synthesis.matrix.numpy()
    expected = orthogonal_mp_gram(matrix.T @ matrix, matrix.T @ x.numpy().T, n_nonzero_coefs=s).T
    np.testing.assert_array_equal(found.code != 0, expected != 0)
    np.testing.assert_allclose(found.code, expected, rtol=0, atol=1e-8)
    assert (found.iterations == s).all()
    torch.testing.assert_close(found.residual, (x - found.code @ synthesis.matrix.T).norm(dim=1))
    assert torch.equal(found.objective, found.residual)


@pytest.mark.parametrize("room", [2, 64])
def test_tolerance_is_as_scikit_learn_has_it(tracked, monkeypatch, room):
    monkeypatch.setattr(_pursuit, "ROOM", room)
    synthesis = Matrix(unit_columns(50, 100))
    x = noisy(synthesis, 60, 8) * torch.linspace(0.5, 3, 60, dtype=torch.float64)[:, None]
    found = OMP(tolerance=0.3).solve(synthesis, x)
    expected = orthogonal_mp(synthesis.matrix.numpy(), x.numpy().T, tol=0.3).T
    np.testing.assert_array_equal(found.code != 0, expected != 0)
    np.testing.assert_allclose(found.code, expected, rtol=0, atol=1e-8)
    assert (found.residual**2 <= 0.3).all()
    assert torch.equal(found.objective, found.iterations.double())
    assert len(found.iterations.unique()) > 3, "they should end at different times"


def test_convolution_is_its_matrix():
    synthesis = small_convolution()
    x = noisy(synthesis, 7, 4)
    found = OMP(sparsity=12).solve(synthesis, x)
    same = OMP(sparsity=12).solve(dense(synthesis), x.flatten(1))
    assert found.code.shape == (7, *synthesis.code_shape)
    torch.testing.assert_close(found.code.flatten(1), same.code, rtol=0, atol=1e-10)


def test_atoms_are_compared_at_unit_norm(tracked):
    unit = Matrix(unit_columns(40, 80))
    scale = torch.linspace(0.01, 100, 80, dtype=torch.float64)
    x = noisy(unit, 20, 6)
    found = OMP(sparsity=9).solve(Matrix(unit.matrix * scale), x)
    torch.testing.assert_close(found.code * scale, OMP(sparsity=9).solve(unit, x).code)


def test_nearly_dependent_atoms_are_least_squares(tracked):
    near = unit_columns(30, 10)
    synthesis = Matrix(torch.cat([near, near + 1e-4 * normal(30, 10, seed=3)], dim=1))
    x = synthesis.forward(planted(synthesis, 20, 12)) + 1e-3 * normal(20, 30, seed=4)
    found = OMP(sparsity=16).solve(synthesis, x)
    for code, signal in zip(found.code, x, strict=True):
        assert_least_squares(synthesis.matrix, code, signal, 1e-6)


def test_pursuit_ends_where_the_residual_is_zero(tracked):
    synthesis = Matrix(unit_columns(60, 90))
    code = planted(synthesis, 30, 5)
    found = OMP(sparsity=40).solve(synthesis, synthesis.forward(code))
    recovered = found.iterations == 5
    assert recovered.float().mean() > 0.8
    torch.testing.assert_close(found.code[recovered], code[recovered])
    assert (found.residual < 1e-12).all()


@pytest.mark.parametrize("apart", [0.0, 1e-7])
def test_pursuit_ends_before_dependent_atoms(tracked, apart):
    rank = unit_columns(20, 4)
    combined = rank @ normal(4, 12, seed=3) + apart * normal(20, 12, seed=6)
    synthesis = Matrix(torch.cat([rank, combined, 0 * rank], dim=1))
    x = normal(15, 20, seed=5)
    found = OMP(sparsity=10).solve(synthesis, x)
    assert (found.iterations == 4).all() and (found.code[:, 16:] == 0).all()
    for code, signal in zip(found.code, x, strict=True):
        assert_least_squares(synthesis.matrix, code, signal, 1e-10)


def test_signals_do_not_depend_on_one_another(tracked, monkeypatch):
    synthesis = Matrix(unit_columns(40, 80))
    x = noisy(synthesis, 23, 6) * torch.linspace(0.1, 3, 23, dtype=torch.float64)[:, None]
    together = OMP(tolerance=0.2).solve(synthesis, x)
    monkeypatch.setattr(_solving, "WORKING_SET", 1)
    alone = OMP(tolerance=0.2).solve(synthesis, x.flip(0))
    torch.testing.assert_close(alone.code.flip(0), together.code, rtol=0, atol=1e-12)
    assert torch.equal(alone.iterations.flip(0), together.iterations)


def test_precision_and_gradients_of_the_input():
    synthesis = Matrix(unit_columns(40, 80).float().requires_grad_())
    x = noisy(Matrix(unit_columns(40, 80)), 5, 6)
    found = OMP(sparsity=5).solve(synthesis, x.float().requires_grad_())
    assert found.code.dtype == torch.float32 and found.residual.dtype == torch.float64
    assert not found.code.requires_grad
    exact = OMP(sparsity=5).solve(Matrix(unit_columns(40, 80)), x)
    torch.testing.assert_close(found.code, exact.code.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("settings", [{"sparsity": 3}, {"tolerance": 1.0}])
def test_nothing_to_do(settings):
    synthesis = Matrix(unit_columns(10, 20))
    assert OMP(**settings).solve(synthesis, torch.zeros(0, 10)).code.shape == (0, 20)
    found = OMP(**settings).solve(synthesis, torch.zeros(2, 10))
    assert not found.code.any() and not found.iterations.any()
    if "tolerance" in settings:
        assert OMP(**settings).solve(synthesis, 0.3 * torch.ones(1, 10)).iterations == 0


def test_tolerance_that_no_code_reaches_is_warned_of(tracked, caplog):
    synthesis = Matrix(unit_columns(30, 10))
    x = torch.cat([normal(3, 30, seed=3), synthesis.forward(normal(3, 10, seed=4))])
    with caplog.at_level(logging.WARNING):
        found = OMP(tolerance=0.01).solve(synthesis, x)
    assert "omp: 3 of 6 signals are not solved to the tolerance" in caplog.text
    # Of which no code would do better.
    best = synthesis.forward(torch.linalg.lstsq(synthesis.matrix, x.T).solution.T)
    torch.testing.assert_close(found.residual[:3], (x - best).norm(dim=1)[:3])
    assert (found.residual[3:] ** 2 <= 0.01).all()


@pytest.mark.parametrize("settings", [{"tolerance": 0.0}, {"tolerance": 1e-20}, {"sparsity": 2}])
def test_a_residual_of_rounding_errors_misses_no_tolerance(tracked, settings, caplog):
    synthesis = Matrix(unit_columns(30, 10))
    with caplog.at_level(logging.WARNING):
        OMP(**settings).solve(synthesis, 1e6 * synthesis.forward(normal(3, 10, seed=4)))
    assert not caplog.text


@pytest.mark.parametrize("settings", [{}, {"sparsity": 3, "tolerance": 1.0}])
def test_settings_that_say_nothing_or_too_much(settings):
    with pytest.raises(ValueError, match="one of sparsity and tolerance"):
        OMP(**settings)


def test_bad_signals():
    synthesis = Matrix(unit_columns(10, 20))
    with pytest.raises(ValueError, match="N x 10, got 3 x 11"):
        OMP(sparsity=2).solve(synthesis, torch.zeros(3, 11))
    with pytest.raises(ValueError, match=r"floating-point numbers, got torch\.int64"):
        OMP(sparsity=2).solve(synthesis, torch.ones(3, 10, dtype=torch.int64))
    with pytest.raises(ValueError, match="finite"):
        OMP(sparsity=2).solve(synthesis, torch.full((3, 10), torch.nan))
