"""Universal perturbations: what they fool, and the published algorithm step by step."""

from __future__ import annotations

import copy

import pytest
import torch
from models_for_tests import affine_setting, measured, predictions, setting

from advsparse.attacks import _universal as universal
from advsparse.attacks._oracle import Oracle
from advsparse.attacks.deepfool import DeepFool
from advsparse.attacks.fgsm import FGSM
from advsparse.attacks.noise import Noise
from advsparse.attacks.uap import UAP
from advsparse.seeding import Random

INNER = ["deepfool", "fgsm", "pgd"]


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize(("norm", "eps"), [("l2", 2.5), ("linf", 0.06)])
def test_fools_what_it_learned_from(norm, eps, inner, lenet):
    x, y = lenet.x[:60], lenet.y[:60]
    attack = UAP(norm=norm, eps=eps, passes=3, fooling_rate=1.0, inner=inner)
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


def test_stops_at_the_rate_asked_for(lenet):
    x, y = lenet.x[:30], lenet.y[:30]
    fit = UAP(eps=2.5, passes=3, fooling_rate=0.01).fit(lenet.model, x, y)
    assert len(fit.arrays["fooling_rate"]) == 1


@pytest.mark.parametrize("inner", INNER)
def test_learns_towards_a_target(inner, lenet):
    # Over all classes: which of them any perturbation leads to depends on the network, and so on
    # the processor that it was trained on.
    attack, aimed, blind = UAP(eps=8.0, passes=1, inner=inner), 0, 0
    for label in range(10):
        others = (lenet.y != label).nonzero().flatten()[:40]
        x, y, target = lenet.x[others], lenet.y[others], torch.full((40,), label)
        learned = [attack.fit(lenet.model, x, y, aim) for aim in (target, None)]
        one, other = (attack(lenet.model, x, y, target, fit=fit).success.sum() for fit in learned)
        aimed, blind = aimed + int(one), blind + int(other)
    assert aimed > 2 * blind and aimed > 0.2 * 400


def plain_algorithm(attack, model, x, y, norm):
    """One pass as printed: one image at a time, with the library's DeepFool for an image's step."""
    order = torch.randperm(len(x), generator=Random(0).generator("order")).tolist()
    v = torch.zeros_like(x[:1])
    for i in order:
        point = x[i : i + 1] + v
        if predictions(model, point) != y[i]:
            continue
        found = DeepFool(norm=norm, steps=attack.inner_steps, overshoot=attack.overshoot)(
            model, point, y[i : i + 1]
        )
        if found.success:
            v = v + found.x - point
        v = v * min(1, attack.eps / v.norm()) if norm == "l2" else v.clamp(-attack.eps, attack.eps)
    return v


@pytest.mark.parametrize(("norm", "eps"), [("l2", 0.3), ("linf", 0.04)])
def test_one_pass_is_the_printed_algorithm(norm, eps):
    # Well inside the box, where DeepFool and its step without a box are the same.
    model, x, y = affine_setting()
    attack = UAP(norm=norm, eps=eps, passes=1, fooling_rate=1.0)
    v = attack.fit(model, x, y).arrays["perturbation"]
    expected = plain_algorithm(attack, model, x, y, norm)
    torch.testing.assert_close(v, expected, rtol=0, atol=1e-9)
    assert v.any()


def test_an_image_that_ran_out_of_linearisations_is_skipped(lenet):
    oracle = Oracle(lenet.model.eval(), 1)
    options = {"norm": "l2", "overshoot": 0.02}
    needed = []
    for i in range(20):
        x, y = lenet.x[i : i + 1], lenet.y[i : i + 1]
        steps = next(
            n
            for n in range(1, 50)
            if universal.deepfool_step(oracle, x, y, None, steps=n, **options) is not None
        )
        own = universal.deepfool_step(oracle, x, y, None, steps=steps, **options)
        assert predictions(lenet.model, x + own) != y
        needed.append(steps)
    assert max(needed) > 2
    x, y = lenet.x[:20], lenet.y[:20]
    attack = UAP(eps=2.0, passes=1, inner_steps=1)
    before = attack.fit(lenet.model, x, y).arrays["perturbation"]
    hard = [i for i in range(20) if needed[i] > 1]
    assert before.any() == (len(hard) < 20)
    none = UAP(eps=0.05, passes=1, inner_steps=1).fit(lenet.model, x[hard], y[hard])
    assert not none.arrays["perturbation"].any()


def test_jacobian_is_the_gradient_of_each_class():
    model, x, _ = setting(torch.float64)
    model = copy.deepcopy(model).eval()
    oracle = Oracle(model, len(x)).restrict(torch.tensor([2]))
    logits, jacobian = universal._jacobian(oracle, x[2:3], 4)
    expected = torch.autograd.functional.jacobian(lambda z: model(z), x[2:3])[:, :, 0]
    torch.testing.assert_close(jacobian, expected)
    torch.testing.assert_close(logits, model(x[2:3]).detach())
    model[2].eval()


def test_jacobian_in_groups_of_copies_is_the_same(monkeypatch):
    _, x, _ = setting(torch.float64)
    oracle = Oracle(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 7).double()), 1)
    whole = universal._jacobian(oracle, x[:1], 7)
    monkeypatch.setattr(universal, "_COPIES", 3)
    parts = universal._jacobian(oracle, x[:1], 7)
    torch.testing.assert_close(parts[1], whole[1])
    torch.testing.assert_close(parts[0], whole[0])


def test_fgsm_is_one_step_and_pgd_stays_in_its_ball():
    model, x, y = affine_setting()
    oracle = Oracle(model, 1)
    # As far as FGSM goes, it leaves the class; the library's own gives the same image.
    options = {"norm": "l2", "radius": 1.5, "length": 1.5}
    found = universal.gradient_steps(oracle, x[:1], y[:1], None, steps=1, **options)
    image = FGSM(norm="l2", eps=1.5)(model, x[:1], y[:1])
    assert image.success.all()
    torch.testing.assert_close((x[:1] + found).clamp(0, 1), image.x, rtol=0, atol=1e-9)
    short = {"norm": "l2", "radius": 1e-3, "length": 1e-3}
    assert universal.gradient_steps(oracle, x[:1], y[:1], None, steps=5, **short) is None
    own = universal.gradient_steps(
        oracle, x[:1], y[:1], None, steps=5, only_reaching=False, **short
    )
    assert float(own.norm()) <= 1e-3 * (1 + 1e-9)


@pytest.mark.parametrize("ahead", [1, 7])
def test_looking_ahead_changes_nothing(ahead, lenet, monkeypatch):
    trained = lenet.double()
    x, y = trained.x[:30], trained.y[:30]
    attack = UAP(eps=2.0, passes=2, inner="fgsm", fooling_rate=1.0)
    expected = attack.fit(trained.model, x, y).arrays
    monkeypatch.setattr(universal, "_AHEAD", ahead)
    found = attack.fit(trained.model, x, y).arrays
    torch.testing.assert_close(found["perturbation"], expected["perturbation"], atol=1e-9, rtol=0)
    assert torch.equal(found["fooling_rate"], expected["fooling_rate"])
