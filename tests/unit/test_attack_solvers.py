"""The solvers within attacks, by themselves: what no result of an attack would tell."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from models_for_tests import affine_setting, predictions
from scipy.optimize import minimize

from advsparse.attacks import _checks, _universal
from advsparse.attacks._ascent import ascend
from advsparse.attacks._base import BudgetAttack
from advsparse.attacks._box_lbfgs import minimise
from advsparse.attacks._confirm import confirm
from advsparse.attacks._dictionary_problem import Problem, Smooth
from advsparse.attacks._dlr import dlr
from advsparse.attacks._fitting import Fit, clean_logits
from advsparse.attacks._losses import direction, largest
from advsparse.attacks._oracle import Oracle
from advsparse.attacks._pairs import best_pairs
from advsparse.attacks._result import Candidate, Whole
from advsparse.attacks.uap import UAP
from advsparse.seeding import Draws, Random
from advsparse.settings import settings
from advsparse.threat import Threat

# L-BFGS in a box.


def quadratic(scales, centre):
    """Half a quadratic with some curvatures about a point, and how often it was asked."""
    asked = []

    def evaluate(z, rows):
        asked.append(len(rows))
        away = z.double() - centre[rows]
        return (0.5 * scales * away.square()).sum(1), (scales * away).to(z)

    return evaluate, asked


@pytest.mark.parametrize("bounds", [(-np.inf, np.inf), (0.0, 1.0)])
def test_few_evaluations_do_where_curvatures_differ(bounds):
    """As few as SciPy's L-BFGS-B: steepest descent would take a thousand times as many."""
    generator = torch.Generator().manual_seed(0)
    scales = torch.logspace(0, 3, 30, dtype=torch.float64)
    centre = torch.rand(2, 30, generator=generator, dtype=torch.float64) * 1.6 - 0.3
    evaluate, asked = quadratic(scales, centre)
    start = torch.full((2, 30), 0.5, dtype=torch.float64)
    found = minimise(evaluate, start, evaluations=120, tolerance=0.0, bounds=bounds)
    assert len(asked) <= 120
    for row in range(2):

        def value(z, row=row):
            away = z - centre[row].numpy()
            return 0.5 * (scales.numpy() * away**2).sum(), scales.numpy() * away

        box = None if np.isinf(bounds[0]) else [bounds] * 30
        theirs = minimize(
            value, start[row].numpy(), jac=True, method="L-BFGS-B", bounds=box,
            options={"maxfun": 120, "maxcor": 8, "ftol": 0, "gtol": 0},
        ).fun  # fmt: skip
        best = value(centre[row].clamp(*bounds).numpy())[0]
        begun = value(start[row].numpy())[0]
        assert value(found[row].numpy())[0] - best <= 1e-6 * (begun - best) + 2 * (theirs - best)


def test_evaluations_are_counted_and_a_step_that_fails_is_halved():
    trials = []

    def uphill(z, rows):
        """Nowhere lower than at the start."""
        trials.append(z.clone())
        first = len(trials) == 1
        return torch.full((1,), 0.0 if first else 1.0).double(), torch.tensor([[3.0, 4.0]])

    start = torch.zeros(1, 2)
    found = minimise(uphill, start, evaluations=100, tolerance=0.0, bounds=(-9.0, 9.0))
    assert torch.equal(found, start) and len(trials) == 1 + 20
    steps = torch.stack(trials[1:])[:, 0].norm(dim=1)
    torch.testing.assert_close(steps, 0.5 ** torch.arange(20))
    trials.clear()
    minimise(uphill, start, evaluations=7, tolerance=0.0, bounds=(-9.0, 9.0))
    assert len(trials) == 7


# SCADA's problem in parts.


@pytest.mark.parametrize("rows", [None, torch.tensor([0, 1, 3, 4, 6])])
def test_parts_of_the_images_add_up(rows):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(7, 1, 2, 3, generator=generator)
    weight = torch.randn(6, 4, generator=generator)
    target = torch.arange(7) % 4
    asked = []

    def logits(z, at=None):
        asked.append(len(z))
        return z.flatten(1) @ weight

    d = torch.randn(6, 5, generator=generator)
    v = torch.randn(7 if rows is None else len(rows), 5, generator=generator)
    whole, parts = (Problem(logits, x, target, 0.1, 0.2, at_once=size) for size in (None, 2))
    one = Smooth(whole, d, v, rows)
    asked.clear()
    several = Smooth(parts, d, v, rows)
    assert max(asked) == 2 and len(asked) == -(-len(v) // 2)
    torch.testing.assert_close(one.value, several.value)
    for own, other in zip(one.gradients(), several.gradients(), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-6)
    exact = Problem(logits, x, target, 0.1, 0.2, at_once=len(v))
    asked.clear()
    Smooth(exact, d, v, rows)
    assert asked == [len(v)], "what fits is not divided"


def test_an_image_without_a_finite_gradient_adds_nothing():
    x = torch.rand(3, 1, 1, 4, generator=torch.Generator().manual_seed(2))
    d, v = torch.full((4, 2), 0.1), torch.ones(3, 2)

    def logits(broken):
        def logits(z, rows=None):
            sums = z.flatten(1).sum(1)
            # The root has no finite derivative at 0.
            second = [
                (one * 0).sqrt() if row == broken else one * 0 for row, one in enumerate(sums)
            ]
            return torch.stack([sums, torch.stack(second)], 1)

        return logits

    def gradients(rows, broken=None):
        target = torch.zeros(len(rows)).long()
        return Smooth(Problem(logits(broken), x[rows], target, 0.0, 0.0), d, v[rows]).gradients()

    in_d, in_v = gradients([0, 1, 2], broken=1)
    of_others = gradients([0, 2])
    torch.testing.assert_close(in_d, of_others[0])
    torch.testing.assert_close(in_v[[0, 2]], of_others[1])
    assert in_d.any() and not in_v[1].any()


# Words.


def test_the_loss_that_lacks_classes_is_named():
    logits, y = torch.rand(2, 2), torch.zeros(2).long()
    with pytest.raises(ValueError, match=r"^the DLR loss"):
        dlr(logits, y, None)
    with pytest.raises(ValueError, match=r"^the targeted DLR loss"):
        dlr(torch.rand(2, 3), y, torch.ones(2).long())


def test_one_image_is_called_so():
    assert (_checks.number_of(1), _checks.number_of(2)) == ("one image", "2 images")
    with pytest.raises(ValueError, match="for one image 1 x K"):
        _checks.check_logits(torch.zeros(2, 3), 1)


# Points that fool once they are settled.


class Steps:
    """An oracle whose class of a pixel is 0 below 0.2, 1 below 0.6 and 2 from there on."""

    def __init__(self):
        self.asked = []

    def logits(self, x, rows):
        self.asked.append(rows.tolist())
        classes = (x.flatten() >= 0.2).long() + (x.flatten() >= 0.6).long()
        return torch.nn.functional.one_hot(classes, 3).float()


@pytest.mark.parametrize(
    ("target", "won"),
    [
        (None, [False, True, True, False]),
        ([1, 2, 1, 2], [False, False, True, False]),
        ([2, 1, 2, 1], [False, False, False, False]),
    ],
)
def test_what_fools_is_asked_again_once_it_is_settled(target, won):
    x, y = torch.zeros(4, 1, 1, 1), torch.zeros(4).long()
    x[3] = -0.2
    rows = torch.tensor([3, 1, 2, 0])
    # Settled at most 0.3 away: 0.1, of class 0 again, 0.3, of class 1, and as they are.
    point = torch.tensor([0.9, 0.9, 0.25, 0.1]).reshape(-1, 1, 1, 1)
    threat, oracle = Threat(norm="linf", eps=0.3, bounds=(-1.0, 1.0)), Steps()
    logits = Steps().logits(point, rows)
    goal = None if target is None else torch.tensor(target)
    found, settled = confirm(threat, oracle, point, logits, x, y, goal, rows)
    assert found.tolist() == won
    expected = torch.tensor([0.1, 0.3, 0.25, 0.1]).reshape(-1, 1, 1, 1)[torch.tensor(won)]
    torch.testing.assert_close(settled, expected)
    assert oracle.asked == ([[3, 1, 2]] if target != [2, 1, 2, 1] else [])


def test_the_largest_logit_is_one_of_those_that_are_finite():
    logits = torch.tensor([[0.5, -0.25, -torch.inf], [2.0, -3.0, 1.0], [-torch.inf, 0.0, 0.0]])
    assert largest(logits).tolist() == [0.5, 3.0, 0.0]


@pytest.mark.parametrize("norm", ["l2", "relative_l2"])
def test_a_direction_has_length_1_whatever_the_gradients_of_others(norm):
    g = torch.tensor([3.0, 0.0, -4.0, 0.0]).reshape(1, 1, 2, 2)
    found = direction(torch.cat([1e-30 * g, 1e20 * g, 0 * g]), norm)
    torch.testing.assert_close(found, torch.cat([g / 5, g / 5, 0 * g]))
    assert torch.equal(direction(1e-30 * g, "linf"), g.sign())


def test_a_whole_result_has_the_types_that_it_promises():
    x = torch.zeros(2, 3, 4, 4, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    result = Whole(x).result
    assert result.x.is_contiguous()
    assert [value.dtype for value in (result.x, result.success, result.distance)] == [
        torch.float64,
        torch.bool,
        torch.float64,
    ]
    assert result.queries.dtype == result.steps.dtype == torch.int64
    assert {flag.dtype for flag in result.signs} == {torch.bool}
    assert {len(flag) for flag in (*result.signs, result.queries, result.success)} == {2}


def test_an_image_that_is_proposed_and_not_finite_stays_as_it_was():
    @settings
    class Lost(BudgetAttack):
        """All images brighter, of which one has lost a pixel."""

        def perturb(self, oracle, x, y, target, rng):
            proposed = x + 0.1
            proposed[1, 0, 0, 0] = torch.nan
            return Candidate(proposed, torch.ones(len(x), dtype=torch.int64))

    model, x, y = affine_setting()
    with pytest.warns(_checks.AttackWarning, match=r"^Lost: the attack led 1 of 12 images"):
        result = Lost(norm="linf", eps=0.2)(model, x, y)
    expected = x + 0.1
    expected[1] = x[1]
    torch.testing.assert_close(result.x, expected)
    assert result.distance[1] == 0 and not result.success[1]


@pytest.mark.parametrize(
    ("fits", "at_once", "batches"),
    [(2, None, [2, 2, 1]), (9, None, [5]), (9, 3, [3, 2]), (2, 3, [2, 2, 1])],
)
def test_an_attack_looks_at_as_many_images_at_once_as_it_wants_and_as_fit(fits, at_once, batches):
    seen = []

    class Seen(torch.nn.Module):
        def forward(self, x):
            seen.append(len(x))
            return x.flatten(1)

    x = torch.rand(5, 1, 1, 3)
    oracle = Oracle(Seen(), 5, at_once=fits)
    found = clean_logits(oracle, x, at_once)
    assert seen == batches and torch.equal(found, x.flatten(1))
    assert oracle.queries.tolist() == [1] * 5


@pytest.mark.parametrize("allowed", [[], [2], [1, 2]])
def test_a_pair_takes_two_features_that_are_allowed(allowed):
    v = torch.tensor([[5.0, 1.0, 2.0, 3.0]])
    mask = torch.zeros(1, 4, dtype=torch.bool)
    mask[0, allowed] = True
    first, second, found, _ = best_pairs(v, v.flip(1), mask)
    expected = (1, 2, True) if len(allowed) == 2 else (0, 0, False)
    assert (first.item(), second.item(), found.item()) == expected


# What a universal perturbation is learned from.


class Levels(torch.nn.Module):
    """The class of an image by its mean: 0 below 0.3, 1 below 0.6, 2 up to 1, and 3 beyond."""

    def forward(self, x):
        level = x.flatten(1).mean(1, keepdim=True)
        classes = (level >= torch.tensor([0.3, 0.6, 1.01])).sum(1)
        return torch.nn.functional.one_hot(classes, 4).float()


def learned(step, target=None, passes=1):
    x = torch.tensor([0.1, 0.4, 0.7, 0.2, 0.9]).reshape(5, 1, 1, 1).expand(5, 1, 2, 2)
    y = torch.zeros(5, dtype=torch.int64)
    goal = None if target is None else torch.full_like(y, target)
    oracle = Oracle(Levels(), 5, at_once=9)
    options = {"norm": "linf", "eps": 0.25, "passes": passes, "rate": 1.0}
    generator = torch.Generator().manual_seed(0)
    return oracle, *_universal.learn(oracle, x, y, goal, step, generator=generator, **options)


@pytest.mark.parametrize(
    ("target", "asked", "rate"),
    [(None, [0.1, 0.2], 3 / 5), (2, [0.1, 0.2, 0.4], 2 / 5), (1, [0.1, 0.2, 0.7, 0.9], 1 / 5)],
)
def test_each_image_that_is_not_fooled_is_asked_for_its_own_step(target, asked, rate):
    seen = []

    def step(oracle, x, y, target):
        seen.append(round(float(x.mean()), 6))
        assert len(x) == len(y) == 1 and (target is None or len(target) == 1)

    oracle, v, rates = learned(step, target)
    assert sorted(seen) == asked and not v.any()
    torch.testing.assert_close(rates, torch.tensor([rate]))
    # Once in the pass, and once for the rate.
    assert oracle.queries.tolist() == [2] * 5


def test_the_rate_is_that_of_images_that_are_cut_off():
    # Beyond 1 they would all be of class 3.
    def step(oracle, x, y, target):
        return torch.full_like(x, 0.7)

    _, v, rates = learned(step, target=3, passes=2)
    assert v.flatten().tolist() == [0.25] * 4 and rates.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("length", [0.0, 0.5])
def test_what_was_learned_is_scaled_to_the_budget_unless_it_is_nothing(length):
    model, x, y = affine_setting()
    v = torch.zeros_like(x[:1])
    v[0, 0, 0, 0] = length
    found = UAP(norm="l2", eps=0.25, learning_eps=1.0)(model, x, y, fit=Fit({"perturbation": v}))
    expected = x.clone()
    expected[:, 0, 0, 0] += 0.25 if length else 0.0
    torch.testing.assert_close(found.x, expected)
    assert found.warnings == ()


def test_what_is_no_fit_is_named():
    model, x, y = affine_setting()
    with pytest.raises(TypeError) as caught:
        UAP(norm="l2", eps=0.25)(model, x, y, fit=[])
    assert str(caught.value) == "fit: expected what fit() returns, a Fit, got list"


def test_a_step_of_deepfool_leads_to_the_target_or_there_is_none():
    model, x, y = affine_setting()
    # A label that the image has not: to leave it is no success.
    given = Oracle(model, 1), x[:1], y[:1] + 1, torch.tensor([2])
    options = {"norm": "l2", "steps": 2}
    own = _universal.deepfool_step(*given, overshoot=0.02, **options)
    assert predictions(model, x[:1] + own).tolist() == [2]
    # Which goes half of the way each time.
    assert _universal.deepfool_step(*given, overshoot=-0.5, **options) is None


# Starts and seeds.


def test_an_ascent_begins_where_it_is_told():
    x = torch.full((1, 1, 1, 2), 0.5)
    threat = Threat(norm="linf", eps=0.3)
    start = torch.tensor([[[[0.7, 0.4]]]])
    found = ascend(lambda z: z.flatten(1)[:, 0], x, threat, steps=1, step=0.05, start=start)
    torch.testing.assert_close(found, torch.tensor([[[[0.75, 0.4]]]]))


@pytest.mark.parametrize("steps", [[0.05, 0.1], [0.1, 0.1]])
def test_each_image_goes_its_own_step_at_a_time(steps):
    x = torch.full((2, 1, 1, 2), 0.5)
    threat = Threat(norm="linf", eps=0.25)
    step = torch.tensor(steps).reshape(2, 1, 1, 1)
    for count in (1, 2, 3):
        found = ascend(lambda z: z.flatten(1).sum(1), x, threat, steps=count, step=step)
        expected = 0.5 + torch.tensor([min(count * one, 0.25) for one in steps])
        torch.testing.assert_close(found, expected.reshape(2, 1, 1, 1).expand_as(x))


def test_parts_of_random_numbers_differ_by_seed_and_by_name():
    x = torch.rand(3, 2)
    seeds = {Random(seed).part(*name).seed for seed in (0, 1) for name in (("a",), ("b",), ())}
    assert len(seeds) == 6
    drawn = {
        float(Draws(seed, x).next([0, 1, 2]).part(*name).uniform_like(x)[0, 0])
        for seed in (0, 1)
        for name in (("a",), ("b",))
    }
    assert len(drawn) == 4
