"""What holds for every defence that is registered."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from defenses_for_tests import stands
from models_for_tests import predictions, small_images, small_network

from advsparse import registry
from advsparse.attacks.adaptive import Adaptive
from advsparse.attacks.autoattack import AutoAttack
from advsparse.attacks.pgd import PGD
from advsparse.defenses._base import Detector, Inside, Transformation
from advsparse.defenses._defended import Beside, Changed, InFront
from advsparse.evaluate.adapted import fault
from advsparse.seeding import Random

SETTINGS = {
    "averaged": {
        "parts": [
            {"kind": "pixel_deflection", "deflections": 20, "reference": 8},
            {"kind": "tvm", "iterations": 20, "dropout": 0.2},
        ],
        "draws": 3,
    },
    "chain": {
        "parts": [
            {"kind": "crop_ensemble", "draws": 2, "fraction": 0.8},
            {"kind": "denoising_dictionary", "patch": 3, "atoms": 12, "patches": 400, "passes": 2},
            {"kind": "tvm", "iterations": 20, "dropout": 0.2},
        ],
    },
    "crop_ensemble": {"draws": 3, "fraction": 0.7},
    "d3": {"patch": 4, "atoms": 60, "candidates": 300},
    "denoising_dictionary": {"patch": 3, "atoms": 12, "patches": 400, "passes": 2},
    "divergence": {"epochs": 2, "batch_size": 8, "rate": 0.2},
    "lid": {
        "attack": {"kind": "fgsm", "eps": 0.3}, "reference": 10, "neighbours": 4, "rate": 0.4,
    },
    "magnet_reformer": {
        "structure": "normalised", "filters": 12, "epochs": 30, "batch_size": 8,
        "learning_rate": 0.02, "collection": 2,
    },
    "pixel_deflection": {"deflections": 20, "reference": 8},
    "pixel_defend": {"steps": 20, "hidden": 16, "mixtures": 2, "batch_size": 8, "pixels": 16},
    "quilting": {"patches": 300, "neighbours": 3},
    "random_resizing": {"smallest": 0.7, "largest": 1.0},  # what the network can take
    "reconstruction_error": {"epochs": 2, "batch_size": 8, "rate": 0.2},
    "stl": {"filters": 6, "size": 3, "passes": 3, "gap_tolerance": 1e-3},
    "stl_cluster": {
        **{"filters": 6, "size": 3, "passes": 3, "gap_tolerance": 1e-3},
        **{"clusters": 2, "epochs": 2, "batch_size": 8},
    },
    "tvm": {"iterations": 40, "dropout": 0.2},
}  # fmt: skip
"""Small ones; the rest is as it is by default."""

PLACES = {Transformation: InFront, Inside: Changed, Detector: Beside}
each = pytest.mark.parametrize("kind", registry.kinds("defenses"))
quiet = pytest.mark.filterwarnings("ignore::advsparse.attacks._checks.AttackWarning")
ROUNDING = {"rtol": 0, "atol": 1e-5}


def defense(kind):
    return registry.load("defenses", kind)(**SETTINGS.get(kind, {}))


@pytest.fixture
def network(kind, device):
    """A network for what the defence makes of images; images, and their labels."""
    x = small_images(30)
    plain = small_network(x).eval()
    model = plain
    if reshapes(kind):
        model = small_network(defense(kind).transformation({})(x)).eval()
    return model.to(device), x.to(device), predictions(plain.cpu(), x).to(device)


def reshapes(kind):
    made = defense(kind)
    return isinstance(made, Transformation) and made.shape((3, 8, 8)) != (3, 8, 8)


def wrapped(kind, network, **options):
    model, x, y = network
    made = defense(kind)
    return made.wrap(model, made.fit(x, y, model=model, rng=4), **options)


def said(defended, x):
    """All that a defended classifier says of images."""
    with torch.no_grad():
        logits = defended(x)
        return [logits, *([defended.excess(x)] if isinstance(defended, Beside) else [])]


@each
def test_it_acts_in_one_of_the_places_and_says_where(kind, network):
    (place,) = [place for place in PLACES if isinstance(defense(kind), place)]
    defended = wrapped(kind, network)
    assert isinstance(defended, PLACES[place]) and place.place == defense(kind).place
    assert defended.stochastic == defense(kind).stochastic
    logits = defended(network[1])
    assert logits.shape == (30, 4) and logits.isfinite().all()


@each
def test_an_image_is_treated_by_itself(kind, network):
    x = network[1][:12]
    defended = wrapped(kind, network)
    together = said(defended, x)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0)).to(x.device)
    for found, moved in zip(together, said(defended, x[order]), strict=True):
        torch.testing.assert_close(moved, found[order], **ROUNDING)
    for found, *alone in zip(together, *(said(defended, one) for one in x.split(1)), strict=True):
        torch.testing.assert_close(torch.cat(alone), found, **ROUNDING)


@each
def test_nothing_of_the_callers_changes(kind, network):
    model, x, y = network
    given = [x.clone(), y.clone(), copy.deepcopy(model.state_dict())]
    state = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    made = defense(kind)
    learned = made.fit(x, y, model=model, rng=4)
    kept = {name: value.clone() for name, value in learned.items()}
    defended = made.wrap(model, learned)
    before = defended(x)
    point = x.clone().requires_grad_()
    defended(point).sum().backward()
    assert torch.equal(x, given[0]) and torch.equal(y, given[1]) and torch.equal(point, x)
    assert all(torch.equal(value, given[2][name]) for name, value in model.state_dict().items())
    assert all(torch.equal(value, learned[name]) for name, value in kept.items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(defended(x), before)
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (np.random.get_state()[1] == state[1]).all()  # noqa: NPY002
    assert random.getstate() == state[2]


@each
def test_what_is_in_front_keeps_range_and_says_its_shape(kind, network):
    made = defense(kind)
    if not isinstance(made, Transformation):
        pytest.skip("changes no image")
    edges = torch.stack([torch.zeros(3, 8, 8), torch.ones(3, 8, 8)]).to(network[1])
    x = torch.cat([network[1], edges])
    t = wrapped(kind, network).transform(x)
    assert t.shape == (len(x), *made.shape((3, 8, 8))) and t.dtype == x.dtype
    assert t.isfinite().all()
    if made.eight_bits:  # what no image file could hold may leave the range
        assert t.min() >= 0 and t.max() <= 1
    for channels in (1, 3):
        images = torch.rand(2, channels, 28, 28).to(x)
        model = torch.nn.Flatten()
        other = made.wrap(model, made.fit(images, None, model=model, rng=0))
        assert other.transform(images).shape == (2, *made.shape((channels, 28, 28)))


@each
@pytest.mark.parametrize("backward", ["declared", "exact", "identity"])
def test_gradients_are_finite_also_where_images_are_flat(kind, network, backward):
    flat = torch.full((2, 3, 8, 8), 0.5).to(network[1])
    x = torch.cat([network[1][:6], flat, 0 * flat, 2 * flat]).requires_grad_()
    defended = wrapped(kind, network).adapted(backward, 2)
    if backward == "identity" and reshapes(kind):
        with pytest.raises(ValueError, match="can't stand for that of the other"):
            defended(x)
        return
    (found,) = torch.autograd.grad(defended(x).logsumexp(1).sum(), x)
    assert found.isfinite().all()
    if backward == "declared":
        assert found[:6].flatten(1).any(1).all()
    if isinstance(defended, Beside):
        (found,) = torch.autograd.grad(defended.excess(x).sum(), x)
        assert found.isfinite().all() and found[:6].flatten(1).any(1).all()


@each
def test_random_numbers_come_from_what_it_is_given_alone(kind, network):
    x = network[1]
    one, again, other = (wrapped(kind, network, seed=seed) for seed in (1, 1, 2))
    assert all(map(torch.equal, said(one, x), said(again, x)))
    stochastic = defense(kind).stochastic
    assert torch.equal(one(x), other(x)) != stochastic
    if stochastic:
        assert torch.equal(one(x, Random(5)), other(x, Random(5)))
        assert not torch.equal(one(x, Random(5)), one(x, Random(6)))


@each
def test_what_is_learned_is_told_by_the_seed(kind, network):
    model, x, y = network
    one, again, other = (defense(kind).fit(x, y, model=model, rng=seed) for seed in (1, 1, 2))
    assert all(torch.equal(value, again[name]) for name, value in one.items())
    assert defense(kind).learns == bool(one)
    if one and kind in (
        "divergence",
        "lid",
        "magnet_reformer",
        "pixel_defend",
        "reconstruction_error",
    ):
        assert any(not torch.equal(value, other[name]) for name, value in one.items())


@each
def test_it_works_in_double_precision_and_on_what_was_learned_in_single(kind, network):
    model, x, _ = network
    double = copy.deepcopy(model).double()
    made = defense(kind)
    learned = made.fit(x, None, model=model, rng=4)
    ours = said(made.wrap(double, learned), x.double())
    for found, single in zip(ours, said(made.wrap(model, learned), x), strict=True):
        assert found.dtype == torch.float64
        if not made.stochastic:  # numbers follow the bits of images
            torch.testing.assert_close(found, single.double(), rtol=1e-3, atol=1e-3)


@quiet
@each
def test_attacks_that_adapt_find_what_it_lets_through(kind, network):
    x = network[1]
    defended = wrapped(kind, network)
    y = predictions(defended, x)
    attack = Adaptive(attack=PGD(eps=0.2, steps=8), samples=3)
    found = attack(defended, x, y)
    assert found.success.float().mean() > 0.3
    fools = predictions(defended, found.x) != y
    passes = defended.excess(found.x) <= 0 if isinstance(defended, Beside) else fools
    assert torch.equal(found.success, fools & passes)
    again = attack(defended, x, y)
    assert torch.equal(again.x, found.x)


@quiet
@each
def test_an_attack_that_adapts_is_no_worse_than_one_that_does_not(kind, network):
    x = network[1]
    plain = small_network(x.cpu()).eval().to(x.device)
    attack, defended = PGD(eps=0.2, steps=8), wrapped(kind, network)
    static = attack(plain, x, predictions(plain, x)).x
    y = predictions(defended, x)
    adaptive = Adaptive(attack=attack, samples=3)(defended, x, y).x
    assert fault(stands(defended, static, y), stands(defended, adaptive, y)) is None


@quiet
@each
def test_autoattack_takes_it_as_its_target(kind, network):
    defended = wrapped(kind, network)
    x = network[1][:6]
    y = predictions(defended, x)
    attack = AutoAttack(eps=0.2, steps=3, targets=2, queries=10)
    found = Adaptive(attack=attack, samples=2)(defended, x, y)
    assert {"randomised", "zero_gradient", "broken_by"} <= found.trace.keys()
    assert found.trace["randomised"].any() == defense(kind).stochastic
    fools = predictions(defended, found.x) != y
    passes = defended.excess(found.x) <= 0 if isinstance(defended, Beside) else fools
    assert torch.equal(found.success, fools & passes)
