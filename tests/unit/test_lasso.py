"""The LASSO against scikit-learn, cvxpy and its optimality conditions."""

from __future__ import annotations

import logging

import cvxpy as cp
import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso as Sklearn
from solver_cases import dense, noisy, normal, small_convolution, unit_columns

from advsparse.coding import _solving
from advsparse.coding._maps import Matrix
from advsparse.coding.lasso import Lasso


def lagrangian(matrix, x, code, weight):
    return 0.5 * (x - code @ matrix.T).square().sum(1) + weight * code.abs().sum(1)


@pytest.mark.parametrize(("m", "n"), [(50, 100), (60, 40)])
@pytest.mark.parametrize("weight", [0.01, 0.2])
def test_weight_is_as_scikit_learn_has_it(m, n, weight):
    scale = torch.linspace(0.5, 2, n, dtype=torch.float64)
    synthesis = Matrix(unit_columns(m, n) * scale)
    x = noisy(synthesis, 30, 8)
    found = Lasso(weight=weight, gap_tolerance=1e-13).solve(synthesis, x)
    oracle = Sklearn(alpha=weight / m, fit_intercept=False, tol=1e-14, max_iter=10**6)
    expected = torch.from_numpy(oracle.fit(synthesis.matrix.numpy(), x.numpy().T).coef_)
    best = lagrangian(synthesis.matrix, x, expected, weight)
    torch.testing.assert_close(found.objective, best, rtol=1e-8, atol=0)
    torch.testing.assert_close(lagrangian(synthesis.matrix, x, found.code, weight), found.objective)
    np.testing.assert_array_equal(found.code != 0, expected != 0)
    torch.testing.assert_close(found.residual, (x - found.code @ synthesis.matrix.T).norm(dim=1))


@pytest.mark.parametrize("gap_tolerance", [1e-2, 1e-4, 1e-6])
def test_gap_bounds_the_excess(gap_tolerance):
    synthesis = Matrix(unit_columns(50, 100))
    x = noisy(synthesis, 50, 8) * torch.linspace(0.2, 5, 50, dtype=torch.float64)[:, None]
    found = Lasso(weight=0.05, gap_tolerance=gap_tolerance).solve(synthesis, x)
    best = Lasso(weight=0.05, gap_tolerance=1e-14).solve(synthesis, x)
    excess = (found.objective - best.objective) / x.square().sum(1)
    assert (excess >= -1e-14).all() and (excess <= gap_tolerance).all()
    assert (found.iterations < best.iterations).all()


def test_optimality_conditions_of_a_convolution():
    synthesis = small_convolution()
    x, weight = noisy(synthesis, 6, 4), 0.7
    found = Lasso(weight=weight, gap_tolerance=1e-14).solve(synthesis, x)
    slope = synthesis.adjoint(x - synthesis.forward(found.code))
    on = found.code != 0
    assert 0 < on.sum() < on.numel()
    torch.testing.assert_close(slope[on], weight * found.code[on].sign(), rtol=1e-5, atol=0)
    assert (slope.abs() <= weight * (1 + 1e-5)).all()
    same = Lasso(weight=weight, gap_tolerance=1e-14).solve(dense(synthesis), x.flatten(1))
    torch.testing.assert_close(found.objective, same.objective, rtol=1e-10, atol=0)
    torch.testing.assert_close(found.code.flatten(1), same.code, rtol=0, atol=1e-5)


@pytest.mark.parametrize("tolerance", [0.05, 2.0])
def test_tolerance_is_as_cvxpy_has_it(tolerance):
    synthesis = Matrix(unit_columns(20, 40))
    x = 2 * noisy(synthesis, 8, 6)
    found = Lasso(tolerance=tolerance).solve(synthesis, x)
    squared = found.residual**2
    assert (squared <= tolerance).all() and (squared >= (1 - 2e-4) * tolerance).all()
    torch.testing.assert_close(found.objective, found.code.abs().sum(1))
    for signal, objective in zip(x, found.objective, strict=True):
        code = cp.Variable(40)
        misses = cp.sum_squares(signal.numpy() - synthesis.matrix.numpy() @ code)
        problem = cp.Problem(cp.Minimize(cp.norm1(code)), [misses <= tolerance])
        problem.solve(solver=cp.CLARABEL)
        assert float(objective) == pytest.approx(problem.value, rel=1e-4)


def test_tolerance_that_no_code_reaches(caplog):
    synthesis = Matrix(unit_columns(30, 10))
    x = torch.cat([normal(3, 30, seed=3), synthesis.forward(normal(3, 10, seed=4))])
    with caplog.at_level(logging.WARNING):
        found = Lasso(tolerance=0.01).solve(synthesis, x)
    assert "3 of 6 signals" in caplog.text
    best = synthesis.forward(torch.linalg.lstsq(synthesis.matrix, x.T).solution.T)
    least = (x - best).norm(dim=1)[:3]
    torch.testing.assert_close(found.residual[:3], least, rtol=1e-6, atol=0)
    assert (found.residual[3:] ** 2 <= 0.01).all()


@pytest.mark.parametrize("settings", [{"weight": 0.1}, {"tolerance": 0.5}])
def test_signals_do_not_depend_on_one_another(settings, monkeypatch):
    synthesis = Matrix(unit_columns(40, 80))
    x = noisy(synthesis, 13, 6) * torch.linspace(0.1, 3, 13, dtype=torch.float64)[:, None]
    together = Lasso(**settings, gap_tolerance=1e-12).solve(synthesis, x)
    monkeypatch.setattr(_solving, "WORKING_SET", 1)
    alone = Lasso(**settings, gap_tolerance=1e-12).solve(synthesis, x.flip(0))
    torch.testing.assert_close(alone.code.flip(0), together.code, rtol=0, atol=1e-4)
    torch.testing.assert_close(alone.objective.flip(0), together.objective, rtol=1e-4, atol=0)


def test_ill_conditioned_dictionary():
    matrix = unit_columns(30, 60) @ torch.diag(torch.logspace(-2, 1, 60, dtype=torch.float64))
    synthesis = Matrix(matrix + normal(30, 1, seed=7))
    x = noisy(synthesis, 10, 5)
    found = Lasso(weight=0.05, gap_tolerance=1e-9, max_iterations=50_000).solve(synthesis, x)
    oracle = Sklearn(alpha=0.05 / 30, fit_intercept=False, tol=1e-11, max_iter=10**6)
    expected = torch.from_numpy(oracle.fit(synthesis.matrix.numpy(), x.numpy().T).coef_)
    best = lagrangian(synthesis.matrix, x, expected, 0.05)
    assert (found.objective <= best + 1e-9 * x.square().sum(1)).all()


def test_iterations_that_do_not_suffice_are_reported(caplog):
    synthesis = Matrix(unit_columns(50, 100))
    x = noisy(synthesis, 4, 8)
    with caplog.at_level(logging.WARNING):
        found = Lasso(weight=0.01, max_iterations=7).solve(synthesis, x)
    assert (found.iterations == 7).all()
    assert "4 of 4 signals" in caplog.text


def test_large_weight_and_zero_signals():
    synthesis = Matrix(unit_columns(10, 20))
    x = torch.cat([torch.zeros(1, 10), torch.ones(1, 10)])
    for solver in (Lasso(weight=100.0), Lasso(tolerance=11.0)):
        found = solver.solve(synthesis, x)
        assert not found.code.any() and not found.iterations.any()
    nothing = Lasso(weight=1.0).solve(Matrix(torch.zeros(10, 20)), x)
    assert not nothing.code.any()
    assert Lasso(weight=1.0).solve(synthesis, x[:0]).code.shape == (0, 20)


def test_precision_and_gradients_of_the_input():
    synthesis = Matrix(unit_columns(40, 80).float().requires_grad_())
    x = noisy(Matrix(unit_columns(40, 80)), 5, 6)
    found = Lasso(weight=0.1).solve(synthesis, x.float().requires_grad_())
    assert found.code.dtype == torch.float32 and found.objective.dtype == torch.float64
    assert not found.code.requires_grad


@pytest.mark.parametrize("settings", [{}, {"weight": 1.0, "tolerance": 1.0}])
def test_settings_that_say_nothing_or_too_much(settings):
    with pytest.raises(ValueError, match="one of weight and tolerance"):
        Lasso(**settings)
