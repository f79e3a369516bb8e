"""SCADA as an attack: what it learns, what it returns, and what it is good for."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from models_for_tests import predictions

from advsparse.attacks._fitting import Fit
from advsparse.attacks._targets import nearest_wrong
from advsparse.attacks.scada import SCADA
from advsparse.seeding import Random

LEARNING, UNSEEN = slice(0, 64), slice(64, 164)
WEIGHTS = [(0.1, 0.001), (0.1, 0.1), (0.001, 1.0), (0.0, 0.0)]
RULES = ["adaptive", "secant", "fixed"]


@pytest.fixture(scope="module")
def learned(lenet):
    """The attack in its default weights, with what it learned from 64 images in 100 iterations."""
    attack = SCADA(iterations=100)
    return attack, attack.fit(lenet.model, lenet.x[LEARNING], lenet.y[LEARNING])


@pytest.fixture(scope="module")
def attacked(lenet, learned):
    """The result of that attack on 100 other images."""
    attack, fit = learned
    return attack(lenet.model, lenet.x[UNSEEN], lenet.y[UNSEEN], fit=fit)


def start_atoms(attack, x, seed=0):
    """The standard normal dictionary that learning starts from, P x M."""
    generator = Random(seed).generator("dictionary")
    return torch.randn((x[0].numel(), attack.atoms), generator=generator).to(x.dtype)


def recomputed(attack, model, x, fit):
    """The objective of problem 2.1 in float64, term by term, from what was learned."""
    atoms = fit.arrays["atoms"].double().flatten(1)
    total = 0.0
    for image, code, target in zip(
        x.double(), fit.arrays["codes"].double(), fit.arrays["target"], strict=True
    ):
        e = sum(c * atom for c, atom in zip(code, atoms, strict=True))
        with torch.no_grad():
            log_p = model((image + e.reshape(image.shape))[None]).log_softmax(1)
        total += attack.lambda1 * code.abs().sum() + attack.lambda2 * (e * e).sum()
        total -= log_p[0, target]
    return float(total)


@pytest.mark.parametrize("project_start", [True, False])
@pytest.mark.parametrize(("lambda1", "lambda2"), WEIGHTS)
@pytest.mark.parametrize("rule", RULES)
def test_the_loss_never_rises(rule, lambda1, lambda2, project_start, lenet):
    attack = SCADA(
        lambda1=lambda1,
        lambda2=lambda2,
        iterations=12,
        step_rule=rule,
        project_start=project_start,
        tolerance=0.0,
    )
    x, y = lenet.x[:24], lenet.y[:24]
    arrays = attack.fit(lenet.model, x, y).arrays
    loss = arrays["loss"]
    assert len(loss) == 13 and len(arrays["step"]) == len(arrays["backtracks"]) == 12
    # The printed start is infeasible: its loss is infinite.
    assert loss[0].isinf() == (not project_start)
    assert (loss[1:] <= loss[:-1]).all()
    assert loss[-1] < (1 if rule == "fixed" else 0.999) * loss[1]
    assert arrays["atoms"].double().flatten(1).norm(dim=1).max() <= 1 + 1e-6
    assert not arrays["dead_start"]


@pytest.mark.parametrize(("lambda1", "lambda2"), WEIGHTS)
def test_recorded_loss_is_that_of_what_is_returned(lambda1, lambda2, lenet):
    trained = lenet.double()
    attack = SCADA(lambda1=lambda1, lambda2=lambda2, iterations=20)
    x, y = trained.x[:10], trained.y[:10]
    fit = attack.fit(trained.model, x, y)
    assert fit.arrays["loss"].dtype == torch.float64
    value = recomputed(attack, trained.model, x, fit)
    assert float(fit.arrays["loss"][-1]) == pytest.approx(value, rel=1e-12)
    nothing = dataclasses.replace(fit, arrays=fit.arrays | {"codes": 0 * fit.arrays["codes"]})
    value = recomputed(attack, trained.model, x, nothing)
    assert float(fit.arrays["loss"][0]) == pytest.approx(value, rel=1e-12)


def test_float32_records_the_same_loss(lenet, learned):
    attack, fit = learned
    value = recomputed(attack, lenet.double().model, lenet.x[LEARNING], fit)
    assert float(fit.arrays["loss"][-1]) == pytest.approx(value, rel=1e-6)


def test_arrays_have_their_shapes(learned):
    _, fit = learned
    arrays = fit.arrays
    assert arrays["atoms"].shape == (8, 3, 32, 32)
    assert arrays["codes"].shape == (64, 8)
    assert arrays["target"].shape == (64,) and arrays["target"].dtype == torch.int64
    assert arrays["predicted"].shape == (64,) and arrays["predicted"].dtype == torch.int64
    assert arrays["dead_start"].dtype == torch.bool and arrays["dead_start"].shape == ()
    assert arrays["atoms"].flatten(1).norm(dim=1).max() <= 1 + 1e-6


def test_target_is_the_runner_up_on_the_clean_image(lenet, learned, attacked):
    with torch.no_grad():
        ranked = lenet.model(lenet.x).argsort(dim=1, descending=True)
    assert torch.equal(learned[1].arrays["target"], ranked[LEARNING, 1])
    assert torch.equal(attacked.trace["target"], ranked[UNSEEN, 1])
    # Labels don't matter for it: the runner-up may be the label of a misclassified image.
    wrong = ranked[:8, 1]
    fit = SCADA(iterations=1).fit(lenet.model, lenet.x[:8], wrong)
    assert torch.equal(fit.arrays["target"], ranked[:8, 1])


def test_given_targets_are_used_and_counted(lenet):
    x, y = lenet.x[:12], lenet.y[:12]
    target = nearest_wrong(lenet.model(x).detach(), y)
    attack = SCADA(iterations=80, lambda1=0.001)
    fit = attack.fit(lenet.model, x, y, target)
    assert torch.equal(fit.arrays["target"], target)
    result = attack(lenet.model, x, y, target, fit=fit)
    assert torch.equal(result.trace["target"], target)
    assert torch.equal(result.success, predictions(lenet.model, result.x) == target)
    assert result.success.sum() >= 6


@pytest.mark.parametrize("side", [0.999, 1.001])
def test_dead_starts_are_reported(side, lenet):
    trained = lenet.double()
    x, y = trained.x[:10], trained.y[:10]
    # From scratch: the gradient in V at V = 0 with the projected first dictionary.
    start = start_atoms(SCADA(), x)
    d = start / start.norm(dim=0).clamp(min=1)
    v = torch.zeros(10, 8, dtype=torch.float64, requires_grad=True)
    log_p = trained.model(x + (v @ d.T).reshape(x.shape)).log_softmax(1)
    runner_up = log_p.argsort(dim=1, descending=True)[:, 1:2]
    (slope,) = torch.autograd.grad(-log_p.gather(1, runner_up).sum(), v)
    attack = SCADA(lambda1=side * float(slope.abs().max()), iterations=20)
    fit = attack.fit(trained.model, x, y)
    assert bool(fit.arrays["dead_start"]) == (side > 1)
    assert bool(fit.arrays["codes"].any()) == (side < 1)
    assert (len(fit.arrays["loss"]) == 1) == (side > 1)
    result = attack(trained.model, x, y, fit=fit)
    if side > 1:
        assert torch.equal(fit.arrays["atoms"].flatten(1).T, d)
        assert not result.success.any() and torch.equal(result.x, x)
        assert not result.trace["code"].any()


def test_returned_image_is_the_clamped_sum(lenet, learned, attacked):
    x = lenet.x[UNSEEN]
    atoms = learned[1].arrays["atoms"].flatten(1)
    e = (attacked.trace["code"] @ atoms).reshape(x.shape)
    torch.testing.assert_close(attacked.x, (x + e).clamp(0, 1), rtol=0, atol=1e-6)
    assert ((x + e) != (x + e).clamp(0, 1)).any(), "the box was never active"
    length = e.double().flatten(1).norm(dim=1)
    torch.testing.assert_close(attacked.trace["unclipped_l2"], length, rtol=1e-5, atol=0)
    assert (attacked.distance <= attacked.trace["unclipped_l2"] * (1 + 1e-5)).all()
    assert attacked.steps.max() <= 100 and attacked.steps.min() >= 1
    assert (attacked.queries >= 2 * attacked.steps).all()


def test_codes_of_unseen_images_are_sparse(attacked):
    share = (attacked.trace["code"] == 0).double().mean()
    assert 0.2 < share < 1


@pytest.mark.parametrize("targeted", [False, True])
def test_shortening_keeps_what_fools(targeted, lenet, learned):
    attack, fit = learned
    x, y = lenet.x[UNSEEN], lenet.y[UNSEEN].clone()
    target = predictions(lenet.model, x).add(1).fmod(10) if targeted else None
    y[::3] = (y[::3] + 1) % 10  # misclassified already: batches differ in what they hold
    long = attack(lenet.model, x, y, target, fit=fit)
    short = dataclasses.replace(attack, shorten=True)(lenet.model, x, y, target, fit=fit)
    goal = y if target is None else target

    def fools(images):
        predicted = predictions(lenet.model, images)
        return predicted == goal if targeted else predicted != goal

    assert torch.equal(short.success, long.success)
    alone = torch.cat([predictions(lenet.model, image[None]) for image in short.x])
    assert torch.equal((alone == goal) == targeted, short.success), "rounding decides"
    length, before = short.trace["unclipped_l2"], long.trace["unclipped_l2"]
    assert (length <= before * (1 + 1e-6)).all()
    made = long.success & (long.distance > 0)
    assert made.sum() >= 8
    torch.testing.assert_close(short.x[~made], long.x[~made], rtol=0, atol=0)
    atoms = fit.arrays["atoms"].flatten(1)
    e = (short.trace["code"] @ atoms).reshape(x.shape)
    assert fools((x + 0.99 * e).clamp(0, 1))[made].double().mean() < 0.1
    assert (length[made] < 0.9 * before[made]).double().mean() > 0.5


def test_a_tolerance_of_one_ends_after_one_iteration(lenet):
    fit = SCADA(tolerance=1.0).fit(lenet.model, lenet.x[:8], lenet.y[:8])
    assert len(fit.arrays["loss"]) == 2 and len(fit.arrays["step"]) == 1


def test_coding_ends_by_its_own_settings(lenet, learned):
    attack, fit = learned
    x, y = lenet.x[UNSEEN][:20], lenet.y[UNSEEN][:20]
    before = attack(lenet.model, x, y, fit=fit).steps
    brief = dataclasses.replace(attack, coding_iterations=5)(lenet.model, x, y, fit=fit)
    assert torch.equal(brief.steps, before.clamp(max=5)) and brief.steps.max() == 5
    loose = dataclasses.replace(attack, coding_tolerance=0.01)(lenet.model, x, y, fit=fit)
    assert (loose.steps <= before).all() and loose.steps.sum() < 0.8 * before.sum()
    other = dataclasses.replace(attack, iterations=1, tolerance=0.01)
    assert torch.equal(other(lenet.model, x, y, fit=fit).steps, before)


def test_learning_ends_once_the_loss_has_settled(lenet):
    loss = SCADA(tolerance=0.01).fit(lenet.model, lenet.x[:8], lenet.y[:8]).arrays["loss"]
    falls = -loss.diff() / loss[:-1]
    assert len(loss) < 300
    assert falls[-1] <= 0.01 and (falls[:-1] > 0.01).all()


def test_step_rules_propose_what_they_say(lenet):
    def history(rule, **settings):
        attack = SCADA(step_rule=rule, iterations=15, lambda1=0.001, **settings)
        arrays = attack.fit(lenet.model, lenet.x[:16], lenet.y[:16]).arrays
        return arrays["step"], arrays["backtracks"]

    step, backtracks = history("fixed", initial_step=0.7)
    assert step.unique().tolist() == [0.7]
    for initial_step in (0.01, 300.0):
        step, backtracks = history("adaptive", initial_step=initial_step)
        factor = torch.where(backtracks == 0, 2.0, 0.5 ** backtracks.double())
        torch.testing.assert_close(step[1:], (step * factor)[:-1])
        assert backtracks.any()
    step, _ = history("secant", initial_step=0.01)
    # Where the curvature along the last change is negative, the step stays.
    assert step[0] == 0.01 and len(step.unique()) > 2 and (step > 0).all()


def test_seeds_give_other_dictionaries(lenet):
    x, y = lenet.x[:8], lenet.y[:8]
    one, again, other = (
        SCADA(iterations=2).fit(lenet.model, x, y, rng=seed).arrays["atoms"] for seed in (0, 0, 1)
    )
    assert torch.equal(one, again) and not torch.allclose(one, other, atol=1e-3)


def test_a_learned_dictionary_beats_its_start(lenet, learned, attacked):
    attack, fit = learned
    start = start_atoms(attack, lenet.x)
    blind = Fit({"atoms": (start / start.norm(dim=0)).T.reshape(fit.arrays["atoms"].shape)})
    unlearned = attack(lenet.model, lenet.x[UNSEEN], lenet.y[UNSEEN], fit=blind)
    assert attacked.success.double().mean() > 0.8
    assert unlearned.success.double().mean() < 0.5


def test_smaller_lambda2_fools_more_at_a_larger_distance(lenet):
    x, y = lenet.x[LEARNING], lenet.y[LEARNING]
    rates, sizes = [], []
    for lambda2 in (1.0, 0.1, 0.001):
        attack = SCADA(lambda2=lambda2, iterations=60)
        result = attack(lenet.model, x, y, fit=attack.fit(lenet.model, x, y))
        rates.append(float(result.success.double().mean()))
        sizes.append(float((result.distance / x.double().flatten(1).norm(dim=1)).square().mean()))
    assert rates == sorted(rates) and rates[-1] > rates[0] + 0.1
    assert sizes == sorted(sizes) and sizes[-1] > 2 * sizes[0]


def test_learning_does_not_read_what_is_only_applied(lenet):
    changed = {"coding_iterations": 3, "coding_tolerance": 0.5, "shorten": True}
    changed |= {"coding": "unsupervised", "laplace": "global", "draws": 7}
    assert changed.keys() == SCADA.only_applied
    fits = [
        SCADA(iterations=4, **settings).fit(lenet.model, lenet.x[:8], lenet.y[:8]).arrays
        for settings in ({}, changed)
    ]
    assert fits[0].keys() == fits[1].keys()
    assert all(torch.equal(fits[0][name], fits[1][name]) for name in fits[0])
