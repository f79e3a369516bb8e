"""The proximal-gradient solvers of SCADA against definitions, a plain rewriting, and cvxpy."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
import torch
from models_for_tests import affine, small_images, small_network

from advsparse.attacks._adversarial_dictionary import StepRule, encode, learn
from advsparse.attacks._dictionary_problem import Problem, project_atoms, soft_threshold

SEARCH = {"shrink": 0.5, "halvings": 30}


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network_problem(lambda1, lambda2, count=5):
    """The small network and images of ``test_attacks_contract``, and targets."""
    x = small_images(count, torch.float64)
    model = small_network(x).eval().requires_grad_(False)
    target = model(x).topk(2, dim=1).indices[:, 1]
    return model, Problem(lambda z, rows=None: model(z), x, target, lambda1, lambda2)


def objective(model, problem, d, v):
    """F and Omega of the paper (without the constraint), v_i in the columns of ``v``."""
    e = d @ v
    images = problem.x.flatten(1).T + e
    log_p = model(images.T.reshape(problem.x.shape)).log_softmax(1)
    f = problem.lambda2 * (e**2).sum() - log_p[torch.arange(len(log_p)), problem.target].sum()
    return f, problem.lambda1 * v.abs().sum()


def plain_algorithm(model, problem, d, *, iterations, gamma, ratio, shrink):
    """Algorithm 1 as printed, with columns for codes, and gradients taken in D and V directly.

    ``ratio`` is the step on D as a multiple of that on V; gamma is doubled after a step that passed
    at once, and else what the search left.
    """
    v = torch.zeros(d.shape[1], len(problem.x), dtype=d.dtype)
    losses, steps, backtracks = [float(sum(objective(model, problem, d, v)))], [], []
    for _ in range(iterations):
        d, v = d.detach().requires_grad_(), v.detach().requires_grad_()
        f, omega = objective(model, problem, d, v)
        grad_d, grad_v = torch.autograd.grad(f, (d, v))
        with torch.no_grad():
            half_d = d - ratio * gamma * grad_d
            half_d = torch.stack([column / max(1, column.norm()) for column in half_d.T], dim=1)
            moved = v - gamma * grad_v
            half_v = torch.sign(moved) * torch.relu(moved.abs() - gamma * problem.lambda1)
            diff_d, diff_v = half_d - d, half_v - v
            h = problem.lambda1 * half_v.abs().sum() - omega
            h += (grad_d * diff_d).sum() + (diff_d**2).sum() / (2 * ratio * gamma)
            h += (grad_v * diff_v).sum() + (diff_v**2).sum() / (2 * gamma)
            i = 0
            while True:
                try_d, try_v = d + shrink**i * diff_d, v + shrink**i * diff_v
                i += 1
                loss = sum(objective(model, problem, try_d, try_v))
                if loss <= f + omega + shrink**i * h:
                    break
        d, v = try_d, try_v
        losses.append(float(loss))
        steps.append(gamma)
        backtracks.append(i - 1)
        gamma = 2 * gamma if i == 1 else gamma * shrink ** (i - 1)
    return d, v, losses, steps, backtracks


def test_soft_threshold_is_the_proximity_operator():
    v = torch.tensor([-3.0, -1.0, -0.4, 0.0, 0.3, 0.7, 2.5], dtype=torch.float64)
    grid = torch.linspace(-4, 4, 80001, dtype=torch.float64)[:, None]
    for threshold in (0.0, 0.5, 1.2):
        cost = (grid - v) ** 2 / 2 + threshold * grid.abs()
        best = grid[cost.argmin(0)].squeeze(1)
        torch.testing.assert_close(soft_threshold(v, threshold), best, rtol=0, atol=1e-4)
    assert soft_threshold(v, 0.5).tolist() == pytest.approx([-2.5, -0.5, 0, 0, 0, 0.2, 2.0])


def test_atoms_go_to_the_nearest_point_of_the_ball():
    d = normal(6, 4) * torch.tensor([0.1, 0.4, 1.0, 5.0], dtype=torch.float64)
    projected = project_atoms(d)
    for column, found in zip(d.T, projected.T, strict=True):
        u = cp.Variable(6)
        cp.Problem(cp.Minimize(cp.sum_squares(u - column.numpy())), [cp.norm(u) <= 1]).solve(
            solver=cp.CLARABEL
        )
        np.testing.assert_allclose(found, u.value, atol=1e-5)
    inside = d.norm(dim=0) <= 1
    assert 0 < inside.sum() < 4
    assert torch.equal(projected[:, inside], d[:, inside])


@pytest.mark.parametrize("ratio", [1.0, 0.01])
@pytest.mark.parametrize("gamma", [0.01, 1000.0])
@pytest.mark.parametrize(("lambda1", "lambda2"), [(0.1, 0.001), (0.01, 1.0), (0.0, 0.0)])
def test_learning_is_the_printed_algorithm(lambda1, lambda2, gamma, ratio):
    model, problem = network_problem(lambda1, lambda2)
    start = project_atoms(normal(192, 3))
    d, v, history, dead = learn(
        problem,
        start,
        iterations=7,
        rule=StepRule("adaptive", gamma),
        dictionary_step=ratio,
        tolerance=0.0,
        **SEARCH,
    )
    plain_d, plain_v, losses, steps, backtracks = plain_algorithm(
        model, problem, start, iterations=7, gamma=gamma, ratio=ratio, shrink=0.5
    )
    assert not dead and v.any()
    assert history.backtracks == backtracks
    assert (gamma < 1) or backtracks[0] > 0, "the search was not put to the test"
    assert history.step == pytest.approx(steps, rel=1e-12)
    assert history.loss == pytest.approx(losses, rel=1e-10)
    torch.testing.assert_close(d, plain_d.detach(), rtol=0, atol=1e-9)
    torch.testing.assert_close(v.T, plain_v.detach(), rtol=0, atol=1e-9)


def test_secant_step_is_the_quotient_of_the_changes():
    rule = StepRule("secant", 1.0)
    hessian = torch.diag(torch.tensor([2.0, 8.0, 4.0], dtype=torch.float64))
    moved = (normal(3, 1), normal(3, 2, seed=1))
    changes = tuple(hessian @ m for m in moved)
    u, g = (torch.cat([part.flatten() for part in parts]) for parts in (moved, changes))
    expected = 0.9 * float(u @ u) / float(u @ g)
    assert rule.following(1.0, 0.5, moved, changes) == pytest.approx(expected)
    negative = tuple(-change for change in changes)
    assert rule.following(0.3, 0.5, moved, negative) == 0.3, "no curvature, no estimate"
    still = tuple(0 * m for m in moved)
    assert rule.following(0.3, 1.0, still, still) == 0.3


@pytest.mark.parametrize("name", ["adaptive", "secant", "fixed"])
def test_an_infeasible_start_has_infinite_loss(name):
    model, problem = network_problem(0.1, 0.1)
    start = 50 * normal(192, 3)
    d, v, history, _ = learn(
        problem,
        start,
        iterations=10,
        rule=StepRule(name, 0.1),
        dictionary_step=0.01,
        tolerance=1e-6,
        **SEARCH,
    )
    assert history.loss[0] == np.inf and len(history.loss) > 2
    assert history.backtracks[0] == 0
    assert (np.diff(history.loss[1:]) <= 0).all()
    assert d.norm(dim=0).max() <= 1 + 1e-9
    assert history.loss[-1] == pytest.approx(float(sum(objective(model, problem, d, v.T))))


def test_a_dead_start_has_feasible_atoms():
    _, problem = network_problem(1e6, 0.1)
    options = {"dictionary_step": 1.0, "tolerance": 0.0, "iterations": 5} | SEARCH
    d, v, history, dead = learn(
        problem, 50 * normal(192, 3), rule=StepRule("fixed", 1.0), **options
    )
    assert dead and not v.any() and len(history.loss) == 1
    assert d.norm(dim=0).max() <= 1 + 1e-9


def test_failing_search_ends_learning_without_a_step():
    _, problem = network_problem(0.01, 0.001)
    start = project_atoms(normal(192, 3))
    d, v, history, _ = learn(
        problem,
        start,
        iterations=5,
        rule=StepRule("fixed", 1e6),
        dictionary_step=1.0,
        tolerance=0.0,
        shrink=0.5,
        halvings=2,
    )
    assert torch.equal(d, start) and not v.any()
    assert len(history.loss) == 1 and history.step == []


def convex_problem(lambda1=0.05, lambda2=0.1, count=6):
    """An affine classifier, with which coding is convex, and a dictionary."""
    weights, bias = 3 * normal(3, 12, seed=1), normal(3, seed=2)
    model = affine(weights, bias).requires_grad_(False)
    x = torch.sigmoid(normal(count, 3, 2, 2, seed=3))
    target = torch.arange(count) % 3
    problem = Problem(lambda z, rows=None: model(z), x, target, lambda1, lambda2)
    return model, problem, project_atoms(normal(12, 4, seed=4))


def coded(problem, d, **changes):
    options = {"iterations": 3000, "initial_step": 0.1, "tolerance": 0.0} | SEARCH | changes
    return encode(problem, d, **options)


@pytest.mark.parametrize(
    ("lambda1", "lambda2"), [(0.05, 0.1), (0.5, 0.001), (0.0, 0.3), (3.0, 0.1)]
)
@pytest.mark.parametrize("initial_step", [1e-3, 100.0])
def test_coding_solves_the_convex_case(lambda1, lambda2, initial_step):
    model, problem, d = convex_problem(lambda1, lambda2)
    v, loss, _ = coded(problem, d, initial_step=initial_step)
    weights, bias = (p.numpy() for p in model[1].parameters())
    for i in range(len(v)):
        u = cp.Variable(4)
        e = d.numpy() @ u
        logits = weights @ (problem.x[i].flatten().numpy() + e) + bias
        entropy = cp.log_sum_exp(logits) - logits[int(problem.target[i])]
        cost = lambda1 * cp.norm1(u) + lambda2 * cp.sum_squares(e) + entropy
        optimum = cp.Problem(cp.Minimize(cost)).solve(solver=cp.CLARABEL)
        f, omega = objective(model, _one(problem, i), d, v[i : i + 1].T)
        assert loss[i] == pytest.approx(float(f + omega), rel=1e-12)
        assert loss[i] == pytest.approx(optimum, rel=1e-5)
        np.testing.assert_allclose(v[i], u.value, atol=2e-3)
    assert v.any() or lambda1 == 3.0
    if lambda1 == 0.5:
        assert (v == 0).any(), "a code is to be sparse"


def _one(problem, i):
    part = slice(i, i + 1)
    return Problem(
        problem.logits, problem.x[part], problem.target[part], problem.lambda1, problem.lambda2
    )


@pytest.mark.parametrize("initial_step", [0.1, 50.0])
def test_coding_is_the_printed_algorithm_without_steps_on_the_dictionary(initial_step):
    model, problem = network_problem(0.01, 0.01)
    d = 0.9 * project_atoms(normal(192, 3))
    v, loss, steps = coded(problem, d, iterations=6, initial_step=initial_step)
    assert steps.tolist() == [6] * 5
    for i in range(5):
        # The step on D is so small that none is made.
        _, plain_v, losses, _, backtracks = plain_algorithm(
            model, _one(problem, i), d, iterations=6, gamma=initial_step, ratio=1e-300, shrink=0.5
        )
        assert any(backtracks) or initial_step < 1, "the search was not put to the test"
        torch.testing.assert_close(v[i], plain_v.detach()[:, 0], rtol=0, atol=1e-9)
        assert loss[i] == pytest.approx(losses[-1], rel=1e-10)


def test_codes_do_not_feel_each_other():
    _, problem, d = convex_problem()
    together = coded(problem, d, iterations=20, tolerance=1e-4)
    assert len(together[2].unique()) > 1, "images that end at once prove little"
    for i in range(len(problem.x)):
        alone = coded(_one(problem, i), d, iterations=20, tolerance=1e-4)
        torch.testing.assert_close(alone[0][0], together[0][i], rtol=0, atol=1e-12)
        assert alone[2][0] == together[2][i]


def test_coding_never_raises_the_loss_and_ends_at_its_tolerance():
    _, problem = network_problem(0.05, 0.01)
    d = project_atoms(normal(192, 3))
    losses = torch.stack([coded(problem, d, iterations=k)[1] for k in range(1, 12)])
    assert (losses.diff(dim=0) <= 0).all()
    value, *_ = problem.smooth(d, torch.zeros(5, 3, dtype=torch.float64))
    assert (losses[0] < value.detach()).all()
    # The first decrease below the tolerance is the last iteration.
    falls = -torch.cat([value.detach()[None], losses]).diff(dim=0)
    expected = [int((fall <= 0.05).nonzero()[0]) + 1 for fall in falls.T]
    assert coded(problem, d, tolerance=0.05)[2].tolist() == expected
