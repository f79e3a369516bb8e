"""Convolutional basis pursuit denoising against cvxpy, the LASSO of the dense matrix and theory."""

from __future__ import annotations

import logging

import cvxpy as cp
import pytest
import torch
from solver_cases import dense, noisy, normal, planted

from advsparse.coding import _solving
from advsparse.coding._circular_map import CircularConvolution
from advsparse.coding._convolution_map import Convolution
from advsparse.coding._splitting import Splitting
from advsparse.coding.cbpdn import CBPDN
from advsparse.coding.lasso import Lasso

WEIGHT = 0.7


def filters(count, channels, *size, seed=0):
    drawn = normal(count, channels, *size, seed=seed)
    return drawn / drawn.flatten(1).norm(dim=1)[:, None, None, None]


MAPS = {
    "colour": lambda: CircularConvolution(filters(5, 3, 4, 3), (7, 6)),
    "grey": lambda: CircularConvolution(filters(4, 1, 3, 3), (6, 8)),
    "two channels, smooth": lambda: CircularConvolution(filters(5, 2, 4, 4).abs(), (7, 8)),
    "fewer filters than channels": lambda: CircularConvolution(filters(2, 3, 2, 2), (5, 5)),
    "no unit norms": lambda: CircularConvolution(3 * normal(3, 2, 3, 3), (6, 7)),
}
SOLVERS = {
    "admm": {},
    "admm, adaptive": {"adaptive_rho": True},
    "admm, large rho": {"rho": 8.0},
    "fista": {"solver": "fista"},
}


@pytest.fixture(params=MAPS)
def synthesis(request):
    return MAPS[request.param]()


def tight(gap_tolerance=1e-12, **settings):
    return CBPDN(
        gap_tolerance=gap_tolerance, max_iterations=50_000, **{"weight": WEIGHT} | settings
    )


@pytest.mark.parametrize("settings", SOLVERS.values(), ids=SOLVERS)
def test_objective_is_that_of_the_lasso_of_the_matrix(synthesis, settings):
    x = noisy(synthesis, 6, 5) * torch.linspace(0.3, 3, 6).double()[:, None, None, None]
    found = tight(**settings).solve(synthesis, x)
    matrix = dense(synthesis)
    oracle = Lasso(weight=WEIGHT, gap_tolerance=1e-14, max_iterations=50_000)
    expected = oracle.solve(matrix, x.flatten(1))
    torch.testing.assert_close(found.objective, expected.objective, rtol=1e-9, atol=1e-9)
    left = x.flatten(1) - matrix.forward(found.code.flatten(1))
    torch.testing.assert_close(found.residual, left.norm(dim=1))
    objective = left.square().sum(1) / 2 + WEIGHT * found.code.flatten(1).abs().sum(1)
    torch.testing.assert_close(found.objective, objective)


def test_objective_is_that_of_cvxpy():
    synthesis = MAPS["colour"]()
    x = noisy(synthesis, 3, 5)
    found = tight().solve(synthesis, x)
    matrix = dense(synthesis).matrix.numpy()
    for signal, objective in zip(x, found.objective, strict=True):
        code = cp.Variable(synthesis.atoms)
        misses = cp.sum_squares(signal.flatten().numpy() - matrix @ code)
        problem = cp.Problem(cp.Minimize(0.5 * misses + WEIGHT * cp.norm1(code)))
        problem.solve(solver=cp.CLARABEL)
        assert float(objective) == pytest.approx(problem.value, rel=1e-6)


def test_first_step_is_a_dense_solution(synthesis):
    """z = argmin 1/2 ||x - D z||^2 + rho/2 ||z - y + u||^2."""
    splitting, x = Splitting(synthesis), normal(3, *synthesis.signal_shape)
    q, rho, weight = normal(3, *synthesis.code_shape), torch.tensor([0.3, 1.0, 7.0]).double(), 0.4
    unit = (weight / rho)[:, None, None, None]
    step = splitting.step(2 * q, splitting.signals(x) / unit, splitting.inverse(rho))
    y, u = 2 * q - (2 * q).clamp(-1, 1), (2 * q).clamp(-1, 1)
    found = (y - u + step.d) * unit
    matrix = dense(synthesis).matrix
    for one, signal, penalty, goal in zip(found, x, rho, (y - u) * unit, strict=True):
        system = matrix.T @ matrix + penalty * torch.eye(synthesis.atoms).double()
        right = matrix.T @ signal.flatten() + penalty * goal.flatten()
        expected = torch.linalg.solve(system, right)
        torch.testing.assert_close(one.flatten(), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("gap_tolerance", [1e-2, 1e-4, 1e-6])
def test_gap_bounds_the_excess(synthesis, gap_tolerance, adaptive):
    x = noisy(synthesis, 8, 5) * torch.linspace(0.2, 5, 8).double()[:, None, None, None]
    found = tight(gap_tolerance, adaptive_rho=adaptive).solve(synthesis, x)
    best = tight(1e-13, adaptive_rho=adaptive).solve(synthesis, x)
    excess = (found.objective - best.objective) / x.flatten(1).square().sum(1)
    assert (excess >= -1e-12).all() and (excess <= gap_tolerance).all()
    assert (found.iterations <= best.iterations).all()
    assert len(best.iterations.unique()) > 1  # each stops by itself


def test_optimality_conditions(synthesis):
    x = noisy(synthesis, 6, 4)
    found = tight(1e-14).solve(synthesis, x)
    slope = synthesis.adjoint(x - synthesis.forward(found.code))
    on = found.code != 0
    assert 0 < on.sum() < on.numel()
    assert (slope.abs() <= WEIGHT * (1 + 1e-5)).all()
    torch.testing.assert_close(slope[on], WEIGHT * found.code[on].sign(), rtol=1e-5, atol=0)


def test_planted_codes_are_found():
    synthesis = CircularConvolution(filters(4, 3, 5, 5), (16, 16))
    code = planted(synthesis, 5, 6)
    code = code.sign() * (code.abs() + 1) * (code != 0)
    found = tight(weight=1e-3).solve(synthesis, synthesis.forward(code))
    torch.testing.assert_close(found.code, code, rtol=0, atol=5e-3)
    assert torch.equal(found.code.abs() > 0.1, code != 0)


def test_reconstruction_lengthens_no_difference(synthesis):
    a, b = noisy(synthesis, 8, 5), noisy(synthesis, 8, 5).flip(0) + normal(8, 1, 1, 1)
    one, other = (synthesis.forward(tight().solve(synthesis, x).code) for x in (a, b))
    distance = (one - other).flatten(1).norm(dim=1)
    assert (distance <= (a - b).flatten(1).norm(dim=1) * (1 + 1e-5)).all()


def test_a_shift_of_the_image_shifts_its_code(synthesis):
    x = noisy(synthesis, 4, 5)
    moved = tight().solve(synthesis, x.roll((2, -3), (2, 3)))
    stayed = tight().solve(synthesis, x)
    expected = synthesis.forward(stayed.code).roll((2, -3), (2, 3))
    torch.testing.assert_close(synthesis.forward(moved.code), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(moved.objective, stayed.objective, rtol=1e-9, atol=0)


def test_weights_from_which_on_all_codes_are_zero(synthesis):
    x = noisy(synthesis, 4, 5)
    least = float(synthesis.adjoint(x).abs().amax())
    for weight in (least, 1e3, 1e30, 1e300):
        found = CBPDN(weight=weight).solve(synthesis, x)
        assert not found.code.any() and not found.iterations.any()
        torch.testing.assert_close(found.objective, x.flatten(1).square().sum(1) / 2)
    assert tight(weight=0.99 * least).solve(synthesis, x).code.any()
    assert not CBPDN().solve(synthesis, 0 * x).code.any()
    assert CBPDN().solve(synthesis, x[:0]).code.shape == (0, *synthesis.code_shape)
    nothing = CircularConvolution(torch.zeros_like(synthesis.filters), synthesis.signal_shape[1:])
    assert not CBPDN().solve(nothing, x).code.any()


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images_do_not_depend_on_one_another(dtype, adaptive, monkeypatch):
    synthesis = CircularConvolution(filters(16, 3, 8, 8).to(dtype), (17, 15))
    x = (noisy(synthesis.to(torch.float64), 9, 20) * 0.5).to(dtype)
    solver = CBPDN(weight=0.2, adaptive_rho=adaptive, gap_tolerance=1e-4)
    together = solver.solve(synthesis, x)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    moved = solver.solve(synthesis, x[order])
    monkeypatch.setattr(_solving, "WORKING_SET", 1)
    alone = solver.solve(synthesis, x)
    for found, expected in ((moved.code, together.code[order]), (alone.code, together.code)):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_single_precision_is_as_good_as_the_gap_says():
    synthesis = CircularConvolution(filters(32, 3, 8, 8), (32, 32))
    x = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)).double()
    x[1:] /= 4
    found = CBPDN(gap_tolerance=1e-5).solve(synthesis, x)
    best = tight(1e-7, weight=0.2).solve(synthesis, x)
    excess = (found.objective - best.objective) / x.flatten(1).square().sum(1)
    assert (excess.abs() <= 1e-5).all() and (found.iterations < 1000).all()
    single = CBPDN().solve(synthesis.to(torch.float32), x.float().requires_grad_())
    assert single.code.dtype == torch.float32 and single.objective.dtype == torch.float64
    assert not single.code.requires_grad
    torch.testing.assert_close(single.objective, found.objective, rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("signals", "atoms"), [(1.0, 2.0**90), (2.0**-400, 1.0), (2.0**400, 2.0**300)]
)
def test_codes_grow_with_signals_and_shrink_with_atoms(signals, atoms):
    synthesis = MAPS["colour"]()
    x = noisy(synthesis, 3, 4)
    expected = CBPDN(weight=0.5).solve(synthesis, x)
    solver = CBPDN(weight=0.5 * signals * atoms)
    found = solver.solve(synthesis.over(1 / atoms), x * signals)
    torch.testing.assert_close(found.code, expected.code * (signals / atoms), rtol=1e-12, atol=0)
    assert torch.equal(found.iterations, expected.iterations)


def test_iterations_that_do_not_suffice_are_reported(caplog):
    synthesis = MAPS["colour"]()
    x = noisy(synthesis, 4, 5)
    x[2] = 0
    with caplog.at_level(logging.WARNING):
        found = CBPDN(weight=0.01, max_iterations=7).solve(synthesis, x)
    assert found.iterations.tolist() == [7, 7, 0, 7]
    assert "cbpdn: 3 of 4 images" in caplog.text


def test_other_maps_and_signals_are_refused():
    synthesis = MAPS["colour"]()
    x = noisy(synthesis, 2, 5)
    with pytest.raises(TypeError, match=r"expected a LinearMap, got torch\.Tensor"):
        CBPDN().solve(synthesis.filters, x)
    padded = Convolution(filters(4, 3, 3, 3), (7, 6))
    with pytest.raises(ValueError, match="admm codes by a CircularConvolution, got Convolution"):
        CBPDN().solve(padded, x)
    assert CBPDN(solver="fista").solve(padded, x).code.any()
    with pytest.raises(ValueError, match="signals must be N x 3 x 7 x 6, got 2 x 1 x 7 x 6"):
        CBPDN().solve(synthesis, x[:, :1])
    with pytest.raises(ValueError, match="signals must be finite"):
        CBPDN().solve(synthesis, x / 0)
    synthesis.filters[1, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"dictionary must be finite .* 42 of its 210 atoms"):
        CBPDN().solve(synthesis, x)
