"""Attacks against exact distances and against foolbox."""

from __future__ import annotations

import cvxpy as cp
import foolbox as fb
import numpy as np
import pytest
import torch
from models_for_tests import affine, measured, predictions

from advsparse.attacks._losses import cross_entropy, direction, margin
from advsparse.attacks.cw import CW
from advsparse.attacks.deepfool import DeepFool
from advsparse.attacks.fgsm import FGSM
from advsparse.attacks.noise import Noise
from advsparse.attacks.pgd import PGD
from advsparse.attacks.uap import UAP

ORDER = {"l2": 2, "linf": 1}
"""The norm dual to that of a perturbation."""


def foolbox(attack, model, x, y, eps=None):
    """The images of a foolbox attack and whether each fools."""
    fmodel = fb.PyTorchModel(model.eval(), bounds=(0, 1), device="cpu")
    _, found, success = attack(fmodel, x, fb.criteria.Misclassification(y), epsilons=eps)
    return found, success


def affine_setting():
    """Twelve images that a classifier of four classes, W (x - 1/2) + b, puts into class 0.

    Their nearest adversarial images lie well within [0, 1].
    """
    generator = torch.Generator().manual_seed(11)
    weights = torch.randn((4, 48), generator=generator, dtype=torch.float64)
    bias = torch.tensor([8.0, 0, 0, 0], dtype=torch.float64) - weights.sum(1) / 2
    x = 0.5 + 0.1 * (torch.rand((12, 3, 4, 4), generator=generator, dtype=torch.float64) - 0.5)
    model = affine(weights, bias)
    y = predictions(model, x)
    assert not y.any()
    return model, x, y


def distances_to_boundaries(model, x, norm):
    """The distance of each image (rows) from its boundary with each class (columns), exact."""
    with torch.no_grad():
        gap = model(x)[:, :1] - model(x)
    weights = model[1].weight.detach()
    size = torch.linalg.vector_norm(weights[:1] - weights, ord=ORDER[norm], dim=1)
    return torch.where(size > 0, gap / size, torch.inf)


def distance_to_class(model, image, target, norm):
    """The distance of an image from the polyhedron where ``target`` wins, by cvxpy."""
    weights, bias = (p.detach().numpy() for p in model[1].parameters())
    d = cp.Variable(image.numel())
    logits = weights @ (image.flatten().numpy() + d) + bias
    length = cp.norm(d, {"l2": 2, "linf": "inf"}[norm])
    problem = cp.Problem(cp.Minimize(length), [logits[target] >= logits])
    return problem.solve(solver=cp.CLARABEL)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_deepfool_finds_the_boundary_of_an_affine_classifier(norm, dtype):
    model, x, y = affine_setting()
    exact = distances_to_boundaries(model, x, norm).amin(1)
    result = DeepFool(norm=norm)(model.to(dtype), x.to(dtype), y)
    assert result.success.all() and result.steps.max() == 1
    assert result.x.min() > 0 and result.x.max() < 1, "the box is to be inactive here"
    ratio = result.distance / exact
    assert ratio.min() >= 1 and ratio.max() <= 1.021
    # The documented rule: a step 1e-4 too long, then the overshoot.
    torch.testing.assert_close(result.distance, 1.02 * (exact + 1e-4), rtol=1e-5, atol=0)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_deepfool_reaches_targets_of_an_affine_classifier(norm):
    model, x, y = affine_setting()
    target = 1 + torch.arange(len(x)) % 3
    exact = torch.tensor(
        [distance_to_class(model, *pair, norm) for pair in zip(x, target.tolist(), strict=True)]
    )
    result = DeepFool(norm=norm)(model, x, y, target)
    assert torch.equal(predictions(model, result.x), target)
    ratio = result.distance / exact
    assert ratio.min() >= 1 - 1e-7
    # Where one boundary decides, it must be found; a corner it may miss.
    single = distances_to_boundaries(model, x, norm).gather(1, target[:, None]).squeeze(1)
    plain = single > exact * (1 - 1e-6)
    assert plain.sum() >= 6
    assert ratio[plain].max() <= 1.021


@pytest.mark.parametrize("box", ["tanh", "clip"])
def test_cw_finds_the_boundary_of_an_affine_classifier(box):
    model, x, y = affine_setting()
    result = CW(iterations=250, initial_weight=0.1, box=box)(model, x, y)
    assert result.success.all()
    # The margin follows the strongest other class, which need not be the nearest one: the attack
    # is to be exact about the class that it went for.
    reached = predictions(model, result.x).tolist()
    exact = torch.tensor(
        [distance_to_class(model, *pair, "l2") for pair in zip(x, reached, strict=True)]
    )
    ratio = result.distance / exact
    assert ratio.min() >= 1 - 1e-7 and ratio.max() <= 1.02
    assert (result.distance / distances_to_boundaries(model, x, "l2").amin(1)).max() <= 1.25


def test_cw_reaches_targets_of_an_affine_classifier():
    model, x, y = affine_setting()
    target = 1 + torch.arange(len(x)) % 3
    exact = torch.tensor(
        [distance_to_class(model, *pair, "l2") for pair in zip(x, target.tolist(), strict=True)]
    )
    result = CW(iterations=250, initial_weight=0.1)(model, x, y, target)
    assert torch.equal(predictions(model, result.x), target)
    ratio = result.distance / exact
    assert ratio.min() >= 1 - 1e-7 and ratio.max() <= 1.02


def test_cw_keeps_its_confidence():
    model, x, y = affine_setting()
    sure = CW(iterations=100, search_steps=6, initial_weight=0.1, confidence=5.0)(model, x, y)
    with torch.no_grad():
        lead = -margin(model(sure.x), y, None)
    assert sure.success.all() and lead.min() >= 5
    assert lead.max() <= 5.2, "further than was asked for"
    plain = CW(iterations=100, search_steps=6, initial_weight=0.1)(model, x, y)
    assert (sure.distance > 1.2 * plain.distance).all()


def test_cw_never_worsens_with_more_searches(lenet):
    before = torch.full((8,), torch.inf, dtype=torch.float64)
    distances = []
    for count in range(1, 7):
        attack = CW(search_steps=count, iterations=40, initial_weight=0.01, learning_rate=0.02)
        distances.append(attack(lenet.model, lenet.x[:8], lenet.y[:8]).distance)
        assert (distances[-1] <= before).all()
        before = distances[-1]
    assert distances[0].isinf().any() and before.isfinite().all(), "nothing was searched for"


@pytest.mark.parametrize(
    "attack",
    [CW(search_steps=4, iterations=30, initial_weight=0.1), DeepFool(), FGSM(eps=0.05, norm="l2")],
    ids=["cw", "deepfool", "fgsm"],
)
def test_shifted_logits_change_nothing(attack, lenet):
    class Shifted(torch.nn.Module):
        def forward(self, x):
            return model(x) + 1e3

    trained = lenet.double()
    model, x, y = trained.model, trained.x[:6], trained.y[:6]
    plain, shifted = attack(model, x, y), attack(Shifted().eval(), x, y)
    assert torch.equal(plain.success, shifted.success)
    torch.testing.assert_close(shifted.x, plain.x, rtol=0, atol=1e-7)


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_scaled_logits_do_not_raise_robustness(factor, lenet):
    class Scaled(torch.nn.Module):
        def forward(self, x):
            return factor * lenet.model(x)

    x, y = lenet.x[:8], lenet.y[:8]
    plain, scaled = DeepFool()(lenet.model, x, y), DeepFool()(Scaled().eval(), x, y)
    torch.testing.assert_close(scaled.distance, plain.distance, rtol=1e-3, atol=0)
    assert CW(search_steps=9, iterations=60, learning_rate=0.02)(Scaled(), x, y).success.all()


@pytest.mark.parametrize(("box", "rate"), [("clip", 0.01), ("tanh", 0.05)])
def test_cw_attacks_binary_images(box, rate, lenet):
    x = (lenet.x[:10] > 0.5).float()
    y = predictions(lenet.model, x)
    attack = CW(search_steps=6, iterations=200, learning_rate=rate, box=box, initial_weight=0.1)
    result = attack(lenet.model, x, y)
    assert result.success.all()
    assert result.distance.median() < 2, "as far away as another image would be of no use"


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_deepfool_agrees_with_foolbox(norm, lenet):
    theirs = {"l2": fb.attacks.L2DeepFoolAttack, "linf": fb.attacks.LinfDeepFoolAttack}[norm]
    binary = (lenet.x[:25] > 0.5).float()  # where the box cuts most steps off
    for x, y in ((lenet.x[:40], lenet.y[:40]), (binary, predictions(lenet.model, binary))):
        result = DeepFool(norm=norm)(lenet.model, x, y)
        found, success = foolbox(theirs(steps=50, overshoot=0.02), lenet.model, x, y)
        assert result.success.all() and success.all()
        ratio = result.distance / measured(found, x, norm)
        assert 0.999 <= ratio.median() <= 1.001
        assert (ratio > 1.01).float().mean() <= 0.1


def test_cw_is_as_near_as_foolbox(lenet):
    x, y = lenet.x[:16], lenet.y[:16]
    result = CW(search_steps=5, iterations=100, initial_weight=0.1)(lenet.model, x, y)
    theirs = fb.attacks.L2CarliniWagnerAttack(
        binary_search_steps=5, steps=100, stepsize=0.01, initial_const=0.1
    )
    found, success = foolbox(theirs, lenet.model, x, y)
    assert result.success.all() and success.all()
    assert (result.distance / measured(found, x, "l2")).median() <= 1.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_gradient_steps_agree_with_foolbox(name, norm, dtype, lenet):
    eps = {"linf": 0.02, "l2": 0.8}[norm]
    if name == "fgsm":
        ours = FGSM(norm=norm, eps=eps)
        cls = {"linf": fb.attacks.LinfFastGradientAttack, "l2": fb.attacks.L2FastGradientAttack}
        theirs = cls[norm](random_start=False)
    else:
        ours = PGD(norm=norm, eps=eps, steps=7, relative_step=0.25, random_start=False)
        cls = {"linf": fb.attacks.LinfPGD, "l2": fb.attacks.L2PGD}[norm]
        theirs = cls(rel_stepsize=0.25, steps=7, random_start=False)
    trained = lenet if dtype == torch.float32 else lenet.double()
    x, y = trained.x[:30], trained.y[:30]
    result = ours(trained.model, x, y)
    found, success = foolbox(theirs, trained.model, x, y, eps)
    difference = (result.x - found).abs()
    if dtype == torch.float64:
        assert difference.max() <= 1e-6
        assert torch.equal(result.success, success)
    else:
        # A gradient that is 0 but for rounding may have the other sign: a few pixels, and what
        # later steps make of them.
        assert (difference > 1e-5).double().mean() <= 1e-3
    assert success.double().mean() > 0.2


def test_pgd_uses_its_restarts_and_steps(lenet):
    x, y = lenet.x[:80], lenet.y[:80]
    rates = [
        PGD(eps=0.008, steps=steps, restarts=restarts)(lenet.model, x, y).success.sum()
        for steps, restarts in ((1, 1), (10, 1), (10, 5))
    ]
    assert rates[0] < rates[1] <= rates[2]
    once = PGD(eps=0.008, steps=10)(lenet.model, x, y)
    often = PGD(eps=0.008, steps=10, restarts=3)(lenet.model, x, y)
    assert torch.equal(often.x[once.success], once.x[once.success])
    assert torch.equal(often.steps, torch.where(once.success, 10, often.steps))
    assert often.steps[~often.success].unique().tolist() == [30]


@pytest.mark.parametrize("scale", [1.0, 1e-10, 1e-25, 1e-40])
def test_direction_has_unit_length_however_small_the_gradient(scale):
    gradient = torch.randn((3, 2, 4, 4), generator=torch.Generator().manual_seed(0))
    small = direction(scale * gradient, "l2")
    assert torch.allclose(small.flatten(1).norm(dim=1), torch.ones(3), atol=1e-5)
    # Near 1e-40, float32 has some five digits left.
    torch.testing.assert_close(small, direction(gradient, "l2"), rtol=0, atol=1e-3)
    assert torch.equal(direction(scale * gradient, "linf"), gradient.sign())
    assert not direction(0 * gradient, "l2").any()


def test_losses_are_those_of_the_definitions():
    logits = torch.tensor([[1.0, 3.0, 2.5], [0.0, 0.0, 4.0]], dtype=torch.float64)
    y, target = torch.tensor([1, 0]), torch.tensor([2, 2])
    assert margin(logits, y, None).tolist() == [0.5, -4.0]
    assert margin(logits, y, target).tolist() == [0.5, -4.0]
    p = logits.softmax(1).log()
    torch.testing.assert_close(cross_entropy(logits, y, None), -p[[0, 1], [1, 0]])
    torch.testing.assert_close(cross_entropy(logits, y, target), p[:, 2])


@pytest.mark.parametrize("law", ["gaussian", "uniform", "sign"])
@pytest.mark.parametrize("norm", ["linf", "l2", "relative_l2"])
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-4), (torch.float64, 1e-12)])
def test_noise_has_exactly_its_size_away_from_the_box(law, norm, dtype, rtol):
    model, x, y = affine_setting()
    eps = {"linf": 0.1, "l2": 0.5, "relative_l2": 0.05}[norm]
    result = Noise(norm=norm, eps=eps, law=law)(model.to(dtype), x.to(dtype), y)
    expected = torch.full((len(x),), eps, dtype=torch.float64)
    torch.testing.assert_close(measured(result.x, x.to(dtype), norm), expected, rtol=rtol, atol=0)
    d = result.x - x.to(dtype)
    if law == "sign":
        assert d.abs().max() - d.abs().min() < 0.1 * eps
    assert (d > 0).any() and (d < 0).any()


@pytest.mark.parametrize(("norm", "eps"), [("l2", 2.5), ("linf", 0.06)])
def test_uap_fools_what_it_learned_from(norm, eps, lenet):
    x, y = lenet.x[:60], lenet.y[:60]
    attack = UAP(norm=norm, eps=eps, passes=3, fooling_rate=1.0)
    fit = attack.fit(lenet.model, x, y)
    v = fit.arrays["perturbation"]
    assert v.shape == (1, 3, 32, 32)
    assert measured(v, torch.zeros_like(v), norm).max() <= eps * (1 + 1e-6)
    result = attack(lenet.model, x, y, fit=fit)
    rate = (predictions(lenet.model, (x + v).clamp(0, 1)) != y).float().mean()
    assert fit.arrays["fooling_rate"].shape == (3,)
    assert fit.arrays["fooling_rate"].max() == rate == result.success.float().mean()
    blind = Noise(norm=norm, eps=eps)(lenet.model, x, y).success.float().mean()
    assert rate >= blind + 0.2
    torch.testing.assert_close(result.trace["unclipped_l2"], v.double().norm().expand(len(x)))


def test_uap_stops_at_the_rate_asked_for(lenet):
    x, y = lenet.x[:30], lenet.y[:30]
    fit = UAP(eps=2.5, passes=3, fooling_rate=0.01).fit(lenet.model, x, y)
    assert len(fit.arrays["fooling_rate"]) == 1


def test_uap_learns_towards_a_target(lenet):
    others = (lenet.y != 3).nonzero().flatten()[:40]
    x, y, target = lenet.x[others], lenet.y[others], torch.full((40,), 3)
    attack = UAP(eps=8.0, passes=1)
    result = attack(lenet.model, x, y, target, fit=attack.fit(lenet.model, x, y, target))
    blind = attack(lenet.model, x, y, target, fit=attack.fit(lenet.model, x, y))
    assert result.success.sum() >= blind.success.sum() + 10


def test_attacks_beat_noise_of_their_own_size(lenet):
    x, y = lenet.x[:60], lenet.y[:60]
    for attack in (FGSM(norm="l2", eps=0.8), PGD(norm="l2", eps=0.8, steps=10)):
        blind = Noise(norm="l2", eps=0.8)(lenet.model, x, y).success.double().mean()
        assert attack(lenet.model, x, y).success.double().mean() > blind + 0.3
    assert np.isclose(measured(FGSM(eps=0.01)(lenet.model, x, y).x, x, "linf").max(), 0.01)
