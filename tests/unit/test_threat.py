"""Threat models against exact projections, and the random numbers of attacks."""

from __future__ import annotations

import hashlib
import json

import cvxpy as cp
import numpy as np
import pytest
import torch
from models_for_tests import measured, small_images
from scipy.stats import kstest

from advsparse.seeding import Random, stable_seed
from advsparse.threat import Threat

EVERYWHERE = (-torch.inf, torch.inf)
NORMS = ["linf", "l2", "relative_l2", "l1", "l0"]
# A p-value below this fails: with the fixed seed, the outcome is fixed too.
UNLIKELY = 1e-3


def pairs(count=6, dtype=torch.float64):
    """Images and others, some near, some far, some outside the box."""
    generator = torch.Generator().manual_seed(3)
    x = torch.rand((count, 1, 2, 3), generator=generator, dtype=torch.float64)
    length = torch.logspace(-2, 1, count, dtype=torch.float64).reshape(-1, 1, 1, 1)
    return x.to(dtype), (x + length * torch.randn(x.shape, generator=generator).double()).to(dtype)


def nearest(norm: str, d: np.ndarray, radius: float) -> np.ndarray:
    u = cp.Variable(d.size)
    ball = cp.norm(u, {"linf": "inf", "l2": 2, "relative_l2": 2, "l1": 1}[norm]) <= radius
    cp.Problem(cp.Minimize(cp.sum_squares(u - d)), [ball]).solve(
        solver=cp.CLARABEL, tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11
    )
    return u.value


@pytest.mark.parametrize("norm", ["linf", "l2", "relative_l2", "l1"])
@pytest.mark.parametrize("eps", [0.05, 0.5, 5.0])
def test_projection_onto_the_ball_is_the_nearest_point(norm, eps):
    x, far = pairs()
    projected = Threat(norm=norm, eps=eps, bounds=EVERYWHERE).project(far, x)
    for start, other, found in zip(x, far, projected, strict=True):
        radius = eps * float(start.norm()) if norm == "relative_l2" else eps
        expected = nearest(norm, (other - start).flatten().numpy(), radius)
        np.testing.assert_allclose((found - start).flatten(), expected, atol=2e-6)


def test_projection_onto_few_pixels_keeps_the_largest():
    x, far = pairs()
    projected = Threat(norm="l0", eps=2.0, bounds=EVERYWHERE).project(far, x)
    for d, found in zip((far - x).flatten(1), (projected - x).flatten(1), strict=True):
        kept = found.nonzero().flatten()
        assert set(kept.tolist()) == set(d.abs().argsort()[-2:].tolist())
        torch.testing.assert_close(found[kept], d[kept])


def test_linf_projection_is_exact_with_the_box_too():
    x, far = pairs()
    projected = Threat(norm="linf", eps=0.3).project(far, x)
    low, high = (x - 0.3).clamp(min=0), (x + 0.3).clamp(max=1)
    # Each pixel has an interval of its own: the nearest of a fine grid of its points.
    grid = low + (high - low) * torch.linspace(0, 1, 2001).double().reshape(-1, 1, 1, 1, 1)
    best = (grid - far).abs().argmin(0, keepdim=True)
    torch.testing.assert_close(projected, grid.gather(0, best)[0], rtol=0, atol=1e-3)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("eps", [1e-6, 1e-5, 1e-2, 1.0])
@pytest.mark.parametrize("method", ["project", "settle"])
def test_projected_images_lie_in_ball_and_box(norm, eps, method):
    x, far = pairs(dtype=torch.float32 if method == "settle" else torch.float64)
    found = getattr(Threat(norm=norm, eps=eps), method)(far, x)
    assert found.dtype == x.dtype
    assert found.min() >= 0 and found.max() <= 1
    assert measured(found, x, norm).max() <= eps * (1 + 1e-6)
    inside = x + 1e-9 if method == "project" else x.clone()
    assert torch.equal(getattr(Threat(norm="l2", eps=1.0), method)(inside, x), inside.clamp(0, 1))


def test_rounding_to_float32_would_leave_a_small_ball():
    # What settle is for: without it, this budget is broken.
    x, far = pairs(dtype=torch.float32)
    threat = Threat(norm="linf", eps=1e-5)
    assert measured(threat.project(far, x), x, "linf").max() > 1e-5 * (1 + 1e-6)
    settled = threat.settle(far, x)
    assert measured(settled, x, "linf").max() <= 1e-5
    assert measured(settled, x, "linf").min() > 0.9e-5


@pytest.mark.parametrize("norm", NORMS)
def test_distance_is_that_of_the_definition(norm):
    x, far = pairs(dtype=torch.float32)
    distance = Threat(norm=norm).distance(far, x)
    assert distance.dtype == torch.float64
    torch.testing.assert_close(distance, measured(far, x, norm), rtol=1e-12, atol=0)


def test_entries_that_changed_are_counted_whatever_they_changed_by():
    x = torch.tensor([[[[0.0, 0.0, 0.5, 0.5]]], [[[0.0, 0.0, 0.0, 0.0]]]])
    x_adv = torch.tensor([[[[1.0, 0.0, 0.5, 0.25]]], [[[1.0, 1.0, 1.0, 0.0]]]])
    assert Threat(norm="l0").distance(x_adv, x).tolist() == [2, 3]


@pytest.mark.parametrize("norm", NORMS)
def test_what_lies_in_the_ball_already_stays_to_the_last_bit(norm):
    # A single image, and its own centre too.
    x = torch.tensor([[[[0.25, 0.5], [0.0, 1.0]]]])
    near = torch.tensor([[[[0.5, 0.25], [0.0, 1.0]]]])
    threat = Threat(norm=norm, eps=2.0)
    for inside in (x, near):
        assert torch.equal(threat.settle(inside, x), inside)
        assert torch.equal(threat.project(inside, x), inside)


def test_images_are_settled_around_as_many_others():
    x = small_images(32)
    with pytest.raises(ValueError):
        Threat(norm="linf", eps=0.1).settle(x, x[:16])


def test_a_distance_that_is_minimised_has_no_radius():
    with pytest.raises(ValueError, match=r"^a distance that is minimised has no radius$"):
        Threat(norm="l2").radius(small_images(2))


def test_black_images_have_no_relative_neighbours():
    black = torch.zeros(2, 1, 2, 2)
    threat = Threat(norm="relative_l2", eps=0.1)
    assert torch.equal(threat.settle(black + 0.5, black), black)
    assert torch.equal(threat.settle(black, black), black)
    assert threat.distance(black, black).tolist() == [0, 0]
    assert threat.distance(black + 0.5, black).isinf().all()


@pytest.mark.parametrize("norm", ["l2", "relative_l2"])
def test_random_starts_fill_the_l2_ball_uniformly(norm):
    x = small_images(2000, torch.float64)[:, :, :2, :2] + 0.1
    threat = Threat(norm=norm, eps=0.7, bounds=EVERYWHERE)
    d = (threat.random_start(x, Random(5)) - x).flatten(1)
    radius = 0.7 * (x.flatten(1).norm(dim=1) if norm == "relative_l2" else 1.0)
    share = d.norm(dim=1) / radius
    assert share.max() <= 1
    # The volume within r grows as r^12; each direction is as likely as any other.
    assert kstest(share**12, "uniform").pvalue > UNLIKELY
    assert kstest(share**10, "uniform").pvalue < UNLIKELY, "the test has no power"
    one = d[:, 0] / d.norm(dim=1)
    assert abs(one.mean()) < 4 / (12 * 2000) ** 0.5
    torch.testing.assert_close(one.square().mean(), torch.tensor(1 / 12).double(), rtol=0.2, atol=0)


def test_random_starts_fill_the_l1_ball_uniformly():
    x = small_images(2000, torch.float64)[:, :, :2, :2] + 0.1
    threat = Threat(norm="l1", eps=0.7, bounds=EVERYWHERE)
    d = (threat.random_start(x, Random(5)) - x).flatten(1)
    share = d.abs().sum(1) / 0.7
    assert share.max() <= 1
    assert kstest(share**12, "uniform").pvalue > UNLIKELY
    assert kstest(share**10, "uniform").pvalue < UNLIKELY, "the test has no power"
    # On the sphere each |d_j| is what is left of 1 by 11 uniform cuts.
    for j in (0, 11):
        one = d[:, j].abs() / d.abs().sum(1)
        assert kstest(one, "beta", args=(1, 11)).pvalue > UNLIKELY
        assert abs(d[:, j].sign().mean()) < 4 / 2000**0.5


def test_random_starts_fill_the_linf_ball_uniformly():
    x = small_images(50, torch.float64)
    threat = Threat(norm="linf", eps=0.3, bounds=EVERYWHERE)
    d = threat.random_start(x, Random(5)) - x
    assert kstest(d.flatten(), "uniform", args=(-0.3, 0.6)).pvalue > UNLIKELY


@pytest.mark.parametrize("norm", ["linf", "l2", "relative_l2", "l1"])
def test_random_starts_lie_in_ball_and_box(norm):
    x = small_images(50)
    start = Threat(norm=norm, eps=0.2).random_start(x, Random(0))
    assert start.min() >= 0 and start.max() <= 1
    assert measured(start, x, norm).max() <= 0.2 * (1 + 1e-6)
    assert (start != x).flatten(1).any(1).all()


@pytest.mark.parametrize("norm", ["linf", "l2", "relative_l2"])
@pytest.mark.parametrize("stream", [(), (0,), (4,)])
def test_random_starts_are_made_of_the_numbers_of_their_stream(norm, stream):
    x = small_images(5, torch.float64)
    start = Threat(norm=norm, eps=0.3, bounds=EVERYWHERE).random_start(x, Random(7), *stream)
    first = sum(stream)
    if norm == "linf":
        expected = 0.3 * (2 * Random(7).uniform_like(x, first) - 1)
    else:
        towards = Random(7).normal_like(x, first)
        share = Random(7).uniform(x, first + 1) ** (1 / x[0].numel())
        radius = 0.3 * x.flatten(1).norm(dim=1).view(-1, 1, 1, 1) if norm == "relative_l2" else 0.3
        expected = radius * share * towards / towards.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    torch.testing.assert_close(start - x, expected, rtol=1e-9, atol=1e-12)


def test_no_random_start_where_none_is_defined():
    with pytest.raises(ValueError, match="norm l0"):
        Threat(norm="l0", eps=1.0).random_start(small_images(2), Random(0))


def test_stable_seed_is_a_function_of_the_text_alone():
    text = json.dumps(["digits", 1, {"a": [2.5], "b": None}], separators=(",", ":"))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    expected = int.from_bytes(digest, "big") >> 1
    assert stable_seed("digits", 1, {"b": None, "a": [2.5]}) == expected < 2**63
    assert stable_seed("digits", 1) == 9195509244951840411
    assert len({stable_seed(1, 2), stable_seed(12), stable_seed("1", 2), stable_seed([1, 2])}) == 4


@pytest.mark.parametrize("draw", ["normal_like", "uniform_like", "uniform"])
def test_numbers_follow_their_image(draw):
    x = small_images(6)
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    numbers = getattr(Random(1), draw)(x)
    assert torch.equal(getattr(Random(1), draw)(x[order]), numbers[order])
    assert torch.equal(getattr(Random(1), draw)(x.double()), numbers.double())
    flat = numbers.flatten(1)
    others = (getattr(Random(2), draw)(x), getattr(Random(1), draw)(x, 1), numbers.roll(1, 0))
    for other in others:
        assert (flat != other.flatten(1)).any(1).all()


def test_laws_of_the_numbers():
    x = small_images(50)
    assert kstest(Random(0).normal_like(x).flatten(), "norm").pvalue > UNLIKELY
    assert kstest(Random(0).uniform_like(x).flatten(), "uniform").pvalue > UNLIKELY
    assert kstest(Random(0).uniform(small_images(600)).flatten(), "uniform").pvalue > UNLIKELY
    assert Random(0).uniform(x).shape == (50, 1, 1, 1)


def test_named_generators_differ():
    def first(seed, *parts):
        return torch.rand((), generator=Random(seed).generator(*parts)).item()

    assert first(0, "order") == first(0, "order")
    assert len({first(0, "order"), first(1, "order"), first(0, "dictionary")}) == 3
