"""Attacks whose budget is relative to the length of the image, as sun2019 measures them."""

from __future__ import annotations

import pytest
import torch
from models_for_tests import affine_setting, small_images, small_network

from advsparse.attacks.bim import BIM
from advsparse.attacks.deepfool import DeepFool
from advsparse.attacks.fgsm import FGSM
from advsparse.attacks.uap import UAP
from advsparse.threat import Threat

RELATIVE = Threat(norm="relative_l2")


@pytest.fixture(scope="module")
def setting():
    x = small_images(12)
    model = small_network(x).eval()
    return model, x, model(x).argmax(1)


def signs_of_gradient(model, x, y):
    point = x.clone().requires_grad_()
    torch.nn.functional.cross_entropy(model(point), y, reduction="sum").backward()
    return point.grad.sign()


@pytest.mark.parametrize("eps", [0.01, 0.08, 0.2])
def test_signed_fgsm_is_as_far_away_as_it_may_be(setting, eps):
    model, x, y = setting
    found = FGSM(norm="relative_l2", eps=eps, signed=True)(model, x, y).x
    assert RELATIVE.distance(found, x) == pytest.approx([eps] * len(x), rel=1e-5)


def test_signed_fgsm_is_one_step_size_along_the_signs(setting):
    """Every entry that the box leaves alone moves by the same, and no entry against its sign."""
    model, x, y = setting
    found = FGSM(norm="relative_l2", eps=0.08, signed=True)(model, x, y).x
    moved = (found - x) * signs_of_gradient(model, x, y)
    assert moved.min() >= 0
    for image, change in zip(found, moved, strict=True):
        # Rounding may leave an entry just inside the box that it is cut off by.
        inside = (image > 1e-5) & (image < 1 - 1e-5) & (change > 0)
        assert inside.sum() > 10
        size = change[inside]
        assert size.max() - size.min() < 1e-5
        # The box cuts off, it adds nothing.
        assert change.max() <= size.max() + 1e-6


def test_signed_fgsm_without_a_box_is_closed_form(setting):
    model, x, y = setting
    found = FGSM(norm="relative_l2", eps=0.08, signed=True, clamp=False)(model, x, y).x
    signs = signs_of_gradient(model, x, y)
    size = 0.08 * x.flatten(1).norm(dim=1) / signs.flatten(1).norm(dim=1)
    assert torch.allclose(found, x + size[:, None, None, None] * signs, atol=1e-5)


def test_signed_fgsm_beyond_the_box_goes_to_its_corner():
    model, x, y = affine_setting()
    found = FGSM(norm="l2", eps=1000.0, signed=True)(model, x, y).x
    signs = signs_of_gradient(model, x, y)
    corner = torch.where(signs > 0, 1.0, torch.where(signs < 0, 0.0, x))
    assert torch.allclose(found, corner.to(found), atol=1e-6)


def test_signed_steps_of_bim_stay_in_the_ball(setting):
    model, x, y = setting
    plain = BIM(norm="relative_l2", eps=0.03)(model, x, y)
    signed = BIM(norm="relative_l2", eps=0.03, signed=True)(model, x, y)
    assert not torch.equal(plain.x, signed.x)
    assert RELATIVE.distance(signed.x, x).max() <= 0.03
    one = BIM(norm="relative_l2", eps=0.03, signed=True, steps=1, step=0.01)(model, x, y).x
    signs = signs_of_gradient(model, x, y)
    size = 0.01 * x.flatten(1).norm(dim=1) / signs.flatten(1).norm(dim=1)
    assert torch.allclose(one, (x + size[:, None, None, None] * signs).clamp(0, 1), atol=1e-5)


def test_a_cut_perturbation_is_extended_along_its_ray(setting):
    model, x, y = setting
    cut = DeepFool(cutoff=0.05)(model, x, y)
    extended = DeepFool(cutoff=0.05, extended=True)(model, x, y)
    for index in range(len(x)):
        short, long = (found.x[index] - x[index] for found in (cut, extended))
        if not short.any():
            assert not long.any()
            continue
        at_edge = (extended.x[index] == 0) | (extended.x[index] == 1)
        cosine = torch.nn.functional.cosine_similarity(short[~at_edge], long[~at_edge], dim=0)
        assert cosine > 1 - 1e-4
        if not at_edge.any():
            distance = RELATIVE.distance(extended.x[index][None], x[index][None])
            assert distance.item() == pytest.approx(0.05, rel=1e-5)
    assert RELATIVE.distance(extended.x, x).max() <= 0.05
    assert (extended.distance >= cut.distance - 1e-9).all()


def test_extending_needs_a_cutoff():
    with pytest.raises(ValueError, match="extended: without a cutoff"):
        DeepFool(extended=True)


def test_a_universal_perturbation_is_scaled_to_each_image(setting):
    model, x, y = setting
    attack = UAP(norm="relative_l2", eps=0.3, passes=2, clamp=False)
    fit = attack.fit(model, x, y)
    found = attack(model, x, y, fit=fit).x
    assert RELATIVE.distance(found, x) == pytest.approx([0.3] * len(x), rel=1e-5)
    v = fit.arrays["perturbation"]
    assert v.flatten(1).norm(dim=1) <= 0.3 * x.flatten(1).norm(dim=1).mean() * (1 + 1e-6)
    for change in found - x:
        assert torch.nn.functional.cosine_similarity(change.ravel(), v.ravel(), dim=0) > 1 - 1e-5
