"""The ensemble of minimum-norm attacks: never further than its parts, and within its passes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from models_for_tests import (
    affine_setting,
    distance_to_class,
    predictions,
    setting,
    small_network,
)

from advsparse.attacks.nearest import Nearest
from advsparse.seeding import stable_seed


@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
def test_boundary_of_an_affine_classifier_is_found(norm):
    model, x, y = affine_setting()
    result = Nearest(norm=norm, passes=1200)(model, x, y)
    reached = predictions(model, result.x).tolist()
    pairs = zip(x, reached, strict=True)
    exact = torch.tensor([distance_to_class(model, *pair, norm, boxed=True) for pair in pairs])
    ratio = result.distance / exact
    assert ratio.min() >= 1 - 1e-6 and ratio.max() <= 1.02


@pytest.mark.parametrize("norm", ["l2", "linf", "l0"])
@pytest.mark.parametrize("passes", [60, 500])
def test_no_image_is_further_than_by_the_first_attack_alone(norm, passes):
    _, x, _ = setting(torch.float64)
    model = small_network(x, 1)
    y = predictions(model, x)
    attack = Nearest(norm=norm, passes=passes)
    together = attack(model, x, y)
    share, first = attack.stages(passes - 2)[0]
    # The clean image and the result are looked at besides.
    first = replace(first, passes=int(share * (passes - 2)) + 2)
    alone = first(model, x, y, rng=stable_seed(0, 1))
    assert (together.distance <= alone.distance).all()
    assert alone.success.any()
    if passes < 400:
        assert torch.equal(together.distance, alone.distance)
    assert together.queries.max() <= passes


def test_which_attack_gets_nearest_differs_and_all_passes_are_spent(lenet):
    x, y = lenet.x[:16], lenet.y[:16]
    result = Nearest(passes=600)(lenet.model, x, y)
    found = result.trace["nearest_by"]
    assert found.min() >= 1 and len(found.unique()) > 1
    assert (result.queries <= 600).all() and (result.queries > 580).all()


def test_total_is_the_limit_where_no_other_is_given(lenet):
    result = Nearest(total=50)(lenet.model, lenet.x[:4], lenet.y[:4])
    assert result.queries.tolist() == [52] * 4


@pytest.mark.filterwarnings("ignore::advsparse.attacks._checks.AttackWarning")
@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
def test_images_on_which_gradients_vanish_are_searched_without_them(norm, lenet):
    class Stepped(torch.nn.Module):
        def forward(self, x):
            return lenet.model((255 * x).round() / 255)

    x, y = lenet.x[:6], lenet.y[:6]
    attack = Nearest(norm=norm, passes=500)
    result = attack(Stepped(), x, y)
    found = result.trace["nearest_by"]
    assert result.success.any() and (result.queries <= 500).all()
    assert (found == torch.where(result.success, len(attack.stages(498)) + 1, 0)).all()
    # With gradients that search is not made.
    assert attack(lenet.model, x, y).trace["nearest_by"].max() <= len(attack.stages(498))
