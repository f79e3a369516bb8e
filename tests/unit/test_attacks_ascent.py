"""The gradient ascent behind FGSM, BIM and PGD: any objective, any way to give a step size."""

from __future__ import annotations

import pytest
import torch
from models_for_tests import (
    affine_setting,
    measured,
    predictions,
    small_images,
    small_network,
)

from advsparse.attacks._ascent import ascend
from advsparse.attacks.bim import BIM
from advsparse.attacks.fgsm import FGSM
from advsparse.attacks.pgd import PGD
from advsparse.threat import Threat

EPS = {"linf": 0.05, "l2": 0.4, "relative_l2": 0.03}


@pytest.mark.parametrize("norm", EPS)
def test_ascent_of_a_linear_objective_ends_at_its_maximum(norm):
    generator = torch.Generator().manual_seed(0)
    x = 0.4 + 0.2 * torch.rand((5, 3, 4, 4), generator=generator, dtype=torch.float64)
    slope = torch.randn((5, 3, 4, 4), generator=generator, dtype=torch.float64)
    threat = Threat(norm=norm, eps=EPS[norm])
    found = ascend(lambda z: (slope * z).flatten(1).sum(1), x, threat, steps=20, step=0.05)
    unit = (
        slope.sign()
        if norm == "linf"
        else slope / slope.flatten(1).norm(dim=1)[:, None, None, None]
    )
    torch.testing.assert_close(found, x + threat.radius(x) * unit)


@pytest.mark.parametrize("norm", EPS)
def test_reconstruction_error_can_be_attacked_without_labels(norm):
    # As weitzner2023 attacks a sparse coder: 40 steps of 0.01.
    x = small_images(6, torch.float64)
    torch.manual_seed(0)
    coder = torch.nn.Sequential(
        torch.nn.Conv2d(3, 5, 3, padding=1),
        torch.nn.Dropout(0.5),
        torch.nn.Conv2d(5, 3, 3, padding=1),
    ).double()

    def error(z):
        return (coder(z) - x).flatten(1).square().sum(1)

    attack = BIM(norm=norm, eps=EPS[norm], steps=40, step=0.01)
    found = attack.maximise(coder, error, x)
    assert coder.training and not found.requires_grad
    assert measured(found, x, norm).max() <= EPS[norm] * (1 + 1e-6)
    assert found.min() >= 0 and found.max() <= 1
    coder.eval()
    assert (error(found) > error(x)).all()
    one = PGD(norm=norm, eps=EPS[norm], steps=3).maximise(coder, error, x)
    five = PGD(norm=norm, eps=EPS[norm], steps=3, restarts=5).maximise(coder, error, x)
    assert (error(five) >= error(one)).all() and (error(five) > error(one)).any()


@pytest.mark.parametrize("norm", EPS)
@pytest.mark.parametrize("cls", [BIM, PGD])
def test_absolute_and_relative_steps_are_two_ways_to_say_one_thing(cls, norm):
    x = small_images(5, torch.float64)
    model = small_network(x)
    y = predictions(model, x)
    eps = EPS[norm]
    absolute = cls(norm=norm, eps=eps, steps=3, step=0.25 * eps)(model, x, y)
    relative = cls(norm=norm, eps=eps, steps=3, relative_step=0.25)(model, x, y)
    torch.testing.assert_close(absolute.x, relative.x)


@pytest.mark.parametrize("cls", [BIM, PGD])
def test_two_step_sizes_are_refused(cls):
    with pytest.raises(ValueError, match="step and relative_step: at most one"):
        cls(eps=0.1, step=0.1, relative_step=0.1)


@pytest.mark.parametrize("norm", EPS)
def test_bim_of_one_step_is_fgsm(norm):
    x = small_images(5, torch.float64)
    model = small_network(x)
    y = predictions(model, x)
    one = BIM(norm=norm, eps=EPS[norm], steps=1, relative_step=1.0)(model, x, y)
    assert torch.equal(one.x, FGSM(norm=norm, eps=EPS[norm])(model, x, y).x)


@pytest.mark.parametrize("attack", [FGSM, BIM, PGD])
def test_margin_is_blind_to_the_scale_of_the_logits(attack, lenet):
    class Scaled(torch.nn.Module):
        def forward(self, x):
            return 1e4 * lenet.model(x)

    x, y = lenet.x[:60], lenet.y[:60]
    options = {"eps": 0.01, "loss": "margin"}
    plain = attack(**options)(lenet.model, x, y).success.float().mean()
    scaled = attack(**options)(Scaled().eval(), x, y).success.float().mean()
    assert plain > 0.1
    assert scaled >= plain - 0.02


@pytest.mark.parametrize("target", [None, 2])
def test_later_runs_attack_what_still_stands_and_leave_the_rest(target):
    model, x, y = affine_setting()
    # A label that none has been given: whether the target is reached is all that counts.
    y, goal = (y, None) if target is None else (y + 1, torch.full_like(y, target))
    # Two steps are few, and where they start decides.
    attacks = [PGD(norm="l2", eps=3.0, steps=2, step=0.5, restarts=n) for n in (1, 2, 3)]
    first, second, third = (attack(model, x, y, goal, rng=4) for attack in attacks)
    assert 0 < first.success.sum() < second.success.sum() < len(x)
    assert torch.equal(second.x[first.success], first.x[first.success])
    assert torch.equal(third.x[second.success], second.x[second.success])
    assert first.steps.tolist() == [2] * len(x)
    assert torch.equal(second.steps, torch.where(first.success, 2, 4))
    again = torch.where(second.success, 4, 6)
    assert torch.equal(third.steps, torch.where(first.success, 2, again))


def test_what_is_maximised_is_of_a_module():
    x = torch.rand(1, 1, 2, 2)
    with pytest.raises(TypeError, match=r"^module: expected a torch\.nn\.Module, got int; "):
        FGSM(eps=0.1).maximise(3, lambda z: z.flatten(1).sum(1), x)
