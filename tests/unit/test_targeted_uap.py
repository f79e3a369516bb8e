"""Targeted universal perturbations: what they reach, and the published algorithm."""

from __future__ import annotations

import pytest
import torch
from models_for_tests import affine_setting, measured, predictions, setting

from advsparse.attacks.noise import Noise
from advsparse.attacks.targeted_uap import TargetedUAP
from advsparse.attacks.uap import UAP
from advsparse.seeding import Random

CLASS = 3
BUDGETS = [("l2", 5.0), ("linf", 0.12)]


def images_of_others(lenet, count=60):
    others = (lenet.y != CLASS).nonzero().flatten()[:count]
    return lenet.x[others], lenet.y[others], torch.full((count,), CLASS)


@pytest.mark.parametrize(("norm", "eps"), BUDGETS)
def test_reaches_its_class_more_often_than_noise_and_untargeted(norm, eps, lenet):
    x, y, target = images_of_others(lenet)
    attack = TargetedUAP(norm=norm, eps=eps, target_class=CLASS, passes=3)
    fit = attack.fit(lenet.model, x, y)
    v = fit.arrays["perturbation"]
    assert v.shape == (1, 3, 32, 32)
    assert measured(v, torch.zeros_like(v), norm).max() <= eps * (1 + 1e-6)
    rate = (predictions(lenet.model, (x + v).clamp(0, 1)) == CLASS).float().mean()
    result = attack(lenet.model, x, y, target, fit=fit)
    assert fit.arrays["success_rate"].max() == rate == result.success.float().mean()
    assert measured(result.x, x, norm).max() <= eps * (1 + 1e-6)
    torch.testing.assert_close(result.trace["unclipped_l2"], v.double().norm().expand(len(x)))
    blind = Noise(norm=norm, eps=eps)(lenet.model, x, y, target).success.float().mean()
    aimless = UAP(norm=norm, eps=eps, passes=3, fooling_rate=1.0)
    untargeted = aimless(lenet.model, x, y, target, fit=aimless.fit(lenet.model, x, y))
    assert rate >= blind + 0.2
    assert rate >= untargeted.success.float().mean() + 0.1


def test_learns_the_same_from_a_class_and_from_targets(lenet):
    x, y, target = images_of_others(lenet, 20)
    options = {"eps": 5.0, "passes": 1}
    one = TargetedUAP(target_class=CLASS, **options).fit(lenet.model, x, y).arrays
    other = TargetedUAP(target_class=1, **options).fit(lenet.model, x, y, target).arrays
    assert one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
    assert torch.equal(one["target"], target)


def test_success_is_untargeted_unless_targets_are_given(lenet):
    x, y, target = images_of_others(lenet, 20)
    attack = TargetedUAP(eps=5.0, passes=1, target_class=CLASS)
    fit = attack.fit(lenet.model, x, y)
    left, reached = (attack(lenet.model, x, y, goal, fit=fit) for goal in (None, target))
    assert torch.equal(left.success, predictions(lenet.model, left.x) != y)
    assert torch.equal(reached.success, predictions(lenet.model, reached.x) == CLASS)
    assert torch.equal(left.x, reached.x)


def test_a_class_the_model_lacks_is_refused():
    model, x, y = setting(torch.float32)
    with pytest.raises(ValueError, match=r"^target_class: .*0\.\.3"):
        TargetedUAP(eps=1.0, target_class=4).fit(model, x, y)


def test_stops_at_the_rate_asked_for(lenet):
    x, y, _ = images_of_others(lenet, 30)
    attack = TargetedUAP(eps=5.0, passes=4, success_rate=0.01, target_class=CLASS)
    assert len(attack.fit(lenet.model, x, y).arrays["success_rate"]) == 1


@pytest.mark.parametrize("only_reaching", [True, False])
@pytest.mark.parametrize(("norm", "eps"), [("l2", 2.5), ("linf", 0.4)])
def test_one_pass_is_the_printed_algorithm(norm, eps, only_reaching):
    model, x, y = affine_setting()
    attack = TargetedUAP(
        norm=norm,
        eps=eps,
        target_class=2,
        passes=1,
        relative_step=0.6,
        only_reaching=only_reaching,
    )
    v, taken = torch.zeros_like(x[:1]), 0
    for i in torch.randperm(len(x), generator=Random(0).generator("order")).tolist():
        point = (x[i : i + 1] + v).requires_grad_()
        log_p = model(point).log_softmax(1)
        if log_p.argmax() == 2:
            continue
        (gradient,) = torch.autograd.grad(-log_p[0, 2], point)
        unit = gradient.sign() if norm == "linf" else gradient / gradient.norm()
        image = point.detach() - 0.6 * eps * unit
        if only_reaching and predictions(model, image) != 2:
            continue
        taken += 1
        v = image - x[i : i + 1]
        v = v.clamp(-eps, eps) if norm == "linf" else v * min(1, eps / v.norm())
    found = attack.fit(model, x, y).arrays["perturbation"]
    torch.testing.assert_close(found, v, rtol=0, atol=1e-9)
    assert taken >= 1


def test_too_short_a_step_leaves_nothing_where_only_those_that_reach_count(lenet):
    x, y, _ = images_of_others(lenet, 20)
    options = {"eps": 5.0, "passes": 1, "relative_step": 1e-3, "target_class": CLASS}
    fit = TargetedUAP(**options).fit(lenet.model, x, y)
    assert not fit.arrays["perturbation"].any()
    fit = TargetedUAP(only_reaching=False, **options).fit(lenet.model, x, y)
    assert fit.arrays["perturbation"].any()
