"""Perturbations that are added blindly or once learned: clamped or not, scaled, one a class."""

from __future__ import annotations

import pytest
import torch
from models_for_tests import (
    CLASSES,
    EPS,
    affine_setting,
    attacked,
    build,
    fitted,
    measured,
    norms_of,
    predictions,
    run,
    setting,
)

from advsparse import registry
from advsparse.attacks._base import UnclampedAttack
from advsparse.attacks.targeted_uap import TargetedUAP
from advsparse.attacks.uap import UAP

KINDS = [
    kind
    for kind in registry.kinds("attacks")
    if issubclass(registry.load("attacks", kind), UnclampedAttack)
]
each_learned = pytest.mark.parametrize("cls", [UAP, TargetedUAP])
each_norm = pytest.mark.parametrize("norm", ["l2", "linf"])


# No clamp.


@pytest.mark.parametrize(
    ("kind", "norm"), [(kind, norm) for kind in KINDS for norm in norms_of(kind)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
def test_without_clamp_the_perturbation_keeps_its_size_and_leaves_the_box(kind, norm, dtype):
    model, x, y = setting(dtype)
    free = build(kind, norm, clamp=False)
    fit = fitted(kind, norm, dtype)
    result = run(free, model, x, y, fit=fit)
    moved = (result.x != x).flatten(1).any(1)
    assert moved.sum() >= 4
    # What was learned without a radius of its own may be shorter; relative to each image it is not.
    size = EPS[norm]
    if fit is not None and kind != "dict_attack" and norm != "relative_l2":
        size = float(measured(fit.arrays["perturbation"], torch.zeros_like(x[:1]), norm))
    distance = measured(result.x, x, norm)[moved]
    torch.testing.assert_close(distance, torch.full_like(distance, size), rtol=1e-5, atol=0)
    assert distance.max() <= EPS[norm] * (1 + 1e-6)
    assert result.x.min() < 0 or result.x.max() > 1
    torch.testing.assert_close(result.distance[moved], distance, rtol=1e-12, atol=0)
    assert torch.equal(result.success, predictions(model, result.x) != y)
    clamped = attacked(kind, norm, dtype)
    torch.testing.assert_close(clamped.x, result.x.clamp(0, 1), rtol=0, atol=1e-6)


def test_images_given_must_lie_in_the_box_with_clamp_or_without():
    model, x, y = setting(torch.float64)
    with pytest.raises(ValueError, match=r"^x: pixels must lie in"):
        build("noise", "l2", clamp=False)(model, x - 1, y)


# Learned at one radius, applied at others.


@each_learned
@each_norm
def test_it_learns_at_its_radius_and_is_scaled_to_eps(cls, norm):
    model, x, y = affine_setting()
    radius = {"l2": 2.5, "linf": 0.4}[norm]
    plain = {"norm": norm, "passes": 1, "relative_step": 0.6}
    if cls is TargetedUAP:
        plain["target_class"] = 2
    at_radius = cls(eps=radius, **plain).fit(model, x, y).arrays["perturbation"]
    size = float(measured(at_radius, 0 * at_radius, norm))
    assert size > 0
    for eps in (0.01, 0.03):
        attack = cls(eps=eps, learning_eps=radius, **plain)
        fit = attack.fit(model, x, y)
        assert torch.equal(fit.arrays["perturbation"], at_radius)
        moved = attack(model, x, y, fit=fit).x - x
        expected = (eps / size * at_radius).expand_as(moved)
        torch.testing.assert_close(moved, expected, rtol=0, atol=1e-14)


@each_learned
def test_attacks_of_several_eps_share_what_they_learn(cls):
    sharing = {cls(eps=eps, learning_eps=1.0, clamp=clamp).learner() for eps, clamp in CALLS}
    assert sharing == {cls(eps=1.0)}, "and with one that learns at its own eps"
    assert len({cls(eps=eps).learner() for eps, _ in CALLS}) == 3
    assert cls(eps=1.0, learning_eps=2.0).learner() != cls(eps=1.0, learning_eps=1.0).learner()


CALLS = [(1.0, True), (3.25, False), (5.5, True)]


def test_what_was_not_learned_is_not_scaled_up_to_nan():
    model, x, y = affine_setting()
    attack = UAP(eps=1.0, learning_eps=1e-6)
    fit = attack.fit(model, x, y)
    fit.arrays["perturbation"].zero_()
    result = attack(model, x, y, fit=fit)
    assert torch.equal(result.x, x)


# One perturbation for each class.


@pytest.fixture(scope="module")
def each_class():
    model, x, y = affine_setting()
    options = {"eps": 0.75, "passes": 2, "relative_step": 0.6, "clamp": False}
    options |= {"only_reaching": False, "success_rate": 0.9}
    attack = TargetedUAP(target_class="all", **options)
    singles = [
        TargetedUAP(target_class=t, **options).fit(model, x, y).arrays for t in range(CLASSES)
    ]
    return model, x, y, attack, attack.fit(model, x, y), singles


def test_all_classes_are_learned_as_each_alone(each_class):
    *_, fit, singles = each_class
    assert fit.arrays["perturbation"].shape == (CLASSES, 3, 4, 4)
    assert fit.arrays["target"].tolist() == list(range(CLASSES))
    rates = fit.arrays["success_rate"]
    for t, single in enumerate(singles):
        assert torch.equal(fit.arrays["perturbation"][t], single["perturbation"][0])
        taken = len(single["success_rate"])
        assert torch.equal(rates[t, :taken], single["success_rate"])
        assert rates[t, taken:].isnan().all()
    assert rates.isnan().any() and not rates.isnan().all(0).any(), "some take fewer passes"


def test_an_image_gets_the_perturbation_of_its_target(each_class):
    model, x, y, attack, fit, singles = each_class
    target = torch.arange(len(x)) % 3 + 1
    result = attack(model, x, y, towards=target, fit=fit)
    for moved, t in zip(result.x - x, target.tolist(), strict=True):
        torch.testing.assert_close(moved, singles[t]["perturbation"][0], rtol=0, atol=1e-14)
    size = torch.stack([singles[t]["perturbation"].norm() for t in target.tolist()])
    torch.testing.assert_close(result.trace["unclipped_l2"], size)
    assert torch.equal(result.success, predictions(model, result.x) != y)


def test_targets_are_needed_to_choose_and_must_not_be_learned(each_class):
    model, x, y, attack, fit, _ = each_class
    with pytest.raises(ValueError, match=r"^target: .* each class"):
        attack(model, x, y, fit=fit)
    with pytest.raises(ValueError, match=r"^target: .*'all'"):
        attack.fit(model, x, y, torch.ones_like(y))


def test_only_a_class_or_all_can_be_learned():
    for wrong in ("none", -1, True):
        with pytest.raises(ValueError, match="target_class"):
            TargetedUAP(eps=1.0, target_class=wrong)
