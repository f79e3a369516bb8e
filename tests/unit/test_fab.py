"""FAB: its projections against convex optimisation, its search against exact distances."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
import torch
from models_for_tests import (
    affine_setting,
    distance_to_class,
    distances_to_boundaries,
    measured,
    predictions,
)

from advsparse.attacks._box_projections import step_to_hyperplane
from advsparse.attacks._oracle import Oracle
from advsparse.attacks.deepfool import DeepFool
from advsparse.attacks.fab import FAB
from advsparse.attacks.fmn import FMN

ORDER = {"l2": 2, "linf": torch.inf, "l1": 1}


def hyperplanes():
    """Points, normals and gaps: some steps meet the box, some entries of the normal are 0."""
    generator = torch.Generator().manual_seed(5)
    x = (1.4 * torch.rand((24, 9), generator=generator) - 0.2).clamp(0, 1).double()
    w = torch.randn((24, 9), generator=generator).double()
    w[::3, ::4] = 0
    w[::5] *= 1e-6
    share = 1.9 * torch.rand(24, generator=generator).double() - 0.95
    up = torch.where(share[:, None] * w > 0, 1 - x, -x)
    gap = share.abs() * (w * up).sum(1)  # between none and nearly all that the box allows
    return x, w, gap


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_projection_agrees_with_convex_optimisation(norm):
    x, w, gap = hyperplanes()
    d = step_to_hyperplane(x, w, gap, norm)
    assert (x + d).min() >= -1e-15 and (x + d).max() <= 1 + 1e-15
    torch.testing.assert_close((w * d).sum(1), gap, rtol=1e-10, atol=0)
    sizes = torch.linalg.vector_norm(d, ord=ORDER[norm], dim=1)
    cut = 0
    for point, normal, offset, ours, size in zip(x, w, gap, d, sizes, strict=True):
        point, normal, offset = point.numpy(), normal.numpy(), float(offset)
        scale = np.abs(normal).max()
        step = cp.Variable(len(point))
        order = {"linf": "inf", "l1": 1}
        length = cp.sum_squares(step) if norm == "l2" else cp.norm(step, order[norm])
        inside = [normal / scale @ step == offset / scale, point + step >= 0, point + step <= 1]
        problem = cp.Problem(cp.Minimize(length), inside)
        options = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-12)
        problem.solve(solver=cp.CLARABEL, **options)
        exact = problem.value**0.5 if norm == "l2" else problem.value
        assert float(size) == pytest.approx(exact, abs=1e-6)
        if norm == "l2":  # unique
            np.testing.assert_allclose(ours.numpy(), step.value, atol=1e-6)
        cut += bool((((point + ours.numpy()) % 1 == 0) & (ours.numpy() != 0)).any())
    assert cut >= 8, "the box is to matter"


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_hyperplane_outside_of_the_box_leads_to_a_corner(norm):
    x = torch.tensor([[0.2, 0.5, 1.0], [0.2, 0.5, 0.0]])
    w = torch.tensor([[1.0, -2.0, 0.0], [1e-30, -2e-30, 1e-30]])
    d = step_to_hyperplane(x, w, torch.tensor([50.0, -50.0]), norm)
    torch.testing.assert_close(x + d, torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]))
    still = step_to_hyperplane(x, 0 * w, torch.tensor([1.0, -1.0]), norm)
    assert not still.any()
    assert not step_to_hyperplane(x, w, torch.zeros(2), norm).any()


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_steps_in_a_larger_box_are_as_much_larger(norm):
    x, w, gap = hyperplanes()
    larger = step_to_hyperplane(3 * x - 1, w, 3 * gap, norm, bounds=(-1.0, 2.0))
    torch.testing.assert_close(larger, 3 * step_to_hyperplane(x, w, gap, norm))


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_rows_do_not_feel_each_other(norm):
    x, w, gap = hyperplanes()
    gap[::4] *= 100  # which the box allows no step to
    together = step_to_hyperplane(x, w, gap, norm)
    for i in range(len(x)):
        alone = step_to_hyperplane(x[i : i + 1], w[i : i + 1], gap[i : i + 1], norm)
        torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
def test_finds_the_boundary_of_an_affine_classifier(norm, dtype):
    model, x, y = affine_setting()
    exact = distances_to_boundaries(model, x, norm).amin(1)
    if norm == "l1":  # where few pixels move, and far, the box matters
        boxed = [[distance_to_class(model, z, k, norm, boxed=True) for k in (1, 2, 3)] for z in x]
        assert (torch.tensor(boxed).amin(1) > exact).all()
        exact = torch.tensor(boxed).amin(1)
    result = FAB(norm=norm, steps=20)(model.to(dtype), x.to(dtype), y)
    assert result.success.all()
    ratio = result.distance / exact
    assert ratio.min() >= 1 - 1e-5 and ratio.max() <= 1.02


@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
def test_reaches_targets_of_an_affine_classifier(norm):
    model, x, y = affine_setting()
    target = 1 + torch.arange(len(x)) % 3
    pairs, boxed = zip(x, target.tolist(), strict=True), norm == "l1"
    exact = torch.tensor([distance_to_class(model, *pair, norm, boxed=boxed) for pair in pairs])
    result = FAB(norm=norm, steps=60)(model, x, y, target)
    assert torch.equal(predictions(model, result.x), target)
    ratio = result.distance / exact
    if boxed:
        w = model[1].weight.detach()[target] - model[1].weight.detach()[0]
        gap = (model(x)[:, 0] - model(x)[torch.arange(len(x)), target]).detach()
        single = step_to_hyperplane(x.flatten(1), w, gap, norm).abs().sum(1)
    else:
        single = distances_to_boundaries(model, x, norm).gather(1, target[:, None]).squeeze(1)
    plain = single > exact * (1 - 1e-6)  # one boundary decides
    assert ratio.min() >= 1 - 1e-7 and ratio[plain].max() <= 1.02


@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
def test_is_nearer_than_deepfool_and_never_worsens(norm, lenet):
    x, y = lenet.x[:12], lenet.y[:12]
    far = (FMN if norm == "l1" else DeepFool)(norm=norm, steps=50)(lenet.model, x, y)
    results = [
        FAB(norm=norm, steps=steps, restarts=restarts, targets=3, final_steps=0)(lenet.model, x, y)
        for steps, restarts in ((4, 1), (15, 1), (15, 2))
    ]
    before = torch.full((12,), torch.inf, dtype=torch.float64)
    for result in results:
        assert (result.distance <= before).all()
        before = result.distance
    if norm == "l1":
        assert (before / far.distance).median() <= 1.1
    else:
        assert (before / far.distance).median() <= 0.97 and (before <= far.distance).sum() >= 9
    found = FAB(norm=norm, steps=15, restarts=2, targets=3)(lenet.model, x, y)
    assert (found.distance <= before).all(), "the final search can only shorten"
    torch.testing.assert_close(found.distance, measured(found.x, x, norm))
    assert torch.equal(found.success, predictions(lenet.model, found.x) != y)


def test_l1_projection_is_the_same_whichever_entries_are_looked_at():
    """Of many pixels, some rows are done by the steepest few, and others need most of them."""
    generator = torch.Generator().manual_seed(8)
    x = torch.rand((12, 300), generator=generator, dtype=torch.float64)
    w = torch.randn((12, 300), generator=generator, dtype=torch.float64)
    share = torch.linspace(0.01, 0.99, 12, dtype=torch.float64)
    room = torch.where(w > 0, 1 - x, x)
    gap = share * (w.abs() * room).sum(1)
    d = step_to_hyperplane(x, w, gap, "l1")
    torch.testing.assert_close((w * d).sum(1), gap, rtol=1e-12, atol=0)
    for i in range(12):
        order = w[i].abs().argsort(descending=True)
        before = torch.cat([torch.zeros(1).double(), (w[i].abs() * room[i])[order].cumsum(0)])
        full = int((before[1:] <= gap[i]).sum())
        assert torch.equal(d[i].abs()[order[:full]], room[i][order[:full]])
        assert not d[i][order[full + 1 :]].any()


def test_targets_are_the_classes_with_the_nearest_boundaries():
    model, x, y = affine_setting()
    with torch.no_grad():  # one class has a boundary that its logit does not tell of
        model[1].weight[2].mul_(3)
        model[1].bias[2] -= float((model[1].weight[2] / 3 * 2).sum() / 2) + 4
    assert not predictions(model, x).any()
    for norm in ("l2", "linf"):
        exact = distances_to_boundaries(model, x, norm)[:, 1:]
        nearest = 1 + exact.argsort(1)
        with torch.no_grad():
            largest = 1 + model(x)[:, 1:].argsort(1, descending=True)
        assert (nearest[:, 0] != largest[:, 0]).any()
        for choice, expected in (("nearest", nearest), ("logits", largest)):
            for targets in (1, 2):
                attack = FAB(norm=norm, targets=targets, choice=choice)
                found = attack._aims(Oracle(model, len(x)), x, y)
                assert torch.equal(found, expected[:, :targets])
        assert torch.equal(FAB(norm=norm)._aims(Oracle(model, len(x)), x, y)[:, :1], largest[:, :1])
        few = FAB(norm=norm, targets=1)._aims(Oracle(model, len(x)), x, y)
        assert torch.equal(few, nearest[:, :1])


def test_choice_of_targets_costs_nothing_where_all_are_tried(lenet):
    x, y = lenet.x[:4], lenet.y[:4]
    settings = {"steps": 2, "final_steps": 0}
    one, other = (FAB(choice=c, **settings)(lenet.model, x, y) for c in ("nearest", "logits"))
    assert torch.equal(one.x, other.x) and torch.equal(one.queries, other.queries)
    few = [FAB(choice=c, targets=1, **settings)(lenet.model, x, y) for c in ("nearest", "logits")]
    assert torch.equal(few[0].queries, few[1].queries + 10)
