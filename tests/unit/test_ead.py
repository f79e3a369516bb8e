"""EAD against exact distances, its steps by hand, and foolbox."""

from __future__ import annotations

import foolbox as fb
import pytest
import torch
from models_for_tests import (
    affine,
    affine_setting,
    distance_to_class,
    foolbox,
    measured,
    predictions,
)

from advsparse.attacks._losses import margin
from advsparse.attacks.ead import EAD, shrink


def test_shrinkage_by_hand():
    x = torch.tensor([0.5, 0.5, 0.5, 0.5, 0.98, 0.0])
    z = torch.tensor([0.55, 0.7, 0.2, 0.4, 1.5, -0.05])
    expected = torch.tensor([0.5, 0.6, 0.3, 0.5, 1.0, 0.0])
    torch.testing.assert_close(shrink(z, x, 0.1), expected)
    assert torch.equal(shrink(z, x, 0.1)[[0, 3, 5]], x[[0, 3, 5]]), "bit for bit"
    assert torch.equal(shrink(x, x, 0.0), x)


def test_iterates_by_hand():
    """Of an affine classifier the gradient is constant until the boundary is crossed."""
    weights = torch.zeros((2, 4), dtype=torch.float64)
    weights[1] = torch.tensor([3.0, -1.0, 0.2, 0.0])
    model = affine(weights, torch.tensor([100.0, 0.0], dtype=torch.float64))
    x, y, seen = torch.full((1, 1, 2, 2), 0.5).double(), torch.tensor([0]), []
    handle = model.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    EAD(search_steps=1, iterations=4, initial_weight=0.5, beta=0.001)(model, x, y)
    handle.remove()
    asked = torch.cat(seen[3:-1]).flatten(1)  # z_k and x_{k+1}, in turn
    z = previous = x.flatten()
    for k in range(4):
        torch.testing.assert_close(asked[2 * k], z)
        slope = 2 * (z - 0.5) - 0.5 * weights[1]
        step = z - 0.01 * (1 - k / 4) ** 0.5 * slope
        d = step - 0.5
        point = 0.5 + d.sign() * (d.abs() - 0.001).clamp(min=0)
        torch.testing.assert_close(asked[2 * k + 1], point)
        z, previous = point + k / (k + 3) * (point - previous), point


def test_nearest_image_of_an_affine_classifier_is_found_in_l1():
    model, x, y = affine_setting()
    result = EAD(search_steps=9, iterations=400, initial_weight=0.01, beta=0.02)(model, x, y)
    assert result.success.all()
    reached = predictions(model, result.x).tolist()
    pairs = zip(x, reached, strict=True)
    exact = torch.tensor([distance_to_class(model, *pair, "l1", boxed=True) for pair in pairs])
    ratio = result.distance / exact
    assert ratio.min() >= 1 - 1e-7 and ratio.max() <= 1.05


def test_each_decision_is_the_best_by_its_own_distance(lenet):
    x, y = lenet.x[:16], lenet.y[:16]
    settings = {"search_steps": 4, "iterations": 40, "initial_weight": 0.1, "beta": 0.01}
    found = {rule: EAD(decision=rule, **settings)(lenet.model, x, y) for rule in RULES}

    def elastic(result):
        return 0.01 * measured(result.x, x, "l1") + measured(result.x, x, "l2").square()

    l1, net = (found[rule] for rule in RULES)
    both = l1.success & net.success
    assert both.sum() >= 12
    assert (l1.distance <= net.distance * (1 + 1e-6))[both].all()
    assert (elastic(net) <= elastic(l1) * (1 + 1e-5))[both].all()
    assert (l1.distance < 0.99 * net.distance)[both].any()
    # A limit of passes that is out of reach changes neither.
    again = EAD(decision="elastic_net", passes=10**6, **settings)(lenet.model, x, y)
    torch.testing.assert_close(again.x, net.x)


RULES = ("l1", "elastic_net")


def test_confidence_is_kept():
    model, x, y = affine_setting()
    settings = {"search_steps": 5, "iterations": 60, "initial_weight": 0.1, "beta": 0.01}
    sure = EAD(confidence=5.0, **settings)(model, x, y)
    with torch.no_grad():
        assert sure.success.all() and (-margin(model(sure.x), y, None)).min() >= 5


@pytest.mark.parametrize("rule", RULES)
def test_is_at_least_as_near_as_foolbox(rule, lenet):
    x, y = lenet.x[:32], lenet.y[:32]
    # With 40 iterations both are so far from where they lead that single images differ by twice.
    settings = {"search_steps": 6, "iterations": 100, "initial_weight": 0.1, "beta": 0.01}
    ours = EAD(decision=rule, abort_early=False, **settings)(lenet.model, x, y)
    theirs = fb.attacks.EADAttack(
        binary_search_steps=6,
        steps=100,
        initial_stepsize=0.01,
        initial_const=0.1,
        regularization=0.01,
        decision_rule={"l1": "L1", "elastic_net": "EN"}[rule],
        abort_early=False,
    )
    found, success = foolbox(theirs, lenet.model, x, y)
    assert ours.success.sum() >= success.sum() >= 24

    def distance(adversarial):
        l1 = measured(adversarial, x, "l1")
        return l1 if rule == "l1" else 0.01 * l1 + measured(adversarial, x, "l2").square()

    # Not each: iterates ahead are kept in the box here.
    assert (distance(ours.x) / distance(found))[success].log().mean().exp() <= 1.005
