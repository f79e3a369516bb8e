"""Filters that are learned: planted ones, their fit against the dense problem, and constraints."""

from __future__ import annotations

import pytest
import torch
from solver_cases import normal, planted
from torch.nn import functional

from advsparse.coding import _solving
from advsparse.coding._circular_map import CircularConvolution
from advsparse.coding._filter_learning import FilterLearning
from advsparse.coding._filter_updates import Fit
from advsparse.data.photos import Photos


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    data = Photos(train_per_class=6, test_per_class=2).load(tmp_path_factory.getbasetemp())
    train, test = (torch.from_numpy(data.images(split)) for split in ("train", "test"))
    return train[::2] - train[::2].mean((2, 3), keepdim=True), test - test.mean(
        (2, 3), keepdim=True
    )


@pytest.fixture(scope="module", params=[None, 8])
def learned(photos, request):
    settings = FilterLearning(filters=12, size=6, passes=12, batch_size=request.param)
    return settings, settings.learn(photos[0], 1, held_out=photos[1])


def alike(found, planted):
    """Of each planted filter the largest cosine with a found one, over shifts and signs."""
    room = [found.shape[3] - 1] * 2 + [found.shape[2] - 1] * 2
    products = functional.conv2d(functional.pad(planted, room), found)
    return products.abs().flatten(1).amax(1)


@pytest.mark.parametrize("settings", [{"passes": 150}, {"passes": 40, "batch_size": 10}], ids=str)
def test_planted_filters_are_found(settings):
    own = normal(3, 2, 4, 4)
    own /= own.flatten(1).norm(dim=1)[:, None, None, None]
    synthesis = CircularConvolution(own, (16, 14))
    x = synthesis.forward(2 * planted(synthesis, 40, 12))
    learning = FilterLearning(filters=6, size=6, weight=0.5, zero_mean=False, **settings)
    found = learning.learn(x, 0)
    assert found.filters.dtype == torch.float64
    assert (alike(found.filters, own) > 0.99).all()
    assert (alike(learning.learn(x, 0).filters, own) > 0.99).all()


def test_filters_have_norm_one_and_mean_zero(learned, photos):
    _, found = learned
    assert found.filters.shape == (12, 3, 6, 6) and found.filters.dtype == torch.float32
    norms = found.filters.flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(12))
    assert (found.filters.mean((2, 3)).abs() < 1e-6).all()
    free = FilterLearning(filters=5, size=3, passes=3, zero_mean=False).learn(photos[0], 1)
    torch.testing.assert_close(free.filters.flatten(1).norm(dim=1), torch.ones(5))
    assert (free.filters.mean((2, 3)).abs() > 1e-3).any()


def test_objective_falls_on_images_that_are_learned_from_and_on_others(learned, photos):
    settings, found = learned
    assert found.objective.shape == (12,) and found.objective[-1] < 0.8 * found.objective[0]
    assert found.held_out.shape == (len(photos[1]),)
    first = FilterLearning(filters=12, size=6, passes=1).learn(photos[0], 1).filters
    assert found.held_out.mean() < 0.95 * settings.objective(first, photos[1]).mean()


def test_objective_is_what_the_codes_leave(photos):
    """Once the codes have converged, the last pass says what solving anew finds."""
    settings = FilterLearning(filters=4, size=3, weight=0.5, passes=150)
    found = settings.learn(photos[0][:4], 0)
    solved = settings.objective(found.filters, photos[0][:4]).mean()
    assert float(solved) == pytest.approx(float(found.objective[-1]), rel=5e-3)


@pytest.mark.parametrize(("size", "image"), [((3, 3), (7, 6)), ((2, 4), (5, 8)), ((4, 4), (5, 4))])
def test_fit_is_the_distance_of_images_from_what_codes_stand_for(size, image):
    x, code = normal(5, 2, *image).float(), normal(5, 3, *image, seed=1).float()
    other, others = normal(2, 2, *image, seed=2).float(), normal(2, 3, *image, seed=3).float()
    filters = normal(3, 2, *size, seed=4).float().requires_grad_()
    fit = Fit(filters.detach(), image)
    fit.add(others, other)
    fit.fade(0.25)
    fit.add(code, x)
    quadratic = fit.settled()

    def half(codes, images):
        left = images - CircularConvolution(filters, image).forward(codes)
        return left.square().sum() / 2

    expected = half(code, x) + half(others, other) / 4
    assert quadratic.value(filters.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    (slope,) = torch.autograd.grad(expected, filters)
    found = quadratic.product(filters.detach()) - quadratic.both
    torch.testing.assert_close(found, slope, rtol=1e-4, atol=1e-3)
    one = torch.zeros_like(slope)
    one[1] = filters.detach()[1]
    single = quadratic.product_of(1, one[1:2])
    torch.testing.assert_close(single, quadratic.product(one), rtol=1e-4, atol=1e-3)
    # A step of that length never overshoots.
    rayleigh = (single[1] * one[1]).sum() / one[1].square().sum()
    assert rayleigh <= fit.bounds()[1]


def test_learning_is_told_by_the_seed_and_not_by_the_parts(photos, monkeypatch):
    for batch in (None, 8):
        settings = FilterLearning(filters=5, size=4, passes=3, batch_size=batch)
        one, other = (settings.learn(photos[0], seed).filters for seed in (1, 2))
        assert torch.equal(settings.learn(photos[0], 1).filters, one)
        assert not torch.equal(one, other)
        with monkeypatch.context() as patched:
            patched.setattr(_solving, "WORKING_SET", 1)
            apart = settings.learn(photos[0], 1).filters
        torch.testing.assert_close(apart, one, rtol=0, atol=1e-4)


def test_filters_that_nothing_uses_still_have_norm_one():
    x = 1e-3 * normal(3, 1, 6, 6)
    found = FilterLearning(filters=4, size=3, passes=2, weight=10.0).learn(x, 0)
    torch.testing.assert_close(found.filters.flatten(1).norm(dim=1), torch.ones(4).double())
    wide = FilterLearning(filters=3, size=9, passes=3, weight=0.01).learn(normal(4, 1, 6, 7), 0)
    assert wide.filters.shape == (3, 1, 9, 9) and wide.filters.isfinite().all()


def test_images_that_say_nothing_are_refused():
    settings = FilterLearning(filters=2, size=2, passes=1)
    with pytest.raises(ValueError, match="expected images N x C x H x W, got shape"):
        settings.learn(torch.rand(3, 8, 8))
    for x in (torch.zeros(2, 1, 4, 4), torch.rand(2, 1, 4, 4) / 0):
        with pytest.raises(ValueError, match="finite images that are not all 0"):
            settings.learn(x)


def test_more_filters_code_at_less(photos):
    few, many = (FilterLearning(filters=count, size=5, passes=8) for count in (2, 16))
    objectives = [s.learn(photos[0], 0, held_out=photos[1]).held_out.mean() for s in (few, many)]
    assert objectives[1] < objectives[0]
