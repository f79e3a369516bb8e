"""FGSM and PGD against foolbox, noise against what it promises."""

from __future__ import annotations

import foolbox as fb
import numpy as np
import pytest
import torch
from models_for_tests import affine_setting, foolbox, measured

from advsparse.attacks._losses import cross_entropy, direction, margin
from advsparse.attacks.bim import BIM
from advsparse.attacks.fgsm import FGSM
from advsparse.attacks.noise import Noise
from advsparse.attacks.pgd import PGD
from advsparse.attacks.random_pixels import RandomPixels


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", ["fgsm", "bim", "pgd"])
def test_gradient_steps_agree_with_foolbox(name, norm, dtype, lenet):
    eps = {"linf": 0.02, "l2": 0.8}[norm]
    if name == "fgsm":
        ours = FGSM(norm=norm, eps=eps)
        cls = {"linf": fb.attacks.LinfFastGradientAttack, "l2": fb.attacks.L2FastGradientAttack}
        theirs = cls[norm](random_start=False)
    elif name == "bim":
        ours = BIM(norm=norm, eps=eps, steps=7, step=0.2 * eps)
        cls = {
            "linf": fb.attacks.LinfBasicIterativeAttack,
            "l2": fb.attacks.L2BasicIterativeAttack,
        }[norm]
        theirs = cls(rel_stepsize=0.2, steps=7, random_start=False)
    else:
        ours = PGD(norm=norm, eps=eps, steps=7, relative_step=0.25, random_start=False)
        cls = {"linf": fb.attacks.LinfPGD, "l2": fb.attacks.L2PGD}[norm]
        theirs = cls(rel_stepsize=0.25, steps=7, random_start=False)
    trained = lenet if dtype == torch.float32 else lenet.double()
    x, y = trained.x[:30], trained.y[:30]
    result = ours(trained.model, x, y)
    found, success = foolbox(theirs, trained.model, x, y, eps)
    difference = (result.x - found).abs()
    if dtype == torch.float64:
        assert difference.max() <= 1e-6
        assert torch.equal(result.success, success)
    else:
        # A gradient that is 0 but for rounding may have the other sign: a few pixels, and what
        # later steps make of them.
        assert (difference > 1e-5).double().mean() <= 1e-3
    assert success.double().mean() > 0.2


def test_pgd_uses_its_restarts_and_steps(lenet):
    x, y = lenet.x[:80], lenet.y[:80]
    rates = [
        PGD(eps=0.008, steps=steps, restarts=restarts)(lenet.model, x, y).success.sum()
        for steps, restarts in ((1, 1), (10, 1), (10, 5))
    ]
    assert rates[0] < rates[1] <= rates[2]
    once = PGD(eps=0.008, steps=10)(lenet.model, x, y)
    often = PGD(eps=0.008, steps=10, restarts=3)(lenet.model, x, y)
    assert torch.equal(often.x[once.success], once.x[once.success])
    assert torch.equal(often.steps, torch.where(once.success, 10, often.steps))
    assert often.steps[~often.success].unique().tolist() == [30]
    # Where no run fools, the last one is returned: it started elsewhere than the first.
    assert (often.x != once.x)[~often.success].flatten(1).any(1).all()


@pytest.mark.parametrize("scale", [1.0, 1e-10, 1e-25, 1e-40])
def test_direction_has_unit_length_however_small_the_gradient(scale):
    gradient = torch.randn((3, 2, 4, 4), generator=torch.Generator().manual_seed(0))
    small = direction(scale * gradient, "l2")
    assert torch.allclose(small.flatten(1).norm(dim=1), torch.ones(3), atol=1e-5)
    # Near 1e-40, float32 has some five digits left.
    torch.testing.assert_close(small, direction(gradient, "l2"), rtol=0, atol=1e-3)
    assert torch.equal(direction(scale * gradient, "linf"), gradient.sign())
    assert not direction(0 * gradient, "l2").any()


def test_losses_are_those_of_the_definitions():
    logits = torch.tensor([[1.0, 3.0, 2.5], [0.0, 0.0, 4.0]], dtype=torch.float64)
    y, target = torch.tensor([1, 0]), torch.tensor([2, 2])
    assert margin(logits, y, None).tolist() == [0.5, -4.0]
    assert margin(logits, y, target).tolist() == [0.5, -4.0]
    p = logits.softmax(1).log()
    torch.testing.assert_close(cross_entropy(logits, y, None), -p[[0, 1], [1, 0]])
    torch.testing.assert_close(cross_entropy(logits, y, target), p[:, 2])


@pytest.mark.parametrize("law", ["gaussian", "uniform", "sign"])
@pytest.mark.parametrize("norm", ["linf", "l2", "relative_l2"])
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-4), (torch.float64, 1e-12)])
def test_noise_has_exactly_its_size_away_from_the_box(law, norm, dtype, rtol):
    model, x, y = affine_setting()
    eps = {"linf": 0.1, "l2": 0.5, "relative_l2": 0.05}[norm]
    result = Noise(norm=norm, eps=eps, law=law)(model.to(dtype), x.to(dtype), y)
    expected = torch.full((len(x),), eps, dtype=torch.float64)
    torch.testing.assert_close(measured(result.x, x.to(dtype), norm), expected, rtol=rtol, atol=0)
    d = result.x - x.to(dtype)
    if law == "sign":
        assert d.abs().max() - d.abs().min() < 0.1 * eps
    assert (d > 0).any() and (d < 0).any()


def test_attacks_beat_noise_of_their_own_size(lenet):
    x, y = lenet.x[:60], lenet.y[:60]
    for attack in (FGSM(norm="l2", eps=0.8), PGD(norm="l2", eps=0.8, steps=10)):
        blind = Noise(norm="l2", eps=0.8)(lenet.model, x, y).success.double().mean()
        assert attack(lenet.model, x, y).success.double().mean() > blind + 0.3
    assert np.isclose(measured(FGSM(eps=0.01)(lenet.model, x, y).x, x, "linf").max(), 0.01)


# Random pixels.


@pytest.mark.parametrize("theta", [1.0, -0.5])
def test_random_pixels_are_as_many_as_the_budget_allows_and_no_others(theta):
    attack = RandomPixels(eps=10.7, theta=theta)
    x = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    end = 1.0 if theta > 0 else 0.0
    x[0] = end  # nothing would move
    x[1].flatten()[:-4] = end  # four entries would
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3))
    y = model(x).argmax(1)
    result = attack(model, x, y, rng=1)
    moved = result.x != x
    assert moved.flatten(1).sum(1).tolist() == [0, 4, 10, 10, 10, 10]
    assert torch.equal(result.x[moved], (x + theta).clamp(0, 1)[moved])
    again, other = (attack(model, x, y, rng=seed).x for seed in (1, 2))
    assert torch.equal(again, result.x) and not torch.equal(other, result.x)
    # Each place is drawn as often as any: 600 draws of 10 of 192.
    many = torch.full((600, 3, 8, 8), 0.5) + torch.rand(600, 1, 1, 1) * 0.01
    changed = (attack(model, many, model(many).argmax(1)).x != many).flatten(1).sum(0)
    assert changed.sum() == 6000 and abs(changed.double().std() - 5.4) < 1.5
