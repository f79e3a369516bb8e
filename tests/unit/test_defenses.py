"""A defended module: what it declares, what it differentiates, and where its randomness is from."""

from __future__ import annotations

import copy

import pytest
import torch
from defenses_for_tests import Masking, Noise, NoisyRounding, Rounding, Sine
from models_for_tests import evaluated, small_images, small_network

from advsparse.attacks._asking import refused
from advsparse.attacks._eot import as_attacked
from advsparse.attacks._first_look import bytes_per_image
from advsparse.attacks._fitting import Fit
from advsparse.attacks._losses import margin
from advsparse.attacks._oracle import Oracle
from advsparse.attacks._universal import UniversalPerturbation
from advsparse.defenses._base import Defense, Detector, Inside
from advsparse.defenses._defended import Beside, Changed, InFront
from advsparse.seeding import Draws, Random, stable_seed
from advsparse.settings import settings

ALL = (Rounding(), Noise(), NoisyRounding(), Masking(), Sine())

each_defence = pytest.mark.parametrize("defence", ALL, ids=lambda d: type(d).__name__)


def wrapped(defence: Defense, **options) -> InFront:
    model, x, y = evaluated(torch.float64)
    return defence.wrap(model, defence.fit(x, y), **options).eval()


def gradient(function, x, weights):
    x = x.clone().requires_grad_()
    return torch.autograd.grad((weights * function(x)).sum(), x)[0]


@each_defence
def test_declarations_reach_the_module(defence):
    module = wrapped(defence)
    assert module.stochastic == defence.stochastic
    assert module.backward == defence.backward or callable(module.backward)


@each_defence
def test_logits_are_the_models_at_the_transformed_image_whatever_is_differentiated(defence):
    _, x, _ = evaluated(torch.float64)
    module = wrapped(defence)
    expected = module.model(module.transform(x))
    assert not torch.equal(module.transform(x), x)
    for backward in ("declared", "exact", "identity"):
        adapted = module.adapted(backward, samples=7)
        for given in (x, x.clone().requires_grad_()):
            assert torch.equal(adapted(given), expected)
    assert module.samples == 1
    assert module.adapted("declared", 7).samples == (7 if defence.stochastic else 1)


@pytest.mark.parametrize("defence", [Rounding(), NoisyRounding()], ids=["plain", "stochastic"])
def test_identity_gives_the_models_gradient_at_the_transformed_image_exactly(defence):
    _, x, _ = evaluated(torch.float64)
    module = wrapped(defence)
    weights = torch.randn(module(x).shape, dtype=x.dtype, generator=torch.manual_seed(0))
    at = module.transform(x)
    found = gradient(module.adapted("declared", 1), x, weights)
    assert torch.equal(found, gradient(module.model, at, weights)) and found.any()
    assert not gradient(module, x, weights).any(), "by itself it has none"
    assert not gradient(module.adapted("exact", 1), x, weights).any()


def test_approximation_gives_its_derivative_at_the_image():
    _, x, y = evaluated(torch.float64)
    defence = Sine()
    strength = defence.fit(x, y)["strength"]
    module = wrapped(defence)
    weights = torch.randn(module(x).shape, dtype=x.dtype, generator=torch.manual_seed(0))
    slope = 1 + 3 * strength * torch.cos(3 * x)
    expected = slope * gradient(module.model, module.transform(x), weights)
    found = gradient(module.adapted("declared", 1), x, weights)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    assert not torch.equal(found, gradient(module.adapted("identity", 1), x, weights))


def test_transformation_outside_autograd_has_derivative_zero_and_can_be_approximated():
    model, x, _ = evaluated(torch.float64)
    module = InFront(model, lambda x: torch.from_numpy(x.detach().numpy() ** 2)).eval()
    assert torch.equal(module(x.clone().requires_grad_()), model(x**2))
    weights = torch.ones(len(x), 4, dtype=x.dtype)
    assert not gradient(module, x, weights).any()
    assert gradient(module.adapted("identity", 1), x, weights).any()


def test_what_can_not_be_defended_is_refused():
    model, x, _ = evaluated(torch.float64)
    with pytest.raises(TypeError, match="compose the transformations"):
        Noise().wrap(Noise().wrap(model))
    with pytest.raises(ValueError, match=r"backward: .*got 'straight'"):
        InFront(model, lambda x: x, backward="straight")
    smaller = InFront(torch.nn.Flatten(), lambda x: x[..., 1:], backward="identity")
    with pytest.raises(ValueError, match=r"gives \(7, 3, 8, 7\), its approximation \(7, 3, 8, 8\)"):
        smaller.adapted("declared", 1)(x.clone().requires_grad_())
    # Where no derivative is asked for, none has to fit.
    assert smaller.adapted("declared", 1)(x).shape == (7, 3 * 8 * 7)
    with torch.no_grad():
        assert smaller.adapted("declared", 1)(x.clone().requires_grad_()).shape == (7, 3 * 8 * 7)

    with pytest.raises(TypeError) as caught:
        InFront(model, 3)
    said = "transformation: expected a module or function of images, got int"
    assert str(caught.value) == said
    with pytest.raises(ValueError, match=r"^ensemble: 2 draws of what draws nothing are all the"):
        InFront(model, lambda x: x, ensemble=2)
    for ensemble in (1, 2):
        with pytest.raises(TypeError, match=r"^x: expected a torch\.Tensor, got list; "):
            InFront(model, lambda x, rng: x, stochastic=True, ensemble=ensemble)([1.0])
    one = torch.ones(())
    guarded = Beside(model, lambda x: x, threshold=one, spread=one)
    for refusing in (Changed(model, model), guarded, guarded.excess):
        with pytest.raises(TypeError, match=r"^x: expected a torch\.Tensor, got list; "):
            refusing([1.0])
    with pytest.raises(TypeError) as caught:
        Changed(Noise().wrap(model), model)
    said = "the model is defended already: its layers can't be told from those"
    assert str(caught.value) == said
    with pytest.raises(TypeError) as caught:
        Noise().wrap(model)(x, 3)
    assert str(caught.value) == (
        "rng: expected an advsparse.seeding.Random, got int; none stands for the numbers of the "
        "evaluation"
    )

    class Forgetful(Noise):
        backward = "approximation"

    with pytest.raises(NotImplementedError, match="Forgetful"):
        Forgetful().wrap(model)


@each_defence
def test_evaluation_is_a_function_of_seed_and_image(defence):
    _, x, _ = evaluated(torch.float64)
    module, again, other = wrapped(defence, seed=1), wrapped(defence, seed=1), wrapped(defence)
    state = torch.get_rng_state()
    t = module.transform(x)
    assert torch.equal(t, again.transform(x)) and torch.equal(t, module.transform(x))
    assert torch.equal(t, other.transform(x)) != defence.stochastic
    order = torch.tensor([3, 0, 6, 5, 1, 2, 4])
    assert torch.equal(module.transform(x[order]), t[order])
    assert torch.equal(torch.cat([module.transform(one) for one in x.split(1)]), t)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("seed", [None, 0, 5])
def test_an_evaluation_draws_the_numbers_of_its_name_and_seed(seed):
    model, x, _ = evaluated(torch.float64)
    given = {} if seed is None else {"seed": seed}
    numbers = Random(stable_seed("evaluation", seed or 0))
    expected = x + 0.3 * numbers.normal_like(x)
    noise = Noise().transformation({})
    for module in (
        Noise().wrap(model, **given),
        InFront(model, noise, stochastic=True, **given),
        Changed(model, noise, stochastic=True, **given),
    ):
        t = module.transform(x) if isinstance(module, InFront) else module(x)
        assert torch.equal(t, expected)


def test_an_ensemble_is_the_log_of_the_mean_probability_over_its_draws():
    model, x, _ = evaluated(torch.float64)
    module = InFront(model, Noise().transformation({}), stochastic=True, ensemble=3, seed=5)
    numbers = Random(stable_seed("evaluation", 5))
    drawn = [x + 0.3 * numbers.part("ensemble", i).normal_like(x) for i in range(3)]
    expected = torch.stack([model(t).softmax(1) for t in drawn]).mean(0).log()
    torch.testing.assert_close(module(x), expected)


def test_a_defence_is_told_what_it_has_learned_and_the_network():
    model, x, _ = evaluated(torch.float64)
    told = []

    class Front(Rounding):
        def for_network(self, learned, model):
            told.append((learned, model))
            return self.transformation(learned)

    class Within(Inside):
        def changed(self, model, learned):
            told.append((learned, model))
            return model

    class Guard(Detector):
        def score(self, learned, model):
            told.append((learned, model))
            return lambda x: x.flatten(1).sum(1)

    learned = {"threshold": torch.tensor(1.0), "spread": torch.tensor(2.0)}
    for defence in (Front(), Within()):
        assert torch.equal(defence.wrap(model)(x), defence.wrap(model, learned)(x))
        assert defence.wrap(model).model is model
        del told[-1]

    class Several(Noise):
        ensemble = 3

    assert Several().wrap(model).ensemble == 3
    with pytest.raises(ValueError) as caught:
        Guard().wrap(model)
    said = "learned: a detector has no threshold before it has learned one"
    assert str(caught.value) == said
    guarded = Guard().wrap(model, learned)
    torch.testing.assert_close(guarded.excess(x), (x.flatten(1).sum(1) - 1) / 2)
    assert [one for one, _ in told] == [{}, learned, {}, learned, learned]
    assert all(network is model for _, network in told)


def test_adapted_module_shares_weights_and_leaves_the_other_alone():
    x = small_images(4)
    module = NoisyRounding().wrap(small_network(x), seed=3)
    adapted = module.adapted("identity", 5)
    assert adapted.samples == 5 and module.samples == 1
    assert [*map(id, adapted.parameters())] == [*map(id, module.parameters())]
    before = [part.training for part in module.modules()]
    copy.copy(adapted).train(False)
    assert module.training == before[0]


def test_memory_of_the_approximation_counts():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 4))
    x = torch.rand(1, 3, 8, 8)
    module = InFront(model, torch.round, backward=lambda x: x.sin().sin().sin())
    plain = bytes_per_image(module, x)
    assert bytes_per_image(module.adapted("declared", 1), x) == plain + 3 * x.nbytes


def test_memory_of_a_detector_counts_where_an_attack_is_told_of_it():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 4))
    x, one = torch.rand(1, 3, 8, 8), torch.ones(())
    module = Beside(model, lambda x: x.sin().sin().flatten(1).sum(1), threshold=one, spread=one)
    plain = bytes_per_image(module, x)
    assert bytes_per_image(module.adapted("declared", 1), x) >= plain + 2 * x.nbytes


def test_draws_are_told_by_image_and_number_and_not_by_place_or_last_bit():
    x = torch.rand(4, 3, 4, 4)
    draws = Draws(7, x)
    one, two = draws.next([0, 1, 2, 3]).normal_like(x), draws.next([0, 1, 2, 3]).normal_like(x)
    assert not torch.isclose(one, two).all()
    order = [2, 0, 3, 1]
    shuffled = Draws(7, x[order])
    moved = torch.nextafter(x[order], torch.ones(()))
    assert torch.equal(shuffled.next([0, 1, 2, 3]).normal_like(moved), one[order])
    # An image that is left alone for a while goes on with its own numbers.
    assert torch.equal(shuffled.next([2]).normal_like(x[[3]]), two[[3]])
    assert torch.equal(shuffled.next([0, 2]).normal_like(x[[2, 3]])[0], two[2])
    assert not torch.equal(Draws(8, x).next([0, 1, 2, 3]).normal_like(x), one)
    with pytest.raises(ValueError, match="a draw for 2 images was used for 4"):
        draws.next([0, 1]).normal_like(x)


def test_an_attack_is_given_means_over_draws_of_its_own():
    model, x, _ = evaluated(torch.float64)
    module = Noise().wrap(model, seed=5).adapted("declared", 3)
    draws = Draws(stable_seed("transformations", 2), x)

    def mean(rows):
        drawn = [x[rows] + 0.3 * draws.next(rows).normal_like(x[rows]) for _ in range(3)]
        return torch.stack([model(t) for t in drawn]).mean(0)

    everyone, rows = list(range(len(x))), [4, 1]
    oracle = as_attacked(Oracle(module, len(x)), x, Random(2))
    torch.testing.assert_close(oracle.logits(x), mean(everyone))
    # Anew each time, for each image by itself, also on the way back.
    torch.testing.assert_close(oracle.logits(x[rows], torch.tensor(rows)), mean(rows))
    torch.testing.assert_close(oracle.differentiable(x), mean(everyone))
    values, logits, _ = oracle.gradient(x, lambda z: z[:, 0])
    expected = mean(everyone)
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(values, expected[:, 0])
    # Three passes each time, and as many on each way back.
    assert oracle.queries.dtype == torch.int64
    assert oracle.queries.tolist() == [18 if row in rows else 15 for row in everyone]


@pytest.mark.parametrize("targeted", [False, True])
def test_a_detector_decides_and_what_an_attack_lowers_has_no_step(targeted):
    """The margin is the larger of the classifier's and the excess, on both sides of 0."""
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(400, 5, generator=rng) * torch.tensor([1.0, 1e-3]).repeat(200)[:, None]
    excess = torch.randn(400, generator=rng)
    excess[:100] *= 1e-6
    excess[100:120] = 0
    y, target = torch.randint(5, (400,), generator=rng), None
    if targeted:
        target = (y + 1) % 5
    found = refused(logits, excess, y, target)
    won = logits.argmax(1) != y if target is None else logits.argmax(1) == target
    assert 20 < (won & (excess <= 0)).sum() < 380
    reached = found.argmax(1) != y if target is None else found.argmax(1) == target
    assert torch.equal(reached, won & (excess <= 0))
    expected = torch.maximum(margin(logits, y, target), excess)
    torch.testing.assert_close(margin(found, y, target), expected, rtol=1e-6, atol=1e-6)
    unknown = torch.full_like(excess, torch.nan)
    assert torch.equal(refused(logits, unknown, y, target), logits)


@pytest.mark.parametrize("targeted", [False, True])
def test_an_attack_is_told_of_a_detector_by_the_label_or_target_of_each_image(targeted):
    model, x, y = evaluated(torch.float64)
    brightness = x.flatten(1).mean(1)
    beside = Beside(
        model,
        lambda x: x.flatten(1).mean(1),
        threshold=brightness.median(),
        spread=torch.tensor(0.01).double(),
    )
    target = (y + 1) % 4 if targeted else None
    excess = (brightness - brightness.median()) / 0.01
    expected = refused(model(x), excess, y, target).detach()
    assert 0 < (expected != model(x)).any(1).sum() < len(x)
    oracle = Oracle(beside.adapted("declared", 1), len(x), goals=(y, target))
    rows = torch.tensor([5, 0, 3])
    torch.testing.assert_close(oracle.logits(x), expected)
    torch.testing.assert_close(oracle.logits(x[rows], rows), expected[rows])
    torch.testing.assert_close(oracle.differentiable(x[rows], rows), expected[rows])
    values, logits, _ = oracle.gradient(x[rows], lambda z: z[:, 1], rows)
    torch.testing.assert_close(logits, expected[rows])
    torch.testing.assert_close(values, expected[rows, 1])
    logits, gradients = oracle.restrict(rows).jacobian(x[rows])
    torch.testing.assert_close(logits, expected[rows])
    assert gradients.shape == (3, 4, *x.shape[1:])
    # One pass, and one more for each way back.
    assert oracle.queries.tolist() == [11 if i in rows else 1 for i in range(len(x))]
    # An attack that does not adapt is told nothing.
    torch.testing.assert_close(Oracle(beside, len(x), goals=(y, target)).logits(x), model(x))


def test_an_attack_that_learns_is_told_of_a_detector_too():
    @settings
    class Learner(UniversalPerturbation):
        """It keeps the logits of what it learns from."""

        def learn(self, oracle, x, y, target, rng):
            return Fit({"perturbation": torch.zeros_like(x[:1]), "logits": oracle.logits(x)})

    model, x, y = evaluated(torch.float64)
    score, unit = lambda x: x.flatten(1).mean(1), torch.tensor(1e-3, dtype=torch.float64)
    beside = Beside(model, score, threshold=score(x).median(), spread=unit)
    learned = Learner(norm="l2", eps=0.1).fit(beside.adapted("declared", 1), x, y)
    expected = refused(model(x), (score(x) - score(x).median()) / unit, y, None)
    assert not torch.equal(expected, model(x))
    torch.testing.assert_close(learned.arrays["logits"], expected.detach())


def test_draws_are_random():
    x = torch.rand(20, 3, 8, 8)
    draws = Draws(0, x)
    z = torch.stack([draws.next(range(20)).normal_like(x) for _ in range(30)]).flatten(1)
    assert z.mean().abs() < 0.01 and (z.std() - 1).abs() < 0.01
    assert (torch.corrcoef(z) - torch.eye(30)).abs().max() < 0.08
    assert torch.equal(Random(3).normal_like(x), Random(3).normal_like(x))
