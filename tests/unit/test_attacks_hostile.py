"""Models, defences and callers that attacks must get on with, or refuse in so many words."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
import torch
from models_for_tests import (
    BLIND,
    CASES,
    CLASSES,
    EPS,
    Function,
    assert_same,
    build,
    evaluated,
    in_a_norm,
    is_a,
    learned,
    measured,
    predictions,
    run,
    setting,
    small_images,
    small_network,
)

from advsparse import registry
from advsparse.attacks._asking import ask
from advsparse.attacks._base import BudgetAttack
from advsparse.attacks._checks import AttackWarning
from advsparse.attacks._confirm import fooled
from advsparse.attacks._fitting import Fit, UniversalAttack
from advsparse.attacks.adaptive import Adaptive
from advsparse.attacks.deepfool import DeepFool
from advsparse.attacks.fgsm import FGSM
from advsparse.attacks.pgd import PGD
from advsparse.attacks.uap import UAP
from advsparse.defenses._defended import InFront

EXACT = {"rtol": 0, "atol": 0}

each_attack = pytest.mark.parametrize(("kind", "norm"), CASES)
quiet = pytest.mark.filterwarnings("ignore::advsparse.attacks._checks.AttackWarning")


# Models and defences that write to their input.


def by_operator(x):
    return x.mul_(0.9).add_(0.05)


def by_data(x):
    x.data.mul_(0.9).add_(0.05)
    return x


def by_array(x):
    x.detach().numpy()[:] *= np.float32(0.9)
    x.detach().numpy()[:] += np.float32(0.05)
    return x


@quiet
@pytest.mark.parametrize("writes", [by_operator, by_data, by_array])
@in_a_norm("models_that_work_in_place_harm_nobody")
def test_models_that_work_in_place_harm_nobody(kind, norm, writes):
    network, x, y = setting(torch.float32)
    given = x.clone(), y.clone()
    model = Function(network, writes)
    target = (y + 1) % CLASSES
    results = [run(build(kind, norm), model, x, y), run(build(kind, norm), model, x, y, target)]
    assert torch.equal(x, given[0]) and torch.equal(y, given[1])
    if writes is by_operator:
        pure = Function(network, lambda x: x * 0.9 + 0.05)
        assert_same(results[0], run(build(kind, norm), pure, x, y), **EXACT)
    for result in results:
        if is_a(kind, BudgetAttack) and kind != "jsma":
            assert measured(result.x, x, norm).max() <= EPS[norm] * (1 + 1e-6)


class Buffered(torch.nn.Module):
    """A network that hands out its own memory, and writes the next logits there."""

    def __init__(self, network):
        super().__init__()
        self.network, self.last = network, None
        self.out = torch.zeros(128, CLASSES)

    def forward(self, x):
        logits = self.network(x)
        if self.last is not None:
            self.last.data.zero_()
        self.last = logits
        if torch.is_grad_enabled():
            return logits
        return self.out[: len(x)].copy_(logits)


@in_a_norm("models_that_reuse_what_they_return_harm_nobody")
def test_models_that_reuse_what_they_return_harm_nobody(kind, norm):
    network, x, y = evaluated()
    network, attack = network, build(kind, norm)
    fit = learned(kind, norm)
    if fit is not None and kind != "dict_attack":
        one, other = (attack.fit(m, x, y, memory=1) for m in (network, Buffered(network)))
        for name, values in one.arrays.items():
            torch.testing.assert_close(other.arrays[name], values, **EXACT, equal_nan=True)
    for target in (None, (y + 1) % CLASSES):
        expected = run(attack, network, x, y, target, fit=fit)
        assert_same(run(attack, Buffered(network), x, y, target, fit=fit), expected, **EXACT)


def rounded(x):
    return (x * 7).round() / 7


def rounds(x):
    return x.mul_(7).round_().div_(7)


def rounds_blindly(x):
    with torch.no_grad():
        return x.mul_(7).round_().div_(7)


@quiet
@pytest.mark.parametrize("writes", [rounds, rounds_blindly])
@pytest.mark.parametrize("backward", ["exact", "identity", "approximation"])
def test_defences_that_work_in_place_harm_nobody(backward, writes):
    network, x, y = evaluated()
    given = x.clone()
    near, nearby = backward, backward
    if backward == "approximation":
        near, nearby = (lambda x: x.mul_(2).div_(2)), (lambda x: x * 2 / 2)
    defended = InFront(network, writes, backward=near)
    pure = InFront(network, rounded, backward=nearby)
    assert torch.equal(defended(x), pure(x)) and torch.equal(x, given)
    wanted = x.clone().requires_grad_()
    assert torch.equal(defended(wanted), pure(wanted)) and torch.equal(wanted, given)
    y = predictions(pure, x)
    attack = Adaptive(attack=PGD(eps=0.1, steps=4))
    result = attack(defended, x, y)
    assert torch.equal(x, given)
    assert measured(result.x, x, "linf").max() <= 0.1 * (1 + 1e-6)
    if writes is rounds:
        assert_same(result, attack(pure, x, y), **EXACT)


@pytest.mark.parametrize("backward", ["exact", "identity"])
def test_what_a_defence_keeps_is_not_overwritten(backward):
    network, x, y = evaluated()
    network, kept = network, {}

    def remembered(x):
        key = x.detach().numpy().tobytes()
        if key not in kept:
            kept[key] = rounded(x.detach())
        return kept[key]

    attack = Adaptive(attack=PGD(eps=0.1, steps=4))
    defended = InFront(Function(network, by_operator), remembered, backward=backward)
    pure = InFront(Function(network, lambda x: x * 0.9 + 0.05), rounded, backward=backward)
    assert torch.equal(defended(x), pure(x)) and torch.equal(defended(x), pure(x))
    if backward == "identity":
        assert_same(attack(defended, x, y), attack(pure, x, y), **EXACT)


def test_objectives_that_work_in_place_harm_nobody():
    network, x, _ = evaluated()
    given = x.clone()
    for writes in (by_operator, by_data):
        FGSM(eps=0.1).maximise(network, lambda x, writes=writes: writes(x).flatten(1).sum(1), x)
        assert torch.equal(x, given)


# Logits that name no class.


def standardised(x):
    flat = x.flatten(1)
    centred = flat - flat.mean(1, keepdim=True)
    return (centred / flat.std(1, keepdim=True)).reshape(x.shape)


@each_attack
def test_images_without_logits_are_counted_and_not_fooled(kind, norm):
    fit = learned(kind, norm)
    x = small_images(7)
    x[[2, 5]] = 0  # of which nothing is left: 0 / 0
    network = small_network(standardised(small_images(7)))
    model = Function(network, standardised)
    y = predictions(model, x)
    with pytest.warns(AttackWarning, match=r"NaN or \+infinity for 2 of 7 images"):
        result = run(build(kind, norm), model, x, y, fit=fit, memory=1)
    assert "2 of 7" in result.warnings[0]
    assert not result.success[[2, 5]].any() and torch.equal(result.x[[2, 5]], x[[2, 5]])
    others = torch.tensor([0, 1, 3, 4, 6])
    same = run(build(kind, norm), model, x[others], y[others], fit=fit, memory=1)
    assert torch.equal(same.x, result.x[others]) and torch.equal(
        same.success, result.success[others]
    )
    assert result.x.isfinite().all()


LEARNERS = [
    ("scada", "l2", {}),
    ("scada", "l2", {"scheme": "stochastic", "batch_size": 3}),
    ("scada", "l2", {"project_start": False}),
    ("targeted_uap", "l2", {}),
    ("targeted_uap", "linf", {"target_class": "all"}),
    ("uap", "l2", {}),
    ("uap", "linf", {"inner": "fgsm"}),
    ("uap", "linf", {"inner": "pgd"}),
]
"""All that learn by looking at images."""

each_learner = pytest.mark.parametrize(("kind", "norm", "options"), LEARNERS)


def assert_finite(fit):
    for name in ("perturbation", "atoms", "codes"):
        assert fit.arrays.get(name, torch.zeros(1)).isfinite().all()
    # Where the first dictionary is infeasible its loss is infinite.
    assert fit.arrays.get("loss", torch.zeros(2))[1:].isfinite().all()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@each_learner
@pytest.mark.filterwarnings("ignore:.*exactly 0", "ignore:.*learning led")
def test_learning_from_images_without_logits_is_warned_of(kind, norm, options, value):
    network, x, y = evaluated()
    x = x.clone()
    x[4] = 0

    def model_of(x):
        dark = x.flatten(1).amax(1) < 0.2
        return torch.where(dark[:, None], value, network(x))

    attack = build(kind, norm, **options)
    with pytest.warns(AttackWarning, match=r"NaN or \+infinity for 1 of 7 images"):
        fit = attack.fit(Function(before=model_of), x, y)
    assert "1 of 7" in "".join(fit.warnings)
    assert_finite(fit)
    if kind == "scada":
        codes = fit.arrays["codes"]
        assert codes.any() and not codes[4].any() and fit.arrays["loss"].diff().lt(0).any()


@pytest.mark.parametrize("options", [{}, {"scheme": "stochastic"}])
def test_scada_learns_from_images_with_logits_alone(options):
    network, x, y = setting(torch.float32)
    attack = build("scada", "l2", **options)
    with pytest.raises(ValueError, match=r"NaN or \+infinity for all of 7 images"):
        attack.fit(Function(network, after=lambda z: z * torch.nan), x, y)


@quiet
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@each_learner
def test_what_is_led_astray_while_learning_is_warned_of(kind, norm, options, value):
    network, x, y = evaluated()
    clean = {image.numpy().tobytes() for image in x}

    def broken(x):
        """What is not a clean image has no logits."""
        new = torch.tensor([image.numpy().tobytes() not in clean for image in x.detach()])
        return torch.where(new[:, None] & (torch.arange(CLASSES) > 0), value, network(x))

    fit = build(kind, norm, **options).fit(Function(before=broken).eval(), x, y)
    assert re.search(r"learning led [1-7] of 7 images", "".join(fit.warnings))
    assert_finite(fit)


def test_learning_that_diverges_holds_nothing_infinite():
    model, x, y = setting(torch.float32)
    diverging = {"scheme": "stochastic", "initial_step": 1e30, "lambda1": 0.0}
    for attack in (build("scada", "l2", **diverging), build("scada", "l2", **diverging, atoms=1)):
        assert_finite(attack.fit(model, x, y))


@pytest.mark.filterwarnings(
    "error::advsparse.attacks._checks.AttackWarning", "ignore:.*differ by less than 0.5"
)
@each_learner
def test_learning_judges_all_images(kind, norm, options):
    """The first one's logits alone say little of the others'."""
    network, x, y = evaluated()
    image = x[0]

    def odd(x):
        logits = network(x)
        hit = (x.detach() == image).flatten(1).all(1)[:, None]
        return torch.where(hit, logits.softmax(1), logits)

    build(kind, norm, **options).fit(Function(before=odd).eval(), x, y)


@quiet
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("share", [0.0, 0.5])
@each_attack
def test_perturbed_images_without_logits_are_not_fooled(kind, norm, value, share):
    network, x, y = evaluated()
    clean = {image.numpy().tobytes() for image in x}

    def broken(x):
        """What is not a clean image has no logits, or has none of the last class."""
        logits = network(x)
        new = torch.tensor([image.numpy().tobytes() not in clean for image in x.detach()])
        far = new & (x.detach().flatten(1)[:, 0] * 1e4 % 1 >= share)
        return torch.where(far[:, None] & (torch.arange(CLASSES) == CLASSES - 1), value, logits)

    result = run(build(kind, norm), Function(before=broken).eval(), x, y)
    with torch.no_grad():
        logits = broken(result.x)
    names = logits.amax(1).isfinite()
    assert result.x.isfinite().all() and not result.distance.isnan().any()
    assert not result.success[~names].any()
    assert torch.equal(result.success, (logits.argmax(1) != y) & names)


def test_what_names_no_class_fools_nobody():
    nan, inf = torch.nan, torch.inf
    logits = torch.tensor([[nan, 1, 0], [0, inf, 1], [-inf, 1, 0], [-inf, -inf, 2], 3 * [-inf]])
    zero, one = torch.zeros(5, dtype=torch.int64), torch.ones(5, dtype=torch.int64)
    assert fooled(logits, zero, None).tolist() == [False, False, True, True, False]
    assert fooled(logits, zero, one).tolist() == [False, False, True, False, False]


@each_attack
def test_masked_classes_are_no_obstacle(kind, norm):
    network, x, _ = setting(torch.float32)
    masked = torch.arange(CLASSES + 2) >= CLASSES

    def after(value):
        def fill(logits):
            wider = torch.nn.functional.pad(logits, (0, 2))
            return wider.masked_fill(masked, value)

        return Function(network, after=fill)

    y = predictions(network, x)
    fit = learned(kind, norm)
    with warnings.catch_warnings():
        warnings.simplefilter("error", AttackWarning)
        result = run(build(kind, norm), after(-torch.inf), x, y, fit=fit)
    assert result.x.isfinite().all()
    assert torch.equal(result.success, predictions(network, result.x) != y)
    # As many as of classes that are only out of reach.
    finite = run(build(kind, norm), after(-1e4), x, y, fit=fit)
    assert result.success.sum() >= finite.success.sum()


@quiet
@pytest.mark.parametrize("loss", ["dlr", "targeted_dlr"])
@pytest.mark.parametrize("left", [1, 2, 3, 4])
def test_dlr_is_of_the_classes_in_question(loss, left):
    network, x, _ = setting(torch.float32)
    masked = torch.arange(CLASSES) >= left

    def with_mask(value):
        return Function(network, after=lambda logits: logits.masked_fill(masked, value))

    y = predictions(with_mask(-torch.inf), x)
    attack = build("apgd", "linf", loss=loss, steps=20)
    goal = None if loss == "dlr" else torch.where(y == 0, min(1, left - 1), 0)
    for target in (None, goal):
        found = run(attack, with_mask(-torch.inf), x, y, target)
        finite = run(attack, with_mask(-1e4), x, y, target)
        assert found.success.sum() >= finite.success.sum()
        assert left == 1 or found.success.all()


@pytest.mark.parametrize("settings", [{"shorten": True}, {"coding": "unsupervised"}])
def test_scada_shortens_and_draws_beside_masked_classes(settings):
    network, x, y = setting(torch.float32)
    fit = learned("scada", "l2")

    def with_mask(value):
        return Function(network, after=lambda z: torch.nn.functional.pad(z, (0, 1), value=value))

    attack = build("scada", "l2", **settings)
    masked, finite = (run(attack, with_mask(v), x, y, fit=fit) for v in (-torch.inf, -20.0))
    assert_same(masked, finite, rtol=0, atol=1e-3)


@quiet
@each_attack
def test_gradients_that_are_not_finite_are_warned_of(kind, norm):
    network, x, y = setting(torch.float32)
    fit = learned(kind, norm)
    # The derivative of a square root at 0 is infinite, and 0 times that is NaN.
    model = Function(network, lambda x: x + 0 * (x - x.detach()).abs().sqrt())
    result = run(build(kind, norm), model, x, y, fit=fit)
    assert result.x.isfinite().all()
    differentiates = kind not in BLIND and (kind == "scada" or not is_a(kind, UniversalAttack))
    assert ("NaN or infinite for 6 of 6" in "".join(result.warnings)) == differentiates


# Precision.


@quiet
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
@in_a_norm("logits_may_have_any_precision")
def test_logits_may_have_any_precision(kind, norm, dtype):
    network, x, _ = setting(torch.float32)
    model = Function(network, after=lambda logits: logits.to(dtype))
    y = predictions(model, x)
    target = (y + 1) % CLASSES
    fit = learned(kind, norm)
    for aim in (None, target):
        result = run(build(kind, norm), model, x, y, aim, fit=fit)
        assert result.x.dtype == x.dtype
        found = predictions(model, result.x)
        assert torch.equal(result.success, found != y if aim is None else found == target)
        if dtype == torch.float64:
            plain = run(build(kind, norm), network, x, y, aim, fit=fit)
            assert_same(result, plain, **EXACT)
    if fit is not None and kind != "dict_attack":
        arrays = build(kind, norm).fit(model, x, y).arrays
        assert arrays.get("perturbation", x).dtype == arrays.get("atoms", x).dtype == x.dtype


@quiet
@in_a_norm("models_may_compute_in_another_precision")
def test_models_may_compute_in_another_precision(kind, norm):
    network, x, y = setting(torch.float64)
    model = Function(network, before=torch.Tensor.double)
    single = x.float()
    y = predictions(model, single)
    result = run(build(kind, norm), model, single, y)
    assert result.x.dtype == torch.float32
    assert torch.equal(result.success, predictions(model, result.x) != y)


def test_rounding_logits_changes_no_prediction():
    rows = [[1, 1 + 1e-12, 0], [1 + 1e-12, 1, 1 + 2e-12], [-torch.inf, 2, 2 + 4e-15]]
    close = torch.tensor(rows, dtype=torch.float64)
    x = torch.zeros(3, 1, 1, 1)
    logits = ask(Function(before=lambda x: close + 0 * x.flatten(1)), x.requires_grad_())
    assert logits.dtype == torch.float32
    assert torch.equal(logits.argmax(1), close.argmax(1))
    torch.testing.assert_close(logits.double(), close, rtol=2e-7, atol=0)
    (gradient,) = torch.autograd.grad(logits[:2].sum(), x)
    assert gradient.isfinite().all()


@quiet
@in_a_norm("autocast_is_the_models_and_not_the_attacks")
def test_autocast_is_the_models_and_not_the_attacks(kind, norm):
    network, x, _ = evaluated()
    cast = Function(before=torch.autocast("cpu", torch.bfloat16)(lambda x: network(x)))
    y = predictions(cast, x)
    expected = run(build(kind, norm), cast, x, y)
    with torch.autocast("cpu", torch.bfloat16):
        result = run(build(kind, norm), network, x, y)
    assert_same(result, expected, **EXACT)


# Inference mode.


@in_a_norm("inference_mode_makes_no_difference")
def test_inference_mode_makes_no_difference(kind, norm):
    model, x, y = setting(torch.float32)
    target = (y + 1) % CLASSES
    # What the others learn they learn in inference mode too.
    fit = learned(kind, norm) if kind == "dict_attack" else None
    for aim in (None, target):
        expected = run(build(kind, norm), model, x, y, aim, fit=fit)
        with torch.inference_mode():
            given = [None if one is None else one.clone() for one in (x, y, aim)]
            within = run(build(kind, norm), model, x, y, aim, fit=fit)
        assert all(one is None or one.is_inference() for one in given)
        assert_same(within, expected, **EXACT)
        assert_same(run(build(kind, norm), model, *given, fit=fit), expected, **EXACT)


def test_what_was_learned_may_come_from_inference_mode():
    model, x, y = setting(torch.float32)
    for kind in ("scada", "uap", "targeted_uap", "dict_attack"):
        fit = learned(kind, "l2")
        with torch.inference_mode():
            copied = Fit({name: values.clone() for name, values in fit.arrays.items()})
        attack = build(kind, "l2")
        expected = attack(model, x, y, fit=fit)
        assert_same(attack(model, x, y, fit=copied), expected, **EXACT)


def test_maximise_in_inference_mode():
    model, x, _ = setting(torch.float32)
    attack = PGD(eps=0.1, steps=3)

    def objective(x):
        return model(x).square().sum(1)

    expected = attack.maximise(model, objective, x)
    with torch.inference_mode():
        assert torch.equal(attack.maximise(model, objective, x.clone()), expected)


def test_models_made_in_inference_mode_are_refused():
    x = small_images(4)
    with torch.inference_mode():
        model = small_network(x)
        y = predictions(model, x)
    with pytest.raises(ValueError, match=r"^model: its weights were made in torch.inference_mode"):
        run(build("fgsm", "linf"), model, x, y)


def test_what_is_kept_from_inference_mode_is_told():
    network, x, y = setting(torch.float32)
    with torch.inference_mode():
        scale = torch.full((1, 3, 1, 1), 0.9)
    said = r"^model: it, or its defence, holds a tensor made in torch.inference_mode"
    for model in (Function(network, lambda x: x * scale), InFront(network, lambda x: x * scale)):
        for kind, norm in (("fgsm", "linf"), ("scada", "l2"), ("adaptive", "l2")):
            with pytest.raises(ValueError, match=said):
                run(build(kind, norm), model, x, y, fit=learned(kind, norm))
        run(build("noise", "linf"), model, x, y)


# Scales.


@pytest.mark.filterwarnings("error::advsparse.attacks._checks.AttackWarning")
@pytest.mark.parametrize(
    ("kind", "factor"),
    [
        *(("cw", 1e-4), ("cw", 1e4), ("cw_linf", 1e-2), ("cw_linf", 1e5), ("cw_l0", 1e-4)),
        *(("lbfgs", 0.05), ("lbfgs", 1e6), ("scada", 1.0), ("scada", 30.0)),
    ],
)
def test_attacks_that_weigh_logits_work_where_they_are_silent(kind, factor):
    network, x, y = setting(torch.float32)
    settings = {} if kind == "lbfgs" else {"iterations": 100}
    attack = registry.load("attacks", kind)(**settings)
    model = Function(network, after=lambda logits: factor * logits)
    assert run(attack, model, x, y).success.all()


@pytest.mark.parametrize("scheme", ["joint", "stochastic"])
def test_a_dead_start_is_told_in_one_sentence(scheme):
    model, x, y = setting(torch.float32)
    attack = build("scada", "l2", lambda1=1e3, scheme=scheme)
    with pytest.warns(AttackWarning, match=r"every code stayed 0, .* lambda1 = 1000 ") as seen:
        fit = attack.fit(model, x, y)
    assert len(seen) == len(fit.warnings) == 1 and fit.arrays["dead_start"]
    assert not attack(model, x, y, fit=fit).warnings


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("exponent", [-93, -73, -60, 60, 66, 100])
def test_deepfool_feels_no_scale_of_the_logits(exponent, norm, lenet):
    # A power of two rounds nothing: other factors turn the sign of slopes that are next to 0, and
    # which ones differs from one processor to the next.
    factor = 2.0**exponent
    model = Function(lenet.model.eval(), after=lambda logits: factor * logits)
    x, y = lenet.x[:8], lenet.y[:8]
    for target in (None, (y + 1) % 10):
        plain = DeepFool(norm=norm)(lenet.model, x, y, target)
        scaled = DeepFool(norm=norm)(model, x, y, target)
        assert plain.success.sum() >= 6 and torch.equal(scaled.success, plain.success)
        torch.testing.assert_close(scaled.distance, plain.distance, rtol=1e-6, atol=0)
    attack = UAP(norm=norm, eps={"l2": 2.0, "linf": 0.1}[norm], passes=1)
    one, other = (attack.fit(m, x, y).arrays["perturbation"] for m in (lenet.model, model))
    assert one.any()
    torch.testing.assert_close(other, one, rtol=0, atol=1e-3)


SILENT = {
    "cw": [1e-22, 1e-7, 1e20],
    "lbfgs": [1e-22, 1e-5, 1e20],
    "scada": [1e-22, 1e-3, 1e5, 1e20],
}
"""Factors of the logits at which an attack that weighs them against lengths finds little."""


@pytest.mark.filterwarnings("ignore:.*every code stayed 0")
@pytest.mark.parametrize(("kind", "factor"), [(k, f) for k, fs in SILENT.items() for f in fs])
def test_attacks_that_weigh_logits_against_lengths_say_so(kind, factor):
    network, x, y = setting(torch.float32)
    fit = learned(kind, "l2")
    model = Function(network, after=lambda logits: factor * logits)
    with pytest.warns(AttackWarning, match="logits of 7 of 7 images .* scale"):
        run(build(kind, "l2"), model, x, y, fit=fit)
    if fit is not None:
        with pytest.warns(AttackWarning, match="logits of 7 of 7 images .* scale"):
            build(kind, "l2").fit(model, x, y)
