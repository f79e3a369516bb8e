"""DeepFool and CW against exact distances and against foolbox."""

from __future__ import annotations

import foolbox as fb
import pytest
import torch
from models_for_tests import (
    affine_setting,
    distance_to_class,
    distances_to_boundaries,
    foolbox,
    measured,
    predictions,
)

from advsparse.attacks._losses import margin
from advsparse.attacks.cw import CW
from advsparse.attacks.deepfool import DeepFool, nearest_boundary
from advsparse.attacks.fgsm import FGSM


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_deepfool_finds_the_boundary_of_an_affine_classifier(norm, dtype):
    model, x, y = affine_setting()
    exact = distances_to_boundaries(model, x, norm).amin(1)
    result = DeepFool(norm=norm)(model.to(dtype), x.to(dtype), y)
    assert result.success.all() and result.steps.max() == 1
    assert result.x.min() > 0 and result.x.max() < 1, "the box is to be inactive here"
    ratio = result.distance / exact
    assert ratio.min() >= 1 and ratio.max() <= 1.021
    # The documented rule: a step 1e-4 too long, then the overshoot.
    torch.testing.assert_close(result.distance, 1.02 * (exact + 1e-4), rtol=1e-5, atol=0)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_deepfool_reaches_targets_of_an_affine_classifier(norm):
    model, x, y = affine_setting()
    target = 1 + torch.arange(len(x)) % 3
    exact = torch.tensor(
        [distance_to_class(model, *pair, norm) for pair in zip(x, target.tolist(), strict=True)]
    )
    result = DeepFool(norm=norm)(model, x, y, target)
    assert torch.equal(predictions(model, result.x), target)
    ratio = result.distance / exact
    assert ratio.min() >= 1 - 1e-7
    # Where one boundary decides, it must be found; a corner it may miss.
    single = distances_to_boundaries(model, x, norm).gather(1, target[:, None]).squeeze(1)
    plain = single > exact * (1 - 1e-6)
    assert plain.sum() >= 6
    assert ratio[plain].max() <= 1.021


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_deepfool_ends_just_beyond_the_boundary_with_bisections(norm):
    model, x, y = affine_setting()
    exact = distances_to_boundaries(model, x, norm).amin(1)
    plain = DeepFool(norm=norm, overshoot=0.5)(model, x, y)
    for ray in (1, 4, 20):
        result = DeepFool(norm=norm, overshoot=0.5, ray=ray)(model, x, y)
        assert result.success.all()
        ratio = result.distance / exact
        assert ratio.min() >= 1 - 1e-7
        assert (result.distance <= exact + plain.distance / 2**ray * (1 + 1e-9)).all()
        assert torch.equal(result.queries, plain.queries + ray + 1)


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("scale", [0.0, 1e-25, 1e-42])
def test_deepfool_makes_no_step_along_a_gradient_of_rounding_errors(scale, norm):
    generator = torch.Generator().manual_seed(0)
    logits, y = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([0])
    jacobian = torch.randn((1, 3, 3, 2, 2), generator=generator)
    assert nearest_boundary(logits, jacobian, y, None, norm).all()
    assert not nearest_boundary(logits, scale * jacobian, y, None, norm).any()


@pytest.mark.parametrize("box", ["mixed", "tanh", "clip"])
def test_cw_finds_the_boundary_of_an_affine_classifier(box):
    model, x, y = affine_setting()
    result = CW(iterations=250, initial_weight=0.1, box=box)(model, x, y)
    assert result.success.all()
    # The margin follows the strongest other class, which need not be the nearest one: the attack
    # is to be exact about the class that it went for.
    reached = predictions(model, result.x).tolist()
    exact = torch.tensor(
        [distance_to_class(model, *pair, "l2") for pair in zip(x, reached, strict=True)]
    )
    ratio = result.distance / exact
    assert ratio.min() >= 1 - 1e-7 and ratio.max() <= 1.02
    assert (result.distance / distances_to_boundaries(model, x, "l2").amin(1)).max() <= 1.25


def test_cw_reaches_targets_of_an_affine_classifier():
    model, x, y = affine_setting()
    target = 1 + torch.arange(len(x)) % 3
    exact = torch.tensor(
        [distance_to_class(model, *pair, "l2") for pair in zip(x, target.tolist(), strict=True)]
    )
    result = CW(iterations=250, initial_weight=0.1)(model, x, y, target)
    assert torch.equal(predictions(model, result.x), target)
    ratio = result.distance / exact
    assert ratio.min() >= 1 - 1e-7 and ratio.max() <= 1.02


def test_cw_keeps_its_confidence():
    model, x, y = affine_setting()
    sure = CW(iterations=100, search_steps=6, initial_weight=0.1, confidence=5.0)(model, x, y)
    with torch.no_grad():
        lead = -margin(model(sure.x), y, None)
    assert sure.success.all() and lead.min() >= 5
    assert lead.max() <= 5.2, "further than was asked for"
    plain = CW(iterations=100, search_steps=6, initial_weight=0.1)(model, x, y)
    assert (sure.distance > 1.2 * plain.distance).all()


def test_cw_bisects_its_weight_for_each_image(monkeypatch):
    outcomes = torch.tensor([[0, 0, 1, 0, 1, 1], [1, 1, 0, 1, 0, 0]]).bool()
    tried = []

    def descend(search):
        tried.append(search.weight.tolist())
        return outcomes[:, len(tried) - 1]

    monkeypatch.setattr("advsparse.attacks.cw._Search.descend", descend)
    model, x, y = affine_setting()
    CW(search_steps=6, initial_weight=1.0)(model, x[:2], y[:2])
    assert [one for one, _ in tried] == [1, 10, 100, 55, 77.5, 66.25]
    assert [other for _, other in tried] == [1, 0.5, 0.25, 0.375, 0.3125, 0.34375]


def test_cw_never_worsens_with_more_searches(lenet):
    before = torch.full((8,), torch.inf, dtype=torch.float64)
    distances = []
    for count in range(1, 7):
        attack = CW(search_steps=count, iterations=40, initial_weight=0.01, learning_rate=0.02)
        distances.append(attack(lenet.model, lenet.x[:8], lenet.y[:8]).distance)
        assert (distances[-1] <= before).all()
        before = distances[-1]
    assert distances[0].isinf().any() and before.isfinite().all(), "nothing was searched for"


@pytest.mark.parametrize(
    "attack",
    [CW(search_steps=4, iterations=30, initial_weight=0.1), DeepFool(), FGSM(eps=0.05, norm="l2")],
    ids=["cw", "deepfool", "fgsm"],
)
def test_shifted_logits_change_nothing(attack, lenet):
    class Shifted(torch.nn.Module):
        def forward(self, x):
            return model(x) + 1e3

    trained = lenet.double()
    model, x, y = trained.model, trained.x[:6], trained.y[:6]
    plain, shifted = attack(model, x, y), attack(Shifted().eval(), x, y)
    assert torch.equal(plain.success, shifted.success)
    torch.testing.assert_close(shifted.x, plain.x, rtol=0, atol=1e-7)


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_scaled_logits_do_not_raise_robustness(factor, lenet):
    class Scaled(torch.nn.Module):
        def forward(self, x):
            return factor * lenet.model(x)

    x, y = lenet.x[:8], lenet.y[:8]
    plain, scaled = DeepFool()(lenet.model, x, y), DeepFool()(Scaled().eval(), x, y)
    torch.testing.assert_close(scaled.distance, plain.distance, rtol=1e-3, atol=0)
    assert CW(search_steps=9, iterations=60, learning_rate=0.02)(Scaled(), x, y).success.all()


@pytest.mark.parametrize(("box", "rate"), [("mixed", 0.01), ("clip", 0.01), ("tanh", 0.1)])
def test_cw_attacks_binary_images(box, rate, lenet):
    x = (lenet.x[:10] > 0.5).float()
    y = predictions(lenet.model, x)
    attack = CW(search_steps=6, iterations=200, learning_rate=rate, box=box, initial_weight=0.1)
    result = attack(lenet.model, x, y)
    assert result.success.all()
    assert result.distance.median() < 2, "as far away as another image would be of no use"


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_deepfool_agrees_with_foolbox(norm, lenet):
    theirs = {"l2": fb.attacks.L2DeepFoolAttack, "linf": fb.attacks.LinfDeepFoolAttack}[norm]
    binary = (lenet.x[:25] > 0.5).float()  # where the box cuts most steps off
    for x, y in ((lenet.x[:40], lenet.y[:40]), (binary, predictions(lenet.model, binary))):
        result = DeepFool(norm=norm)(lenet.model, x, y)
        found, success = foolbox(theirs(steps=50, overshoot=0.02), lenet.model, x, y)
        assert result.success.all() and success.all()
        ratio = result.distance / measured(found, x, norm)
        assert 0.999 <= ratio.median() <= 1.001
        assert (ratio > 1.01).float().mean() <= 0.1


def test_cw_is_as_near_as_foolbox(lenet):
    x, y = lenet.x[:16], lenet.y[:16]
    result = CW(search_steps=5, iterations=100, initial_weight=0.1)(lenet.model, x, y)
    theirs = fb.attacks.L2CarliniWagnerAttack(
        binary_search_steps=5, steps=100, stepsize=0.01, initial_const=0.1
    )
    found, success = foolbox(theirs, lenet.model, x, y)
    assert result.success.all() and success.all()
    assert (result.distance / measured(found, x, "l2")).median() <= 1.01
