"""The attacks of Carlini and Wagner in linf and l0, and their seven objectives."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from models_for_tests import affine_setting, distance_to_class, predictions
from scipy.special import log_softmax

from advsparse.attacks._carlini_wagner import Descent, objective
from advsparse.attacks.cw import CW
from advsparse.attacks.cw_l0 import CWL0
from advsparse.attacks.cw_linf import CWLinf

NAMES = ("f1", "f2", "f3", "f4", "f5", "f6", "f7")
BOXED = {"box": "clip"}


def by_the_paper(name, z, t):
    """f of logits z and the target t, as Carlini and Wagner print it, f1 and f5 as they mean it."""
    log_f = log_softmax(z)
    f = np.exp(log_f)
    others = [k for k in range(len(z)) if k != t]
    return {
        "f1": -log_f[t] - 1,
        "f2": max(max(f[others]) - f[t], 0),
        "f3": np.logaddexp(0, max(f[others]) - f[t]) - math.log(2),
        "f4": max(0.5 - f[t], 0),
        "f5": -math.log(2 * f[t]),
        "f6": max(max(z[others]) - z[t], 0),
        "f7": np.logaddexp(0, max(z[others]) - z[t]) - math.log(2),
    }[name]


@pytest.mark.parametrize("name", NAMES)
def test_objectives_are_those_that_are_printed(name):
    generator = torch.Generator().manual_seed(2)
    z = 3 * torch.randn((40, 5), generator=generator, dtype=torch.float64)
    target = torch.randint(5, (40,), generator=generator)
    found = objective(name, z, torch.zeros_like(target), target)
    expected = [by_the_paper(name, *one) for one in zip(z.numpy(), target.tolist(), strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    reached = z.argmax(1) == target
    assert 5 < reached.sum() < 30
    if name in ("f4", "f5"):
        assert reached[found <= 0].all(), "with more than half of the probability"
    elif name != "f1":
        assert torch.equal(found <= 0, reached)


@pytest.mark.parametrize("name", NAMES)
def test_untargeted_the_likeliest_other_class_is_the_target(name):
    generator = torch.Generator().manual_seed(3)
    z = 3 * torch.randn((40, 5), generator=generator, dtype=torch.float64)
    y = z.argmax(1)
    other = z.scatter(1, y[:, None], -torch.inf).argmax(1)
    found = objective(name, z, y, None)
    torch.testing.assert_close(found, objective(name, z, y, other), rtol=1e-12, atol=1e-12)


def test_two_objectives_of_the_seven_lead_the_same_way():
    model, x, y = affine_setting()
    one, other = (
        CWLinf(objective=name, iterations=50, initial_weight=0.01, **BOXED)(model, x, y).x
        for name in ("f1", "f5")
    )
    assert torch.equal(one, other) and not torch.equal(one, x)


@pytest.mark.parametrize("box", ["mixed", "tanh", "clip"])
def test_linf_finds_the_boundary_of_an_affine_classifier(box):
    model, x, y = affine_setting()
    attack = CWLinf(iterations=300, learning_rate=0.002, initial_weight=0.01, box=box)
    result = attack(model, x, y)
    reached = predictions(model, result.x).tolist()
    exact = torch.tensor(
        [distance_to_class(model, *pair, "linf") for pair in zip(x, reached, strict=True)]
    )
    ratio = result.distance / exact
    # Between one tau and the next lies a tenth.
    assert result.success.all() and ratio.min() >= 1 - 1e-7 and ratio.max() <= 1.12
    plain = CW(iterations=300, initial_weight=0.1, box=box)(model, x, y)
    of_l2 = (plain.x - x).flatten(1).abs().amax(1)
    assert (result.distance < 0.8 * of_l2).all(), "no better than what l2 leads to"


def fewest(model, x, k):
    """How many entries of an image have to change before class k exceeds class 0, exactly."""
    weights = model[1].weight.detach()
    slope = weights[k] - weights[0]
    with torch.no_grad():
        z = model(x[None])[0]
    room = torch.where(slope > 0, 1 - x.flatten(), x.flatten())
    gains = (slope.abs() * room).sort(descending=True).values.cumsum(0)
    return int((gains <= z[0] - z[k]).sum()) + 1


@pytest.mark.parametrize("name", ["f1", "f6", "f7"])
def test_l0_changes_about_as_few_entries_as_there_have_to_be(name):
    model, x, y = affine_setting()
    target = 1 + torch.arange(len(x)) % 3
    attack = CWL0(objective=name, iterations=150, learning_rate=0.02, **BOXED)
    result = attack(model, x, y, target)
    exact = torch.tensor(
        [fewest(model, *pair) for pair in zip(x, target.tolist(), strict=True)]
    ).double()
    assert result.success.all() and (result.distance >= exact).all()
    assert exact.max() >= 4 and (result.distance - exact).mean() <= 0.5
    whole = CW(iterations=150, initial_weight=0.1, **BOXED)(model, x, y, target)
    assert ((whole.x != x).flatten(1).sum(1) > 3 * result.distance).all()


@pytest.mark.parametrize("kind", [CWLinf, CWL0])
def test_they_keep_their_confidence(kind):
    model, x, y = affine_setting()
    sure = kind(iterations=100, learning_rate=0.02, confidence=5.0, **BOXED)(model, x, y)
    with torch.no_grad():
        z = model(sure.x)
    assert sure.success.all() and (z[:, 1:].amax(1) - z[:, 0]).min() >= 5
    plain = kind(iterations=100, learning_rate=0.02, **BOXED)(model, x, y)
    assert (sure.distance > plain.distance).all()


@pytest.mark.parametrize("box", ["mixed", "tanh", "clip"])
def test_the_descent_is_adams(box):
    generator = torch.Generator().manual_seed(5)
    start = 0.2 + 0.6 * torch.rand((3, 1, 2, 2), generator=generator, dtype=torch.float64)
    start[:, :, 0] = torch.tensor([0.0, 1.0])
    goal = torch.rand((3, 1, 2, 2), generator=generator, dtype=torch.float64)
    descent = Descent(CW(box=box, learning_rate=0.03), start)
    tanh = torch.full_like(start, box != "clip", dtype=torch.bool)
    if box == "mixed":
        tanh[:, :, 0] = False
    free = torch.where(tanh, torch.atanh((2 * start - 1) * (1 - 1e-6)), start).requires_grad_()
    adam = torch.optim.Adam([free], lr=0.03)
    for _ in range(20):
        x = torch.where(tanh, (torch.tanh(free) + 1) / 2, free)
        torch.testing.assert_close(descent.images(), x.detach(), rtol=0, atol=1e-12)
        descent.step(2 * (x.detach() - goal))
        adam.zero_grad()
        (x - goal).square().sum().backward()
        adam.step()
        with torch.no_grad():
            free.copy_(torch.where(tanh, free, free.clamp(0, 1)))
    moved = (descent.images() - start).abs()
    assert moved[:, :, 1].mean() > 0.05
    assert (moved[:, :, 0] < 1e-5).all() if box == "tanh" else moved[:, :, 0].mean() > 0.05


def test_an_image_whose_objective_stays_is_left():
    descent = Descent(CW(iterations=30), torch.full((3, 1, 1, 1), 0.5))
    objectives = torch.tensor([3.0, 2.0, -1.0])
    gone = []
    for count in range(9):
        descent.images()
        descent.step(torch.zeros(3, 1, 1, 1))
        falling = descent.falling(objectives - count * torch.tensor([0.0, 0.1, 1e-6]))
        gone.append((~falling).tolist())
    assert gone[2] == [False] * 3 and gone[5] == gone[8] == [True, False, True]
    assert not any(map(any, gone[:5] + gone[6:8]))
