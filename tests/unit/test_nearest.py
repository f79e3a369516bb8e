"""The ensemble of minimum-norm attacks: never further than its parts, and within its passes."""

from __future__ import annotations

import pytest
import torch
from models_for_tests import affine_setting, distance_to_class, predictions, setting, small_network

from advsparse.attacks.fmn import FMN
from advsparse.attacks.nearest import Nearest
from advsparse.attacks.sigma_zero import SigmaZero


@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
def test_boundary_of_an_affine_classifier_is_found(norm):
    model, x, y = affine_setting()
    result = Nearest(norm=norm, passes=1200)(model, x, y)
    reached = predictions(model, result.x).tolist()
    pairs = zip(x, reached, strict=True)
    exact = torch.tensor([distance_to_class(model, *pair, norm, boxed=True) for pair in pairs])
    ratio = result.distance / exact
    assert ratio.min() >= 1 - 1e-6 and ratio.max() <= 1.02


@pytest.mark.parametrize(("norm", "first"), [("l2", FMN), ("linf", FMN), ("l0", SigmaZero)])
@pytest.mark.parametrize("passes", [60, 500])
def test_no_image_is_further_than_by_the_first_attack_alone(norm, first, passes):
    _, x, _ = setting(torch.float64)
    model = small_network(x, 1)
    y = predictions(model, x)
    attack = Nearest(norm=norm, passes=passes)
    together = attack(model, x, y)
    share = attack.stages(passes - 2)[0][0]
    # The clean image and the result are looked at besides.
    alone = first(norm=norm, passes=int(share * (passes - 2)) + 2)(model, x, y)
    assert (together.distance <= alone.distance).all()
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
