"""The sparse transformation layer against solvers, theory and its exact derivative."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
import torch
from models_for_tests import small_images
from solver_cases import dense, normal
from torch.nn import functional

from advsparse.coding._circular_map import CircularConvolution
from advsparse.coding._low_pass import low_pass
from advsparse.data.photos import Photos
from advsparse.defenses._sparse_transformation import windows
from advsparse.defenses.stl import STL
from advsparse.seeding import Random

TIGHT = {"gap_tolerance": 1e-12, "max_iterations": 20_000}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    data = Photos(train_per_class=20, test_per_class=2).load(tmp_path_factory.getbasetemp())
    return tuple(torch.from_numpy(data.images(split)) for split in ("train", "test"))


@pytest.fixture(scope="module", params=["as the paper says", "as the authors' code has it"])
def fitted(request, photos):
    ours = {"low_pass": "tikhonov", "zero_mean": True} if "code" in request.param else {}
    settings = STL(filters=24, size=6, passes=15, **ours)
    return settings, settings.fit(photos[0], torch.zeros(len(photos[0])), rng=1)


def changed(settings, **values):
    return type(settings)(**{name: getattr(settings, name) for name in vars(settings)} | values)


def test_images_are_coded_as_cvxpy_does():
    filters = normal(4, 3, 3, 2) / 4
    x = torch.rand(2, 3, 6, 5, generator=torch.Generator().manual_seed(1)).double()
    found = STL(weight=0.1, **TIGHT).transformation({"filters": filters})(x)
    matrix = dense(CircularConvolution(filters, (6, 5))).matrix.numpy()
    for image, ours in zip(x, found, strict=True):
        code = cp.Variable(matrix.shape[1])
        misses = cp.sum_squares(image.flatten().numpy() - matrix @ code)
        cp.Problem(cp.Minimize(0.5 * misses + 0.1 * cp.norm1(code))).solve(solver=cp.CLARABEL)
        expected = np.clip(matrix @ code.value, 0, 1)
        np.testing.assert_allclose(ours.flatten().numpy(), expected, atol=1e-5)


def test_filters_are_learned_from_what_is_coded(fitted, photos):
    settings, learned = fitted
    filters = learned["filters"]
    assert filters.shape == (24, 3, 6, 6) and set(learned) == {"filters"}
    torch.testing.assert_close(filters.flatten(1).norm(dim=1), torch.ones(24))
    flat = filters.mean((2, 3)).abs().amax()
    assert flat < 1e-6 if settings.zero_mean else flat > 1e-3
    found = settings.transformation(learned)(photos[1])
    noise = 0.1 * torch.randn(photos[1].shape, generator=torch.Generator().manual_seed(0))
    other = settings.transformation(learned)((photos[1] + noise).clamp(0, 1))
    assert (found - photos[1]).square().mean() < 0.004
    assert (other - found).square().mean() < 0.5 * noise.square().mean()


def test_differences_never_grow(fitted, photos):
    settings, learned = fitted
    tight = changed(settings, gap_tolerance=1e-9, max_iterations=20_000)
    t = tight.transformation({"filters": learned["filters"].double()})
    a, b = photos[1][:4].double(), photos[1][6:10].double()
    of_a, of_b = t(a), t(b)
    if settings.low_pass == "none":
        distance = (of_a - of_b).flatten(1).norm(dim=1)
        assert (distance <= (a - b).flatten(1).norm(dim=1) * (1 + 1e-4)).all()
    else:
        slow = low_pass(a) - low_pass(b)
        distance = (of_a - of_b - slow).flatten(1).norm(dim=1)
        bound = (a - b - slow).flatten(1).norm(dim=1)
        inside = ((of_a > 0) & (of_a < 1) & (of_b > 0) & (of_b < 1)).flatten(1).all(1)
        assert (distance <= bound * (1 + 1e-4))[inside].all() and inside.any()


def test_a_large_weight_leaves_the_low_pass_part(fitted, photos):
    settings, learned = fitted
    t = changed(settings, weight=1e4).transformation(learned)
    slow = low_pass(photos[1]) if settings.low_pass == "tikhonov" else 0 * photos[1]
    torch.testing.assert_close(t(photos[1]), slow.clamp(0, 1))


def test_a_shift_of_the_image_shifts_what_is_made_of_it(photos):
    filters = normal(8, 3, 5, 5) / 8
    tight = {"gap_tolerance": 1e-10, "max_iterations": 20_000}
    t = STL(**tight).transformation({"filters": filters})
    x = photos[1][:3].double()
    plain, moved = t(x), t(x.roll((3, 5), (2, 3)))
    torch.testing.assert_close(moved, plain.roll((3, 5), (2, 3)), rtol=0, atol=1e-4)
    padded = STL(padding=6, **tight).transformation({"filters": filters})(x)
    wide = functional.pad(x, (5, 5, 5, 5), "reflect")
    assert padded.shape == x.shape and wide.shape != x.shape
    assert not torch.allclose(padded, plain, atol=1e-3)
    flipped = STL(padding=6, **tight).transformation({"filters": filters.flip(3)})
    torch.testing.assert_close(flipped(x.flip(3)), padded.flip(3), rtol=0, atol=1e-4)


def test_rescaled_images_have_a_largest_entry_of_one(fitted, photos):
    settings, learned = fitted
    x = photos[1] / 2
    found = changed(settings, rescale=True).transformation(learned)(x)
    torch.testing.assert_close(found.flatten(1).amax(1), torch.ones(len(x)))
    plain = settings.transformation(learned)(x)
    ratio = plain.flatten(1).amax(1)[:, None, None, None]
    torch.testing.assert_close(found * ratio, plain, rtol=0, atol=1e-5)
    black = changed(settings, rescale=True).transformation(learned)(0 * x)
    assert not black.any()


@pytest.mark.parametrize("more", [{}, {"low_pass": "tikhonov"}, {"padding": 3}, {"rescale": True}])
def test_its_derivative_is_that_of_differences(more):
    filters = normal(4, 2, 3, 3)
    filters /= filters.flatten(1).norm(dim=1)[:, None, None, None]
    t = STL(weight=0.2, **TIGHT, **more).transformation({"filters": filters})
    x = torch.rand(2, 2, 6, 7, generator=torch.Generator().manual_seed(2)).double().requires_grad_()
    direction, g = normal(*x.shape, seed=3), normal(*x.shape, seed=4)
    (found,) = torch.autograd.grad((t(x) * g).sum(), x)
    with torch.no_grad():
        ends = [(t(x + sign * 1e-6 * direction) * g).flatten(1).sum(1) for sign in (1, -1)]
    expected = (ends[0] - ends[1]) / 2e-6
    torch.testing.assert_close(
        (found * direction).flatten(1).sum(1), expected, rtol=1e-3, atol=1e-3
    )
    steps = {"derivative": "unrolled", "max_iterations": 1500}
    unrolled = STL(weight=0.2, **steps, **more).transformation({"filters": filters})
    torch.testing.assert_close(unrolled(x), t(x), rtol=0, atol=1e-4)
    (other,) = torch.autograd.grad((unrolled(x) * g).sum(), x)
    torch.testing.assert_close(other, found, rtol=0, atol=1e-3)


def test_windows_are_parts_of_images():
    x = torch.arange(2 * 3 * 9 * 7).reshape(2, 3, 9, 7)
    found = windows(x, 5, Random(0))
    assert found.shape == (2, 3, 5, 5)
    for image, part in zip(x, found, strict=True):
        places = [
            (row, column)
            for row in range(5)
            for column in range(3)
            if torch.equal(image[:, row : row + 5, column : column + 5], part)
        ]
        assert len(places) == 1
    assert torch.equal(windows(x, 9, Random(0)), x)
    assert windows(x, 8, Random(0)).shape == (2, 3, 8, 7)


def test_images_that_say_nothing_are_refused():
    x = small_images(5)
    with pytest.raises(ValueError, match="finite images that are not all 0"):
        STL(filters=2, size=2, passes=1).fit(0 * x, None)
