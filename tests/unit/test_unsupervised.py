"""SCADA's unsupervised mode: the fitted law, the draws, and the one that is kept."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from models_for_tests import ROUNDING, assert_same, predictions, setting

from advsparse.attacks import _laplace
from advsparse.attacks._fitting import Fit
from advsparse.attacks.scada import SCADA
from advsparse.seeding import Random

LAWS = ["global", "atom", "class_atom"]


@pytest.fixture(scope="module")
def learned(lenet):
    attack = SCADA(iterations=60, coding="unsupervised")
    return attack, attack.fit(lenet.model, lenet.x[:64], lenet.y[:64])


def test_scales_are_the_mean_sizes_of_the_codes():
    codes = torch.tensor([[1.0, 0.0], [-3.0, 0.0], [0.0, 0.5], [2.0, -0.1]]).double()
    predicted = torch.tensor([0, 0, 2, 2])
    b = _laplace.scales(codes, predicted, "global", 3)
    torch.testing.assert_close(b, torch.full((3, 2), 6.6 / 8).double())
    b = _laplace.scales(codes, predicted, "atom", 3)
    torch.testing.assert_close(b, torch.tensor([[1.5, 0.15]] * 3).double())
    b = _laplace.scales(codes, predicted, "class_atom", 3)
    # Class 1 has no learned code; atom 1 is never used in class 0.
    expected = torch.tensor([[2.0, 1e-3], [1.5, 0.15], [1.0, 0.3]]).double()
    torch.testing.assert_close(b, expected)
    for law in LAWS:
        assert (_laplace.scales(0 * codes, predicted, law, 3) == 1e-3).all()


def test_draws_follow_the_law_and_the_image():
    x = torch.rand(4, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    b = torch.tensor([[0.5, 2.0]]).repeat(4, 1)
    codes = _laplace.draw(Random(0), x, b, 4000)
    assert codes.shape == (4, 4000, 2) and codes.isfinite().all()
    torch.testing.assert_close(codes.abs().mean(1), b, rtol=0.1, atol=0)
    torch.testing.assert_close(codes.mean(1) / b, torch.zeros(4, 2), rtol=0, atol=0.1)
    # Laplace: half of the sizes are below b log 2, a share 1/e^3 above 3 b.
    share = (codes.abs() < b[:, None] * 0.6931).double().mean()
    assert abs(share - 0.5) < 0.02
    assert abs((codes.abs() > 3 * b[:, None]).double().mean() - 0.0498) < 0.01
    order = torch.tensor([2, 0])
    assert torch.equal(_laplace.draw(Random(0), x[order], b[:2], 4000), codes[order])
    assert not torch.equal(codes[0], codes[1])
    assert not torch.equal(_laplace.draw(Random(1), x, b, 4000), codes)


def test_the_smallest_that_fools_is_kept():
    generator = torch.Generator().manual_seed(1)
    codes = torch.randn((5, 12, 3), generator=generator, dtype=torch.float64)
    d = torch.randn((7, 3), generator=generator, dtype=torch.float64)
    allowed = torch.rand((5, 12), generator=generator) < 0.3
    allowed[3] = False

    def fools(v, rows):
        which = [(codes[i] == one).all(1).nonzero().item() for one, i in zip(v, rows, strict=True)]
        return allowed[rows, torch.tensor(which)]

    chosen, tried = _laplace.smallest_fooling(codes, d, fools)
    sizes = (codes @ d.T).norm(dim=2)
    for i in range(5):
        best = min(
            (t for t in range(12) if allowed[i, t] or i == 3), key=lambda t: float(sizes[i, t])
        )
        assert torch.equal(chosen[i], codes[i, best])
        smaller = int((sizes[i] < sizes[i, best]).sum())
        assert tried[i] == (12 if i == 3 else smaller + 1)


@pytest.mark.parametrize("law", LAWS)
def test_fools_without_gradients(law, lenet, learned):
    attack, fit = learned
    attack = dataclasses.replace(attack, laplace=law)
    x, y = lenet.x[64:124], lenet.y[64:124]
    result = attack(lenet.model, x, y, fit=fit)
    assert torch.equal(result.success, predictions(lenet.model, result.x) != y)
    assert result.success.double().mean() > 0.3
    assert result.steps[result.success].max() > 1
    assert (result.steps[~result.success] == 100).all()
    e = (result.trace["code"] @ fit.arrays["atoms"].flatten(1)).reshape(x.shape)
    torch.testing.assert_close(result.x, (x + e).clamp(0, 1), rtol=0, atol=1e-6)
    # What it draws from is worth something: codes of the same size in no direction fool less.
    noise = torch.randn(fit.arrays["atoms"].shape, generator=torch.Generator().manual_seed(0))
    noise = noise / noise.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
    blind = attack(lenet.model, x, y, fit=Fit({**fit.arrays, "atoms": noise}))
    assert result.success.sum() > blind.success.sum()


def test_more_draws_fool_more_and_by_less(lenet, learned):
    attack, fit = learned
    x, y = lenet.x[64:124], lenet.y[64:124]
    few, many = (dataclasses.replace(attack, draws=n)(lenet.model, x, y, fit=fit) for n in (3, 200))
    assert many.success.sum() > few.success.sum()
    assert few.steps.max() == 3
    both = few.success & many.success
    assert many.trace["unclipped_l2"][both].mean() < few.trace["unclipped_l2"][both].mean()


def test_targets_are_what_counts(lenet, learned):
    attack, fit = learned
    x, y = lenet.x[64:104], lenet.y[64:104]
    target = fit.arrays["target"].mode().values.repeat(40)
    result = attack(lenet.model, x, y, target, fit=fit)
    assert torch.equal(result.success, predictions(lenet.model, result.x) == target)
    assert result.success[y != target].any()


@pytest.mark.parametrize("law", LAWS)
def test_images_do_not_feel_their_batch(law):
    model, x, y = setting(torch.float64)
    y = predictions(model, x)
    attack = SCADA(atoms=3, iterations=20, coding="unsupervised", laplace=law, draws=80)
    fit = attack.fit(model, x, y)
    together = attack(model, x, y, fit=fit)
    order = torch.tensor([3, 6, 0, 5, 2, 4, 1])
    shuffled = attack(model, x[order], y[order], fit=fit)
    assert_same(shuffled, together, order, **ROUNDING)
    alone = attack(model, x[2:3], y[2:3], fit=fit)
    assert_same(alone, together, slice(2, 3), **ROUNDING)
    assert_same(attack(model, x, y, fit=fit, memory=1), together, **ROUNDING)
    assert not torch.equal(attack(model, x, y, fit=fit, rng=1).x, together.x)
