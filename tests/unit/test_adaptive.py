"""BPDA and EOT around any attack: what they estimate, what they fool, what they leave alone."""

from __future__ import annotations

import copy
import random
import warnings

import numpy as np
import pytest
import torch
from defenses_for_tests import Masking, Noise, NoisyRounding, Rounding, Sine
from models_for_tests import (
    ALREADY,
    CLASSES,
    ROUNDING,
    affine,
    assert_same,
    batch_sizes,
    build,
    evaluated,
    need,
    norms_of,
    predictions,
    setting,
    small_images,
    small_network,
)
from sklearn.datasets import load_digits

from advsparse import registry
from advsparse.attacks._asking import refused, undisturbed
from advsparse.attacks._checks import AttackWarning
from advsparse.attacks._eot import Expectation
from advsparse.attacks._fitting import UniversalAttack
from advsparse.attacks._oracle import Oracle
from advsparse.attacks.adaptive import Adaptive
from advsparse.attacks.fgsm import FGSM
from advsparse.attacks.pgd import PGD
from advsparse.defenses._base import Detector
from advsparse.defenses._defended import InFront
from advsparse.defenses._threshold import learned_threshold
from advsparse.defenses.pixel_deflection import PixelDeflection
from advsparse.seeding import Random
from advsparse.settings import settings

INNER = [
    kind
    for kind in registry.kinds("attacks")
    if kind != "adaptive" and not issubclass(registry.load("attacks", kind), UniversalAttack)
]
"""The attacks that can be wrapped."""

each_inner = pytest.mark.parametrize("kind", INNER)
each_random = pytest.mark.parametrize(
    "defence", [Noise(), NoisyRounding()], ids=lambda d: type(d).__name__
)
quiet = pytest.mark.filterwarnings("ignore::advsparse.attacks._checks.AttackWarning")


def adaptive(kind, norm=None, samples=3, **settings):
    norm = norms_of(kind)[0] if norm is None else norm
    return Adaptive(attack=build(kind, norm, **settings), samples=samples)


# What is estimated.

SIGMA = 0.4


def noisy(model, samples, sigma=SIGMA):
    return Noise(scale=sigma).wrap(model).adapted("declared", samples)


def expectation(model, x, seed=0):
    return Expectation(Oracle(model, len(x)), x, Random(seed))


def linear(x):
    """Logits a . x and 0, and a."""
    a = torch.linspace(-1, 1, x[0].numel(), dtype=x.dtype)
    a = a / a.norm()
    return affine(torch.stack([a, 0 * a]), torch.zeros(2, dtype=x.dtype)), a


def test_value_and_gradient_are_those_of_the_expected_objective():
    # With z = a . (x + sigma n), |a| = 1: E z^3 = m^3 + 3 m sigma^2, where m = a . x. The
    # objective at the mean of the logits would miss the second term.
    x = small_images(3, torch.float64)
    model, a = linear(x)
    m = x.flatten(1) @ a
    value, logits, gradient = expectation(noisy(model, 40_000), x).gradient(
        x, lambda z: z[:, 0] ** 3
    )
    slope = 3 * m**2 + 3 * SIGMA**2
    expected = slope[:, None] * a
    torch.testing.assert_close(logits[:, 0], m, rtol=0, atol=0.01)
    torch.testing.assert_close(value, m**3 + 3 * m * SIGMA**2, rtol=0.05, atol=0.02)
    torch.testing.assert_close(gradient.flatten(1), expected, rtol=0.03, atol=0)
    assert (slope - 3 * m**2 > 0.1 * slope).all()


def test_error_falls_as_the_root_of_the_number_of_draws():
    # The gradient of -|x + sigma n|^2 is -2 x in the mean, with a deviation of 2 sigma a draw.
    x = small_images(20, torch.float64)
    model = torch.nn.Sequential(torch.nn.Flatten(), Square())
    for samples in (1, 4, 64):
        _, _, gradient = expectation(noisy(model, samples), x).gradient(x, lambda z: z[:, 0])
        error = (gradient + 2 * x).std()
        assert abs(float(error) / (2 * SIGMA / samples**0.5) - 1) < 0.05


class Square(torch.nn.Module):
    def forward(self, x):
        value = -x.square().sum(1)
        return torch.stack([value, 0 * value], dim=1)


def test_all_ways_to_ask_the_oracle_agree():
    _, x, _ = setting(torch.float64)
    model = noisy(copy.deepcopy(setting(torch.float64)[0]).eval(), 5)
    rows = torch.tensor([4, 1, 6])
    with undisturbed(model, x.device):
        ours = [expectation(model, x) for _ in range(4)]
        logits = ours[0].logits(x[rows], rows)
        _, same, gradient = ours[1].gradient(x[rows], lambda z: z[:, 2], rows)
        again, jacobian = ours[2].jacobian(x[rows], rows)
        point = x[rows].clone().requires_grad_()
        graph = ours[3].differentiable(point, rows)
        (behind,) = torch.autograd.grad(graph[:, 2].sum(), point)
    for other in (same, again, graph.detach()):
        torch.testing.assert_close(other, logits, rtol=0, atol=1e-12)
    torch.testing.assert_close(jacobian[:, 2], gradient, rtol=0, atol=1e-12)
    torch.testing.assert_close(behind, gradient, rtol=0, atol=1e-12)
    counts = [oracle.queries[rows].tolist() for oracle in ours]
    assert counts == [[5] * 3, [10] * 3, [5 * (1 + CLASSES)] * 3, [10] * 3], "each draw counts"
    assert ours[0].queries.sum() == 15


def test_passes_at_one_point_draw_anew_and_the_evaluation_draws_others():
    _, x, _ = setting(torch.float64)
    model = noisy(copy.deepcopy(setting(torch.float64)[0]).eval(), 1)
    oracle = expectation(model, x)
    one, two = oracle.logits(x), oracle.restrict(torch.arange(7)).logits(x)
    evaluated = model(x)
    for a, b in ((one, two), (one, evaluated), (two, evaluated)):
        assert not torch.isclose(a, b).all(1).any()
    assert torch.equal(expectation(model, x).logits(x), one)


# What is fooled.


def test_masked_gradients_stop_pgd_with_a_warning_but_not_its_adaptive_form():
    x = small_images(30)
    model = small_network(x)
    y = predictions(model, x)
    defended = Rounding().wrap(model)
    pgd = PGD(eps=0.1, steps=10, random_start=False)
    right = predictions(defended, x) == y
    with pytest.warns(AttackWarning, match="first gradient was exactly 0 for"):
        plain = pgd(defended, x, y)
    with pytest.warns(AttackWarning, match="first gradient was exactly 0 for"):
        exact = Adaptive(attack=pgd, backward="exact")(defended, x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", AttackWarning)
        adapted = Adaptive(attack=pgd)(defended, x, y)
    assert torch.equal(plain.x, x) and torch.equal(exact.x, x)
    assert right.sum() >= 25 and not plain.success[right].any()
    assert adapted.success.float().mean() >= 0.9
    assert torch.equal(adapted.success, predictions(defended, adapted.x) != y)
    assert torch.equal(adapted.queries, plain.queries), "BPDA costs no further pass"


def test_declared_approximation_fools_where_its_derivative_is_needed():
    _, x, _ = setting(torch.float32)
    model = small_network(x).eval()
    defended = Sine().wrap(model, Sine().fit(x, None))
    y = predictions(defended, x)
    found = adaptive("bim", "linf", steps=10)(defended, x, y)
    assert found.success.float().mean() >= 0.8


@pytest.fixture(scope="module")
def masked():
    """A network trained to read handwritten digits half of whose pixels are missing."""
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    y = torch.tensor(digits.target)
    nn = torch.nn
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(),
            nn.Linear(64, 10),
        )  # fmt: skip
        descent = torch.optim.Adam(model.parameters(), lr=3e-3)
        for step in range(300):
            chosen = torch.randint(0, 1500, (128,))
            mask = Random(step).uniform_like(x[chosen]) < 0.5
            loss = nn.functional.cross_entropy(model(x[chosen] * mask), y[chosen])
            descent.zero_grad()
            loss.backward()
            descent.step()
    return model.eval(), x[1500:1600], y[1500:1600]


def test_random_defence_is_fooled_more_often_by_expectation_over_transformations(masked):
    model, x, y = masked
    defended = Masking().wrap(model, seed=99)

    def rate(images):
        """How often the defence is fooled, whatever it draws."""
        evaluations = (Masking().wrap(model, seed=seed) for seed in range(10))
        return torch.stack([predictions(d, images) != y for d in evaluations]).float().mean()

    assert rate(x) < 0.4
    for attack, gain in ((FGSM(eps=0.1), 0.1), (PGD(eps=0.1, steps=5), 0.02)):
        for seed in range(3):
            plain = attack(defended, x, y, rng=seed)
            adapted = Adaptive(attack=attack, samples=20)(defended, x, y, rng=seed)
            assert rate(adapted.x) > rate(plain.x) + gain


def test_luck_with_the_draws_of_the_attack_is_not_success():
    # Noise alone decides: an attack that stops at the first lucky draw has found nothing.
    model, a = linear(small_images(1))
    x = 0.5 + 0 * small_images(200)
    x += (0.3 - x.flatten(1) @ a).reshape(-1, 1, 1, 1) * a.reshape(1, 3, 8, 8)
    x += 1e-3 * torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) - 5e-4
    y = torch.zeros(200, dtype=torch.int64)
    x = x.clamp(0, 1)
    defended = Noise(scale=0.3).wrap(model)
    by_chance = (predictions(defended, x) != y).float().mean()
    found = build("square", "l2", eps=1e-4, queries=60)(defended, x, y)
    assert 0.1 < by_chance < 0.3
    new = found.success.sum() - (predictions(defended, x) != y).sum()
    assert new < 0.3 * (1 - by_chance) * 200


UNIVERSAL = sorted(set(registry.kinds("attacks")) - {*INNER, "adaptive", "dict_attack"})


@quiet
@pytest.mark.parametrize("kind", UNIVERSAL)
def test_universal_attacks_learn_on_the_defence_too(kind):
    x = small_images(24, torch.float64)
    model = small_network(x)
    inner = build(kind, norms_of(kind)[0])
    attack = Adaptive(attack=inner, samples=3)
    assert attack.universal and attack.learner() == Adaptive(attack=inner.learner(), samples=3)
    target = torch.full((24,), 2) if kind == "targeted_uap" else None
    # Without a defence it is the other attack, bit for bit.
    y = predictions(model, x)
    ours, theirs = (one.fit(model, x, y, target, rng=5) for one in (attack, inner))
    assert all(torch.equal(value, theirs.arrays[name]) for name, value in ours.arrays.items())
    found = attack(model, x, y, target, fit=ours, rng=5)
    assert_same(found, inner(model, x, y, target, fit=theirs, rng=5), rtol=0, atol=0)
    # On one whose derivative is 0 it learns what the other can't.
    defended = Rounding().wrap(model)
    y = predictions(defended, x)
    learned = attack.fit(defended, x, y, target, rng=5)
    name = "perturbation" if "perturbation" in learned.arrays else "atoms"
    if not kind.endswith("uap") or kind == "targeted_uap":
        assert learned.arrays[name].any()
    # On a random one, the same again.
    noisy = NoisyRounding().wrap(model)
    one, again = (attack.fit(noisy, x, y, target, rng=5) for _ in range(2))
    assert all(torch.equal(value, again.arrays[key]) for key, value in one.arrays.items())


# Detectors.


@settings
class Bright(Detector):
    """Refuses what is brighter than nearly all that it has learned from."""

    def fit(self, x, y, *, model=None, rng=0):
        return learned_threshold(self.score({}, None)(x), self.rate)

    def score(self, learned, model):
        return lambda x: x.flatten(1).mean(1)


def watched(model, x, rate=0.1):
    detector = Bright(rate=rate)
    return detector.wrap(model, detector.fit(x, None))


def test_what_is_refused_decides_for_its_label_and_what_passes_as_it_did():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((500, 4), generator=generator, dtype=torch.float32) * 10
    y = torch.randint(0, 4, (500,), generator=generator)
    sizes = torch.tensor([-1.0, -1e-9, 0.0, 1e-9, 1e-3, 1.0, 100.0])
    excess = sizes[torch.randint(0, 7, (500,), generator=generator)]
    found = refused(logits, excess, y, None)
    assert torch.equal(found.argmax(1), torch.where(excess > 0, y, logits.argmax(1)))
    right = logits.argmax(1) == y
    safe = (excess <= 0) & right
    assert torch.equal(found[safe], logits[safe])
    others = torch.arange(4) != y[:, None]
    assert torch.equal(found[others], logits[others])
    aimed = refused(logits, excess, (y + 1) % 4, y)
    assert torch.equal(aimed.argmax(1) == y, right & (excess <= 0))
    missed = (excess <= 0) & ~right
    assert torch.equal(aimed[missed], logits[missed])


def test_the_objective_lowers_the_score_once_the_classifier_is_fooled():
    logits = torch.tensor([[1.0, 5.0, 2.0], [5.0, 1.0, 2.0]], requires_grad=True)
    excess = torch.tensor([3.0, 3.0], requires_grad=True)
    y = torch.tensor([0, 0])
    loss = torch.nn.functional.cross_entropy(refused(logits, excess, y, None), y)
    of_logits, of_excess = torch.autograd.grad(loss, (logits, excess))
    # Fooled and refused: the score. Right: the classifier, whose margin is the wider here.
    assert of_excess[0] < 0 == of_logits[0, 0] and abs(float(of_excess[0])) > 0.01
    assert of_logits[1].any()


@quiet
@each_inner
def test_an_attack_that_adapts_passes_the_detector_or_has_not_succeeded(kind):
    x = small_images(40, torch.float64) * 0.8
    model = small_network(x)
    defended = watched(model, x)
    y = predictions(model, x)
    found = adaptive(kind)(defended, x, y)
    fools, passes = predictions(model, found.x) != y, defended.excess(found.x) <= 0
    assert torch.equal(found.success, fools & passes)


@settings
class Rough(Bright):
    """Refuses what has more edges than nearly all that it has learned from."""

    def score(self, learned, model):
        return lambda x: x.diff(dim=3).square().flatten(1).mean(1)


def test_an_attack_that_adapts_fools_what_refuses_one_that_does_not():
    coarse = small_images(60)[:, :, ::3, ::3]
    x = torch.nn.functional.interpolate(coarse, size=(8, 8), mode="bilinear")
    model = small_network(x)
    detector = Rough(rate=0.05)
    defended = detector.wrap(model, detector.fit(x, None))
    y = predictions(model, x)
    pgd = PGD(eps=0.15, steps=40, step=0.025, random_start=False)
    plain, adapted = pgd(defended, x, y), Adaptive(attack=pgd)(defended, x, y)
    assert plain.success.float().mean() > 0.9, "the classifier alone is fooled"
    assert (defended.excess(plain.x) > 0)[plain.success].float().mean() > 0.9
    assert adapted.success.float().mean() > 0.5
    assert (defended.excess(adapted.x[adapted.success]) <= 0).all()


@quiet
def test_a_detector_beside_a_transformation_leaves_that_its_own():
    model, x, y = evaluated(torch.float64)
    for inner in (Rounding(), Noise(), NoisyRounding()):
        both = watched(inner.wrap(model, seed=3), x, rate=0.0)
        alone = inner.wrap(model, seed=3)
        assert both.stochastic == alone.stochastic
        assert torch.equal(both(x), alone(x))
        ours, theirs = (adaptive("bim", "linf", steps=3)(one, x * 0.5, y) for one in (both, alone))
        passes = both.excess(theirs.x) <= 0
        assert torch.equal(ours.x[passes], theirs.x[passes]) and passes.all()


# What must not change.


@quiet
@each_inner
def test_without_a_defence_it_is_the_other_attack_bit_for_bit(kind):
    model, x, y = setting(torch.float32)
    exact = InFront(model, lambda x: 0.9 * x)
    for norm in norms_of(kind):
        inner = build(kind, norm)
        for given in (model, exact):
            expected = inner(given, x, y, rng=3)
            found = Adaptive(attack=inner)(given, x, y, rng=3)
            assert_same(found, expected, rtol=0, atol=0)
            assert found.warnings == expected.warnings


@quiet
@each_random
@each_inner
def test_images_do_not_feel_their_batch(kind, defence):
    model, x, y = setting(torch.float64)
    attack, defended = adaptive(kind), defence.wrap(model)
    one = need(attack.attack, defended.adapted("declared", 3), x)
    y = y.clone()
    y[:ALREADY] = predictions(defended, x)[:ALREADY]
    together = attack(defended, x, y)
    assert together.steps.any() or kind in ("noise", "random_pixels")
    order = torch.tensor([6, 0, 5, 2, 4, ALREADY, 1])
    assert_same(attack(defended, x[order], y[order]), together, order, **ROUNDING)
    with batch_sizes(defended) as seen:
        parts = attack(defended, x, y, memory=2 * one + 1)
    assert max(seen) == 2, "draws do not add to the batch"
    assert_same(parts, together, **ROUNDING)
    for i in range(len(x)):
        if together.queries[i] > 2:  # an image that isn't attacked has no trace alone
            alone = attack(defended, x[i : i + 1], y[i : i + 1])
            assert_same(alone, together, slice(i, i + 1), **ROUNDING)


@quiet
@each_inner
def test_random_numbers_are_its_own_and_told_by_seed(kind):
    model, x, y = setting(torch.float32)
    defended = NoisyRounding().wrap(model)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    one, again, other = (adaptive(kind)(defended, x, y, rng=seed) for seed in (1, 1, 2))
    assert_same(again, one, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    assert random.getstate() == before[2]
    assert not torch.equal(one.x, other.x)
    assert torch.equal(one.success, predictions(defended, one.x) != y)


def test_gradients_that_are_zero_for_every_draw_are_warned_of():
    model, x, _ = setting(torch.float32)
    defended = NoisyRounding().wrap(model)
    y = predictions(defended, x)
    attack = adaptive("fgsm", "linf")
    with pytest.warns(AttackWarning, match=r"exactly 0 for 7 of 7 images"):
        Adaptive(attack=attack.attack, backward="exact")(defended, x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", AttackWarning)
        attack(defended, x, y)

    class Blinking(torch.nn.Module):
        """Blind to the image in about half of the draws."""

        def forward(self, x, rng):
            return torch.where(rng.uniform(x) < 0.5, x, x.detach())

    blinking = InFront(model, Blinking(), stochastic=True)
    y = predictions(blinking, x)
    with pytest.warns(AttackWarning, match=r"exactly 0 for \d of 7"):
        attack.attack(blinking, x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", AttackWarning)
        adaptive("fgsm", "linf", samples=30)(blinking, x, y)


@quiet
def test_every_draw_is_a_query():
    model, x, y = setting(torch.float64)
    defended = Noise(scale=0.05).wrap(model)
    y = predictions(defended, x)
    plain = build("bim", "linf", steps=4)(defended, x, y)
    many = adaptive("bim", "linf", samples=6, steps=4)(defended, x, y)
    # One pass before and one after; a pass forward and one backward for each draw and step.
    assert plain.queries.tolist() == [2 + 2 * 4] * 7
    assert many.queries.tolist() == [2 + 2 * 4 * 6] * 7


# Settings.


def test_threat_is_that_of_the_other_attack():
    attack = Adaptive(attack=PGD(eps=0.3, norm="l2"))
    assert attack.threat == PGD(eps=0.3, norm="l2").threat
    assert (attack.norm, attack.eps) == ("l2", 0.3)
    assert Adaptive(attack=build("deepfool", "linf")).eps is None


def test_spec_holds_the_other_attack_with_its_kind():
    attack = Adaptive(attack=PGD(eps=0.3), samples=4)
    spec = registry.spec_of(attack)
    assert spec == {
        "kind": "adaptive",
        "attack": registry.spec_of(PGD(eps=0.3)),
        "samples": 4,
        "backward": "declared",
        "passes": None,
    }
    assert registry.from_spec("attacks", spec) == attack
    assert [registry.kind_of(one) for one in registry.with_nested(attack)] == ["adaptive", "pgd"]


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        ({"kind": "adaptive", "attack": {}}, "unknown kind 'adaptive'"),
        ({"kind": "pgdd"}, "unknown kind 'pgdd'"),
        ({"kind": "pgd", "epz": 1}, "epz"),
        ({"eps": 1}, "expected a plugin of attacks"),
        (Rounding(), "expected a plugin of attacks"),
        (Adaptive(attack=FGSM(eps=0.1)), "adaptive can't be given here"),
        (None, "expected a plugin of attacks"),
    ],
)
def test_what_can_not_be_wrapped_is_refused(attack, said):
    with pytest.raises(ValueError, match=said):
        Adaptive(attack=attack)


def test_a_dictionary_is_learned_behind_maps_of_the_network():
    """Its means over draws make graphs again, within which a map asks for slopes of its own."""
    x = small_images(6)
    torch.manual_seed(0)
    first = torch.nn.Conv2d(x.shape[1], 4, 3, padding=1)
    last = torch.nn.Linear(4 * x.shape[2] * x.shape[3], 5)
    model = torch.nn.Sequential(first, torch.nn.ReLU(), torch.nn.Flatten(), last).eval()
    scada = {"kind": "scada", "atoms": 2, "iterations": 2}
    attack = registry.from_spec("attacks", {"kind": "adaptive", "samples": 2, "attack": scada})
    y = predictions(model, x)
    found = attack.fit(PixelDeflection().wrap(model).eval(), x, y, rng=0)
    assert found.arrays["atoms"].isfinite().all()
