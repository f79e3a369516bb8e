"""Projections onto balls within the box, against cvxpy and brute force."""

from __future__ import annotations

import itertools

import cvxpy as cp
import pytest
import torch
from models_for_tests import measured

from advsparse.attacks._ball_in_box import project

SIZE = 90
"""More entries than those that the l1 projection looks at first."""


def perturbed(scale=1.0, count=5, size=SIZE):
    """Images, some of whose pixels have no room, and perturbations that leave the box."""
    generator = torch.Generator().manual_seed(1)
    x = torch.rand((count, 1, 1, size), generator=generator, dtype=torch.float64)
    x[..., : size // 5], x[..., -size // 5 :] = 0.0, 1.0
    return x, scale * torch.randn(x.shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("scale", [0.05, 1.0])
@pytest.mark.parametrize("radius", [0.01, 0.3, 3.0, 12.0])
@pytest.mark.parametrize("norm", ["l2", "l1", "linf"])
def test_nearest_point_of_the_ball_within_the_box(norm, radius, scale):
    x, u = perturbed(scale)
    found = project(u.clone(), x, norm, torch.full((len(x),), radius, dtype=x.dtype))
    assert measured(found, torch.zeros_like(x), norm).max() <= radius * (1 + 1e-9)
    assert (x + found).min() >= 0 and (x + found).max() <= 1
    order = {"l2": 2, "l1": 1, "linf": "inf"}[norm]
    for clean, far, near in zip(x.flatten(1), u.flatten(1), found.flatten(1), strict=True):
        z = cp.Variable(SIZE)
        within = [cp.norm(z, order) <= radius, z >= -clean.numpy(), z <= 1 - clean.numpy()]
        problem = cp.Problem(cp.Minimize(cp.sum_squares(z - far.numpy())), within)
        best = problem.solve(solver=cp.CLARABEL)
        assert (near - far).square().sum() <= best + 1e-6 * (1 + best)


def test_fewest_entries_by_brute_force():
    x, u = perturbed(size=8)
    counts = torch.tensor([0.0, 1.0, 3.0, 5.0, 8.0], dtype=x.dtype)
    found = project(u.clone(), x, "l0", counts).flatten(1)
    boxed = ((x + u).clamp(0, 1) - x).flatten(1)
    for near, far, cut, count in zip(found, u.flatten(1), boxed, counts.tolist(), strict=True):
        assert (near != 0).sum() <= count
        best = min(
            float((torch.where(torch.tensor([i in s for i in range(8)]), cut, 0.0) - far).norm())
            for s in itertools.combinations(range(8), int(count))
        )
        assert float((near - far).norm()) == pytest.approx(best)


@pytest.mark.parametrize("norm", ["l2", "l1", "linf", "l0"])
def test_no_image_feels_another(norm):
    x, u = perturbed()
    radius = torch.tensor([0.0, 0.2, 1.0, 4.0, 1e6], dtype=x.dtype)
    together = project(u.clone(), x, norm, radius)
    for i in range(len(x)):
        alone = project(u[i : i + 1].clone(), x[i : i + 1], norm, radius[i : i + 1])
        torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-12)
    torch.testing.assert_close(together[0], torch.zeros_like(together[0]))
    torch.testing.assert_close(together[-1], (x + u).clamp(0, 1)[-1] - x[-1])


@pytest.mark.parametrize("norm", ["l2", "l1", "linf"])
def test_single_precision_keeps_to_the_ball(norm):
    x, u = (tensor.float() for tensor in perturbed(10.0))
    found = project(u, x, norm, torch.full((len(x),), 0.7))
    assert measured(found, torch.zeros_like(x), norm).max() <= 0.7 * (1 + 1e-5)
