"""DDN, sigma-zero, PDPGD and ALMA against exact distances, brute force and published code."""

from __future__ import annotations

import itertools

import cvxpy as cp
import foolbox as fb
import pytest
import torch
from models_for_tests import affine_setting, distance_to_class, foolbox, measured, predictions
from scipy.optimize import minimize_scalar

from advsparse.attacks._proximal import proximal
from advsparse.attacks._walks import Adam, annealed
from advsparse.attacks.alma import ALMA
from advsparse.attacks.ddn import DDN
from advsparse.attacks.fmn import FMN
from advsparse.attacks.pdpgd import PDPGD
from advsparse.attacks.sigma_zero import SigmaZero

NEAR = {
    "ddn": (DDN(steps=400, radius=0.5), 1.02),
    "alma l2": (ALMA(steps=400), 1.02),
    "alma l1": (ALMA(norm="l1", steps=600), 1.05),
    "pdpgd l2": (PDPGD(steps=600), 1.02),
    "pdgd": (PDPGD(steps=600, step=0.1, proximal=False), 1.02),
    "pdpgd linf": (PDPGD(norm="linf", steps=600), 1.02),
    "pdpgd l1": (PDPGD(norm="l1", steps=600), 1.02),
}


@pytest.mark.parametrize("name", NEAR)
def test_boundary_of_an_affine_classifier_is_found(name):
    attack, most = NEAR[name]
    model, x, y = affine_setting()
    result = attack(model, x, y)
    assert result.success.all()
    # Each follows the strongest other class, which need not be the nearest one.
    reached = predictions(model, result.x).tolist()
    pairs = zip(x, reached, strict=True)
    exact = torch.tensor(
        [distance_to_class(model, *pair, attack.norm, boxed=True) for pair in pairs]
    )
    ratio = result.distance / exact
    assert ratio.min() >= 1 - 1e-6 and ratio.max() <= most


@pytest.mark.parametrize("norm", ["linf", "l1", "l0"])
def test_the_gradient_of_the_norm_is_descended_in_l2_alone(norm):
    with pytest.raises(ValueError, match=f"proximal: .*{norm}"):
        PDPGD(norm=norm, proximal=False)


@pytest.mark.parametrize("name", NEAR)
def test_targets_of_an_affine_classifier_are_reached(name):
    attack, _ = NEAR[name]
    model, x, y = affine_setting()
    target = 1 + torch.arange(len(x)) % 3
    result = attack(model, x, y, target)
    assert torch.equal(predictions(model, result.x), target)
    exact = torch.tensor(
        [
            distance_to_class(model, *pair, attack.norm, boxed=True)
            for pair in zip(x, target.tolist(), strict=True)
        ]
    )
    ratio = result.distance / exact
    assert ratio.min() >= 1 - 1e-6 and ratio.median() <= 1.1


def test_ddn_agrees_with_foolbox(lenet):
    """Which rounds nothing either, and starts and steps alike."""
    x, y = lenet.x[:40], lenet.y[:40]
    result = DDN(steps=60, loss="cross_entropy")(lenet.model, x, y)
    theirs = fb.attacks.DDNAttack(init_epsilon=1.0, steps=60, gamma=0.05)
    found, success = foolbox(theirs, lenet.model, x, y)
    assert result.success.all() and success.all()
    ratio = result.distance / measured(found, x, "l2")
    assert 0.99 <= ratio.median() <= 1.01


@pytest.mark.parametrize("attack", [SigmaZero(steps=300), PDPGD(norm="l0", steps=500)])
def test_fewest_pixels_of_an_affine_classifier(attack):
    """Never fewer than there have to be, by brute force, and mostly no more."""
    generator = torch.Generator().manual_seed(3)
    weights = torch.randn(12, generator=generator, dtype=torch.float64)
    x = torch.rand((16, 3, 2, 2), generator=generator, dtype=torch.float64)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2).double())
    bias = -float((x.flatten(1) @ weights).max()) - 0.9
    with torch.no_grad():
        model[1].weight.copy_(torch.stack([0 * weights, weights]))
        model[1].bias.copy_(torch.tensor([0.0, bias]))
    result = attack(model, x, torch.zeros(16, dtype=torch.int64))
    least = []
    for image in x.flatten(1):
        gain = torch.where(weights > 0, weights * (1 - image), -weights * image)
        base = float(weights @ image) + bias
        least.append(
            min(
                k
                for k in range(13)
                if any(base + gain[list(s)].sum() > 0 for s in itertools.combinations(range(12), k))
            )
        )
    more = result.distance - torch.tensor(least, dtype=torch.float64)
    assert more.min() >= 0 and (more == 0).double().mean() >= 0.75


def test_sigma_zero_finds_something_where_fmn_does_not(lenet):
    """As the paper has it, at equal passes."""
    x, y = lenet.x[:24], lenet.y[:24]
    ours, other = (
        attack(lenet.model, x, y).success
        for attack in (SigmaZero(passes=200), FMN(norm="l0", passes=200))
    )
    assert ours.all() and not other.all()


def test_attacks_of_different_kinds_meet(lenet):
    """What four ways lead to is about as near: none of them stops early."""
    x, y = lenet.x[:24], lenet.y[:24]
    found = torch.stack(
        [
            attack(lenet.model, x, y).distance
            for attack in (DDN(steps=150), FMN(steps=150), ALMA(steps=300), PDPGD(steps=400))
        ]
    )
    assert found.isfinite().all()
    assert (found / found.amin(0)).median(1).values.max() <= 1.1


@pytest.mark.parametrize("price", [0.05, 0.5, 4.0])
@pytest.mark.parametrize("norm", ["l2", "l1", "linf"])
def test_proximal_operators_are_exact(norm, price):
    generator = torch.Generator().manual_seed(2)
    r = torch.randn((3, 7), generator=generator, dtype=torch.float64)
    weights = torch.rand((3, 7), generator=generator, dtype=torch.float64) * 3 + 0.05
    found = proximal(r, weights, torch.full((3,), price, dtype=torch.float64), norm)
    order = {"l2": 2, "l1": 1, "linf": "inf"}[norm]
    for far, w, near in zip(r.numpy(), weights.numpy(), found.numpy(), strict=True):
        z = cp.Variable(7)
        loss = price * cp.norm(z, order) + cp.sum(cp.multiply(w, cp.square(z - far))) / 2
        best = cp.Problem(cp.Minimize(loss)).solve(solver=cp.CLARABEL)
        z.value = near
        assert loss.value <= best + 1e-6


def test_proximal_operator_of_the_power_two_thirds_by_search():
    r = torch.linspace(-3, 3, 61, dtype=torch.float64)[None]
    for weight, price in ((1.0, 1.0), (5.0, 0.3), (0.2, 0.01)):
        found = proximal(r, torch.full_like(r, weight), torch.tensor([price]).double(), "l0")[0]
        for far, near in zip(r[0].tolist(), found.tolist(), strict=True):

            def loss(z, far=far, weight=weight, price=price):
                return price * abs(z) ** (2 / 3) + weight * (z - far) ** 2 / 2

            ends = sorted((0.0, far))
            inner = [
                minimize_scalar(loss, bounds=(a, b), method="bounded").fun
                for a, b in itertools.pairwise(torch.linspace(*ends, 9).tolist())
                if a < b
            ]
            assert loss(near) <= min([loss(0.0), *inner]) + 1e-8


def test_adam_is_torchs():
    generator = torch.Generator().manual_seed(0)
    start = torch.randn((2, 5), generator=generator, dtype=torch.float64)
    theirs = start.clone().requires_grad_()
    optimiser, ours, adam = torch.optim.Adam([theirs], lr=0.1), start.clone(), Adam(start)
    for _ in range(7):
        gradient = torch.randn(start.shape, generator=generator, dtype=torch.float64)
        theirs.grad = gradient.clone()
        optimiser.step()
        mean, scale = adam.step(gradient)
        ours = ours - 0.1 * mean / scale
    torch.testing.assert_close(ours, theirs.detach())


def test_annealing_is_torchs():
    weight = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.SGD([weight], lr=2.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=9, eta_min=0.2)
    for k in range(9):
        assert annealed(2.0, 0.2, k, 9) == pytest.approx(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
