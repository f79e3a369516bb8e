"""Minimal APGD: radii against exact distances and APGD itself, and the limit of passes."""

from __future__ import annotations

import torch
from models_for_tests import affine, affine_setting, distance_to_class, measured

from advsparse.attacks.apgd import APGD
from advsparse.attacks.minimal_apgd import MinimalAPGD


def test_distance_from_the_boundary_between_two_classes_is_found():
    model, x, y = affine_setting()
    two = affine(model[1].weight[:2].detach(), model[1].bias[:2].detach())
    result = MinimalAPGD(steps=300)(two, x, y)
    assert result.success.all()
    exact = torch.tensor([distance_to_class(two, one, 1, "linf", boxed=True) for one in x])
    ratio = result.distance / exact
    assert ratio.min() >= 1 - 1e-7 and ratio.max() <= 1.01


def test_apgd_succeeds_within_each_radius_and_seldom_well_within(lenet):
    x, y = lenet.x[:16], lenet.y[:16]
    result = MinimalAPGD(steps=400)(lenet.model, x, y)
    assert result.success.all()
    torch.testing.assert_close(result.distance, measured(result.x, x, "linf").double())
    found = {
        share: sum(
            bool(APGD(norm="linf", eps=share * eps, steps=100)(lenet.model, *one).success)
            for *one, eps in zip(x.split(1), y.split(1), result.distance.tolist(), strict=True)
        )
        for share in (1.02, 0.9)
    }
    assert found[1.02] >= 14 and found[0.9] <= 3


def test_all_passes_are_spent_and_more_of_them_get_nearer(lenet):
    x, y = lenet.x[:8], lenet.y[:8]
    few, many = (MinimalAPGD(passes=count)(lenet.model, x, y) for count in (60, 600))
    for result, count in ((few, 60), (many, 600)):
        assert result.success.all()
        # What an image has left would pay for no gradient, but for a look.
        assert (result.queries <= count).all() and (result.queries >= count - 2).all()
    assert (many.distance <= few.distance).all()
    assert many.distance.median() < 0.95 * few.distance.median()
