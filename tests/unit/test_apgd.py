"""APGD: its losses by hand, its schedule, its book-keeping, and its strength next to PGD."""

from __future__ import annotations

import math

import cvxpy as cp
import pytest
import torch
from models_for_tests import (
    ROUNDING,
    affine,
    assert_same,
    measured,
    predictions,
    setting,
    small_network,
)

from advsparse.attacks._climb import SparseClimb, checkpoints
from advsparse.attacks._dlr import dlr
from advsparse.attacks.apgd import APGD, leading_classes
from advsparse.attacks.pgd import PGD
from advsparse.threat import Threat

Y = torch.tensor([0])


def test_losses_by_hand():
    logits = torch.tensor([[5.0, 3.0, 2.0, 0.0, -9.0]], dtype=torch.float64)
    assert dlr(logits, Y, None).item() == pytest.approx(-(5 - 3) / (5 - 2))
    assert dlr(logits, Y, Y + 3).item() == pytest.approx(-(5 - 0) / (5 - (2 + 0) / 2))
    wrong = logits.flip(1)
    assert dlr(wrong, Y, None).item() == pytest.approx((5 + 9) / (5 - 2))
    assert leading_classes(logits, Y + 1, 9).tolist() == [[0, 2, 3, 4]]
    assert leading_classes(logits, Y, 2).tolist() == [[1, 2]]


@pytest.mark.parametrize("target", [None, Y + 2])
def test_dlr_does_not_feel_shift_and_scale(target):
    logits = torch.randn((1, 6), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = dlr(logits, Y, target)
    for scale in (1e-4, 1e4):
        torch.testing.assert_close(dlr(scale * logits + 7, Y, target), expected)


def test_dlr_of_tied_logits_is_finite():
    logits = torch.zeros((1, 5), requires_grad=True)
    for target in (None, Y + 1):
        value = dlr(logits, Y, target)
        (gradient,) = torch.autograd.grad(value.sum(), logits)
        assert value.item() == 0 and gradient.isfinite().all()


@pytest.mark.parametrize(("loss", "needed"), [("dlr", 3), ("targeted_dlr", 4)])
def test_too_few_classes_are_refused(loss, needed):
    x, y = torch.full((1, 1, 2, 2), 0.5), torch.tensor([0])
    for classes in (needed - 1, needed):
        weights = torch.eye(4)[:classes]
        model = affine(weights, torch.tensor([1.0, 0, 0, 0])[:classes])
        attack = APGD(eps=0.1, loss=loss, steps=2)
        if classes < needed:
            with pytest.raises(ValueError, match=f"at least {needed} classes.* has {classes}"):
                attack(model, x, y)
        else:
            attack(model, x, y)


def test_checkpoints_are_those_of_the_paper():
    # p = 0, 0.22, 0.41, 0.57, 0.70, 0.80, 0.87, 0.93, 0.99, worked out by hand.
    assert checkpoints(100) == [0, 22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(10) == [0, 3, 5, 6, 7, 8, 9, 10]


def recorded(attack, model, x, y):
    """The result, and the points (steps x C x H x W) that a run saw after the clean image."""
    seen = []
    handle = model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    result = attack(model, x, y)
    handle.remove()
    # Before: the check of the arguments, the memory, the clean prediction. After: the success.
    return result, torch.cat(seen[3:-1])


def test_iterates_by_hand():
    """On a linear loss that always rises, every step is the formula's, and none is halved."""
    weights = torch.zeros((3, 4), dtype=torch.float64)
    weights[1] = torch.tensor([1e-3, -1e-3, 2e-3, 0])
    model = affine(weights, torch.tensor([9.0, 0, 0], dtype=torch.float64))
    x, y = torch.full((1, 1, 2, 2), 0.5, dtype=torch.float64), torch.tensor([0])
    result, seen = recorded(APGD(eps=0.1, steps=3), model, x, y)
    sign = torch.tensor([1.0, -1, 1, 0], dtype=torch.float64).reshape(1, 2, 2)
    one = (seen[0] + 0.2 * sign).clamp(0.4, 0.6)
    straight = (one + 0.2 * sign).clamp(0.4, 0.6)
    two = (one + 0.75 * (straight - one) + 0.25 * (one - seen[0])).clamp(0.4, 0.6)
    torch.testing.assert_close(seen[1], one)
    torch.testing.assert_close(seen[2], two)
    assert len(seen) == 4, "one pass for each iterate, and none besides"
    assert result.queries.item() == 1 + 2 * 3 + 1 + 1


def test_step_is_halved_at_the_best_point_where_nothing_rises():
    """A flat loss: each review finds too few rises, and eta ends at eps 2^(1 - reviews)."""
    model = affine(torch.zeros(3, 4), torch.tensor([1.0, 0, 0]))
    result = APGD(eps=0.1, steps=100)(model, torch.full((1, 1, 2, 2), 0.5), torch.tensor([0]))
    assert result.trace["halvings"].tolist() == [len(checkpoints(100)) - 1]


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("loss", ["ce", "dlr"])
def test_best_point_is_the_best_of_all(norm, loss, lenet):
    attack = APGD(norm=norm, loss=loss, eps={"linf": 0.002, "l2": 0.05, "l1": 0.8}[norm], steps=20)
    safe = (~attack(lenet.model, lenet.x[:40], lenet.y[:40]).success).nonzero().flatten()[:4]
    assert len(safe) == 4
    for i in safe.tolist():
        x, y = lenet.x[i : i + 1], lenet.y[i : i + 1]
        result, seen = recorded(attack, lenet.model, x, y)
        assert len(seen) == 21
        with torch.no_grad():
            logits = lenet.model(seen)
        label = y.expand(21)
        if loss == "ce":
            values = torch.nn.functional.cross_entropy(logits, label, reduction="none")
        else:
            values = dlr(logits, label, None)
        torch.testing.assert_close(result.trace["loss"][0], values.max(), rtol=1e-4, atol=1e-6)
        best = seen[values.argmax()]
        torch.testing.assert_close(result.x[0], best, rtol=0, atol=1e-3 * attack.eps)


def test_images_stop_at_the_first_adversarial_point(lenet):
    x, y = lenet.x[:60], lenet.y[:60]
    result = APGD(eps=8 / 255, steps=50)(lenet.model, x, y)
    assert result.success.float().mean() > 0.5
    assert (result.steps[result.success] < 50).all()
    assert (result.steps[~result.success] == 50).all()
    # clean, settled and final passes, and two for each step.
    assert (result.queries <= 2 * (result.steps + 1) + 4).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_is_at_least_as_strong_as_pgd(norm, lenet):
    eps = {"linf": 4 / 255, "l2": 0.3}[norm]
    x, y = lenet.x[:64], lenet.y[:64]
    pgd = PGD(norm=norm, eps=eps, steps=40)(lenet.model, x, y).success
    ce = APGD(norm=norm, eps=eps, steps=40)(lenet.model, x, y).success
    aimed = APGD(norm=norm, eps=eps, steps=25, loss="targeted_dlr", targets=4)
    aimed = aimed(lenet.model, x, y).success
    assert 0.1 < pgd.float().mean() < 0.9
    assert aimed.sum() >= pgd.sum() and ce.sum() >= pgd.sum() - 1


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_scaled_logits_do_not_raise_robustness(factor, lenet):
    class Scaled(torch.nn.Module):
        def forward(self, x):
            return factor * trained.model(x)

    trained = lenet.double()
    x, y = trained.x[:30], trained.y[:30]
    for loss in ("dlr", "targeted_dlr"):
        attack = APGD(eps=3 / 255, steps=15, loss=loss, targets=3)
        plain, scaled = attack(trained.model, x, y), attack(Scaled(), x, y)
        assert abs(int(plain.success.sum()) - int(scaled.success.sum())) <= 0
        assert torch.equal(predictions(trained.model, scaled.x) != y, scaled.success)


def test_restarts_attack_what_still_stands(lenet):
    x, y = lenet.x[:40], lenet.y[:40]
    once = APGD(eps=2 / 255, steps=10)(lenet.model, x, y)
    often = APGD(eps=2 / 255, steps=10, restarts=3)(lenet.model, x, y)
    assert torch.equal(often.x[once.success], once.x[once.success])
    assert torch.equal(often.steps[~often.success].unique(), torch.tensor([30]))
    assert math.isfinite(float(often.trace["loss"].max()))


@pytest.mark.parametrize("seed", range(5))
def test_step_sizes_do_not_feel_that_another_image_has_been_found(seed):
    _, x, _ = setting(torch.float64)
    model = small_network(x, seed)
    attack, y = APGD(eps=0.04, steps=12), predictions(model, x)
    together = attack(model, x, y)
    assert together.success.any() and not together.success.all()
    for i in (~together.success).nonzero().flatten().tolist():
        alone = attack(model, x[i : i + 1], y[i : i + 1])
        assert_same(alone, together, slice(i, i + 1), **ROUNDING)


def test_sparse_steps_by_hand():
    """On a linear loss: the signs of a share of the entries, each with its part of eta."""
    x = torch.full((2, 1, 2, 5), 0.5, dtype=torch.float64)
    climb = SparseClimb(Threat(norm="l1", eps=0.4), None, x, x.clone(), "ce", 0.75)
    slope = torch.tensor([3.0, -9, 1, 0, 8, 2, -7, 4, 5, 6], dtype=torch.float64)
    gradient = torch.stack([slope, 1e-9 * slope]).reshape(x.shape)
    both = torch.arange(2)
    moved = climb._move(x, x, gradient, both, 0) - x
    expected = torch.zeros(10, dtype=torch.float64)
    expected[[1, 4]] = torch.tensor([-0.2, 0.2]).double()  # a fifth of ten entries
    torch.testing.assert_close(moved.flatten(1), expected.expand(2, 10))
    # One of them changes 3 entries; the other still all ten.
    climb._changed[1] = 3.0
    climb.best = x + torch.where(slope.reshape(1, 1, 2, 5) > 4, 0.01, 0.0)
    assert climb._review(both, 1).tolist() == [True, False]
    torch.testing.assert_close(climb.eta.flatten(), torch.tensor([0.4, 0.4 / 1.5]).double())
    torch.testing.assert_close(climb._share, torch.full((2,), 3 / 10 / 1.5).double())
    for _ in range(9):
        climb._review(both, 1)
    torch.testing.assert_close(climb.eta.flatten(), torch.full((2,), 0.04).double())


def test_l1_agrees_with_linear_programming():
    """The worst case within ball and box, of a binary affine classifier: a knapsack."""
    generator = torch.Generator().manual_seed(2)
    weights = torch.randn(48, generator=generator, dtype=torch.float64)
    x = torch.rand((10, 3, 4, 4), generator=generator, dtype=torch.float64)
    flat = x.flatten(1)
    ball = cp.Variable(48)
    lowest = []
    for image in flat:
        inside = [cp.norm1(ball) <= 3.0, image.numpy() + ball >= 0, image.numpy() + ball <= 1]
        problem = cp.Problem(cp.Maximize(weights.numpy() @ ball), inside)
        lowest.append(problem.solve(solver=cp.CLARABEL))
    gain = torch.tensor(lowest)
    attack = APGD(norm="l1", eps=3.0, steps=100)
    for share, success in ((0.995, True), (1.0001, False)):
        for image, most in zip(x, gain, strict=True):
            bias = torch.tensor([0.0, -float(weights @ image.flatten() + share * most)])
            model = affine(torch.stack([0 * weights, weights]), bias)
            label = torch.zeros(1, dtype=torch.int64)
            assert attack(model, image[None], label).success.item() is success


def test_larger_balls_first_are_for_l1_and_count_their_steps(lenet):
    with pytest.raises(ValueError, match="shrinking: for norm l1 alone, not l2"):
        APGD(norm="l2", eps=1.0, shrinking=True)
    x, y = lenet.x[:24], lenet.y[:24]
    for steps in (2, 3, 4, 10):
        attack = APGD(norm="l1", eps=0.5, steps=steps, shrinking=True)
        result, seen = recorded(attack, lenet.model, x[:1], y[:1])
        assert result.steps.item() == steps or result.success
        within = measured(seen, x[:1].expand_as(seen), "l1") <= 0.5 * (1 + 1e-5)
        assert within[-1] and bool(within[0]) is (steps < 4)
    plain = APGD(norm="l1", eps=6.0, steps=30)(lenet.model, x, y).success
    shrinking = APGD(norm="l1", eps=6.0, steps=30, shrinking=True)(lenet.model, x, y)
    assert 0.1 < plain.float().mean() < 0.95
    assert shrinking.success.sum() >= plain.sum()
