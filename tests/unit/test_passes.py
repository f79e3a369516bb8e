"""The limit of passes: never exceeded, counted in full, and the best image within it returned."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from defenses_for_tests import Noise
from models_for_tests import (
    ALREADY,
    CASES,
    ROUNDING,
    Function,
    affine,
    affine_setting,
    assert_same,
    build,
    fitted,
    is_a,
    measured,
    predictions,
    run,
    setting,
)

from advsparse.attacks._base import BudgetAttack, MinimumNormAttack
from advsparse.attacks.adaptive import Adaptive
from advsparse.attacks.apgd import APGD
from advsparse.attacks.deepfool import DeepFool
from advsparse.attacks.pgd import PGD
from advsparse.attacks.square import Square

LIMITS = [1, 2, 3, 4, 7, 12, 31, 90]
# UAP's ``passes`` are those of learning, and it asks nothing when it is applied.
LIMITED = [case for case in CASES if build(*case, passes=5)._limit]
each_attack = pytest.mark.parametrize(("kind", "norm"), LIMITED)
each_limit = pytest.mark.parametrize("passes", LIMITS)


class Counted(torch.nn.Module):
    """A network that notes every image that passes through it, and counts the ways back."""

    def __init__(self, model):
        super().__init__()
        self.model, self.forwards, self.backwards, self.seen = model, 0, 0, []

    def forward(self, x):
        logits = self.model(x)
        self.forwards += len(x)
        self.seen.append((x.detach().clone(), logits.detach().clone()))
        if logits.requires_grad:
            logits.register_hook(self._back)
        return logits

    def _back(self, gradient):
        self.backwards += len(gradient)


def counted(kind, norm, passes, image, **settings):
    model, x, y = setting(torch.float64)
    network = Counted(copy.deepcopy(model))
    fit = fitted(kind, norm, torch.float64)
    one = slice(image, image + 1)
    result = run(build(kind, norm, passes=passes, **settings), network, x[one], y[one], fit=fit)
    return result, network, x[one], y[one]


@each_limit
@each_attack
def test_no_pass_more_than_the_limit_and_none_uncounted(kind, norm, passes):
    for image in (0, ALREADY):
        result, network, _, _ = counted(kind, norm, passes, image)
        assert network.forwards + network.backwards == result.queries.item() <= passes


@pytest.mark.parametrize("passes", [3, 12, 31, 90])
@each_attack
def test_the_best_image_that_was_asked_about_is_returned(kind, norm, passes):
    result, network, x, y = counted(kind, norm, passes, 1)
    asked = torch.cat([point for point, _ in network.seen])
    logits = torch.cat([found for _, found in network.seen])
    distance = measured(asked, x.expand(asked.shape), norm)
    within = (asked >= 0).flatten(1).all(1) & (asked <= 1).flatten(1).all(1)
    if is_a(kind, BudgetAttack) or kind == "adaptive":
        within &= distance <= build(kind, norm).threat.eps
    fooling = within & (logits.argmax(1) != y)
    assert result.success.item() == bool(fooling.any())
    if is_a(kind, MinimumNormAttack):
        nearest = distance[fooling].min() if fooling.any() else torch.tensor(torch.inf)
        torch.testing.assert_close(result.distance[0], nearest.double(), rtol=2e-12, atol=0)
    assert any(torch.equal(result.x[0], point) for point in asked)


@pytest.mark.parametrize("passes", [2, 11, 40])
@each_attack
def test_images_that_spend_their_passes_are_alone_with_it(kind, norm, passes):
    model, x, y = setting(torch.float64)
    attack, fit = build(kind, norm, passes=passes), fitted(kind, norm, torch.float64)
    together = run(attack, model, x, y, fit=fit)
    assert together.queries.max() <= passes
    order = torch.tensor([6, 0, 5, 2, 4, ALREADY, 1])
    shuffled = run(attack, model, x[order], y[order], fit=fit)
    assert shuffled.trace.keys() == together.trace.keys()
    assert_same(shuffled, together, order, **ROUNDING)
    for i in range(len(x)):
        alone = run(attack, model, x[i : i + 1], y[i : i + 1], fit=fit)
        for name in ("x", "distance"):
            one, other = getattr(alone, name), getattr(together, name)[i : i + 1]
            torch.testing.assert_close(one, other, **ROUNDING)
        for name in ("success", "steps", "queries"):
            assert torch.equal(getattr(alone, name), getattr(together, name)[i : i + 1]), name


@pytest.mark.parametrize(("kind", "norm"), [c for c in CASES if is_a(c[0], MinimumNormAttack)])
def test_more_passes_never_lead_further_away(kind, norm):
    model, x, y = setting(torch.float64)
    attacks = [build(kind, norm, passes=passes) for passes in (10, 20, 40, 80)]
    if kind == "nearest" or any(getattr(attack, "steps", 0) is None for attack in attacks):
        pytest.skip("it goes another way where it has more")
    found = [run(attack, model, x, y) for attack in attacks]
    for fewer, more in pairwise(found):
        assert (more.distance <= fewer.distance).all()


@each_attack
def test_a_limit_out_of_reach_takes_no_image_away(kind, norm):
    if kind == "nearest":
        pytest.skip("it spends whatever it is given")
    model, x, y = setting(torch.float64)
    fit = fitted(kind, norm, torch.float64)
    settings = {}
    if "steps" in type(build(kind, norm)).__pydantic_fields__:
        settings["steps"] = build(kind, norm).steps or 10
    free = run(build(kind, norm, **settings), model, x, y, fit=fit)
    limited = run(build(kind, norm, passes=10**6, **settings), model, x, y, fit=fit)
    assert (limited.success >= free.success).all()
    assert torch.equal(limited.queries, free.queries)
    if is_a(kind, MinimumNormAttack):
        assert (limited.distance <= free.distance * (1 + 1e-12)).all()


def test_a_jacobian_counts_a_pass_for_each_class():
    model, x, y = affine_setting()
    result = DeepFool(passes=1000)(model, x, y)
    # Clean, a Jacobian of 4 classes at the clean image and one across the boundary, and the result.
    assert result.queries.tolist() == [1 + 5 + 5 + 1] * len(x)
    # One that can't be paid for leaves a look, without gradients, at the point across the boundary.
    least = DeepFool(passes=1 + 5 + 1 + 1)(model, x, y)
    assert least.queries.max() <= 8 and least.success.all()
    torch.testing.assert_close(least.x, result.x)
    assert not DeepFool(passes=1 + 5 + 1)(model, x, y).success.any()


def test_each_draw_of_a_random_defence_counts():
    model, x, y = setting(torch.float64)
    defended = Noise(scale=0.05).wrap(copy.deepcopy(model))
    for passes in (30, 61, 100):
        attack = Adaptive(attack=PGD(norm="l2", eps=0.5, steps=50), samples=10, passes=passes)
        result = attack(defended, x, y)
        assert result.queries.max() <= passes
        spent = (result.queries - 2)[result.steps > 0]
        # Gradients of 20 passes each, and a last look of 10 where there is room.
        assert (spent == (passes - 2) // 10 * 10).any()


def test_the_stricter_limit_holds_where_one_attack_holds_another():
    model, x, y = setting(torch.float64)
    for outer, inner in ((9, None), (9, 30), (30, 9)):
        pgd = PGD(norm="l2", eps=0.01, steps=50, passes=inner)
        assert Adaptive(attack=pgd, passes=outer)(model, x, y).queries.max() == 9


def test_passes_that_are_over_make_no_warning(recwarn):
    model, x, y = setting(torch.float64)
    for passes in (3, 4, 5):
        result = DeepFool(passes=passes)(model, x, y)
        assert not result.warnings and not recwarn.list


def test_a_black_box_is_given_no_gradient_in_the_last_look():
    model, x, y = setting(torch.float64)
    wanted = []

    def look(z):
        wanted.append(z.requires_grad)
        return z

    network = Function(copy.deepcopy(model), before=look)
    result = Square(eps=0.01, passes=20)(network, x, y)
    assert not any(wanted) and result.queries.max() == 20


def test_what_was_found_before_the_others_ran_out_is_kept():
    weights = torch.zeros(3, 4, dtype=torch.float64)
    weights[1, 0] = 1.0
    model = affine(weights, torch.tensor([0.6, 0, 0], dtype=torch.float64))
    x = torch.full((2, 1, 2, 2), 0.5, dtype=torch.float64)
    x[1, 0, 0, 0] = 0.01
    y = torch.zeros(2, dtype=torch.int64)
    result = APGD(eps=0.2, steps=40, passes=20)(model, x, y)
    assert result.success.tolist() == [True, False]
    assert result.queries.max() <= 20 and predictions(model, result.x).tolist() == [1, 0]
