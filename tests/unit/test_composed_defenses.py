"""Transformations made of others, against their composition by hand and autograd."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

import pytest
import torch
from models_for_tests import predictions, small_images, small_network
from pydantic import TypeAdapter, ValidationError

from advsparse import registry
from advsparse.attacks.adaptive import Adaptive
from advsparse.attacks.pgd import PGD
from advsparse.defenses.averaged import Averaged
from advsparse.defenses.bit_depth import BitDepth
from advsparse.defenses.chain import Chain
from advsparse.defenses.crop_ensemble import CropEnsemble
from advsparse.defenses.denoising_dictionary import DenoisingDictionary
from advsparse.defenses.jpeg import JPEG
from advsparse.defenses.mean_filter import MeanFilter
from advsparse.defenses.median_filter import MedianFilter
from advsparse.defenses.pixel_deflection import PixelDeflection
from advsparse.defenses.quilting import Quilting
from advsparse.defenses.random_resizing import RandomResizing
from advsparse.defenses.sap import SAP
from advsparse.defenses.tvm import TVM
from advsparse.registry import Plugin
from advsparse.seeding import Random

CROP_ENS = {
    "kind": "averaged",
    "draws": 30,
    "parts": [
        {"kind": "chain", "parts": [{"kind": "crop_ensemble"}, {"kind": "tvm"}]},
        {"kind": "chain", "parts": [{"kind": "crop_ensemble"}, {"kind": "quilting"}]},
    ],
}
PD_ENS = {"kind": "averaged", "draws": 10, "parts": [{"kind": "pixel_deflection"}]}


@pytest.fixture(scope="module")
def network():
    return small_network(small_images(30).double()).eval()


def gradient(function, x, weights):
    x = x.detach().requires_grad_()
    (found,) = torch.autograd.grad((weights * function(x)).sum(), x)
    return found


def weights_like(x):
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(3)).to(x)


def test_a_chain_applies_its_parts_in_order_with_numbers_of_their_own():
    x = small_images(5)
    crop, tvm = CropEnsemble(fraction=0.7), TVM(iterations=20)
    numbers = Random(7).of(x)
    between = crop.transformation({})(x, numbers.part("part", 0))
    expected = tvm.transformation({})(between, numbers.part("part", 1))
    assert torch.equal(Chain(parts=[crop, tvm]).transformation({})(x, Random(7)), expected)
    other = Chain(parts=[tvm, crop]).transformation({})(x, Random(7))
    assert not torch.allclose(other, expected, atol=1e-3)
    # The same part twice draws twice.
    twice = Chain(parts=[crop, crop]).transformation({})(x, Random(7))
    assert torch.equal(twice, crop.transformation({})(between, numbers.part("part", 1)))
    assert not torch.equal(twice, crop.transformation({})(between, numbers.part("part", 0)))


def test_a_chain_has_the_derivative_that_autograd_finds(network):
    x = small_images(4).double()
    learned_by = DenoisingDictionary(patch=3, atoms=12, patches=400, passes=2)
    parts = [MeanFilter(), MedianFilter(), learned_by, RandomResizing(smallest=0.8, largest=1.0)]
    chain = Chain(parts=parts)
    learned = chain.fit(x, None, rng=0)
    defended = chain.wrap(network, learned).adapted("declared", 1)
    rng = Random(5)

    def by_hand(z):
        numbers = rng.of(x)
        own = {name.removeprefix("2."): value for name, value in learned.items()}
        for i, part in enumerate(parts):
            t = part.transformation(own if part.learns else {})
            z = t(z, numbers.part("part", i)) if part.stochastic else t(z)
        return z

    v = weights_like(by_hand(x))
    torch.testing.assert_close(
        gradient(lambda z: defended.transform(z, rng.of(x)), x, v), gradient(by_hand, x, v)
    )
    smooth = Chain(parts=[MeanFilter(), MeanFilter(size=5)]).wrap(network).adapted("declared", 1)
    assert torch.autograd.gradcheck(smooth.transform, x[:1].requires_grad_())


def test_each_derivative_is_taken_at_what_its_part_is_given(network):
    """Behind a part that the identity stands for, the next one's is taken at that part's result."""
    x = small_images(6).double()
    median, coarse = MedianFilter(), BitDepth(bits=1)
    defended = Chain(parts=[coarse, median]).wrap(network).adapted("declared", 1)
    t = median.transformation({})
    at = coarse.transformation({})(x)
    v = weights_like(x)
    expected = gradient(t, at, v)
    found = gradient(defended.transform, x, v)
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, gradient(t, x, v))  # as if the first were not there
    # The other way round, the identity passes on what the part before it is then asked for.
    defended = Chain(parts=[median, JPEG(), coarse]).wrap(network).adapted("declared", 1)
    torch.testing.assert_close(gradient(defended.transform, x, v), gradient(t, x, v))


def test_a_part_with_an_approximation_has_its_derivative(network, monkeypatch):
    monkeypatch.setattr(JPEG, "backward", "approximation")
    monkeypatch.setattr(JPEG, "approximation", lambda self, learned: torch.sin)
    x = small_images(4).double()
    mean, v = MeanFilter().transformation({}), weights_like(x)
    defended = Chain(parts=[MeanFilter(), JPEG(), MeanFilter()]).wrap(network)
    found = gradient(defended.adapted("declared", 1).transform, x, v)
    torch.testing.assert_close(found, gradient(lambda z: mean(mean(z).sin()), x, v))
    plain = mean(JPEG().transformation({})(mean(x)))
    assert torch.equal(defended.transform(x), plain)
    # Nothing of the codec's own derivative is left, and all of the identity's.
    assert not gradient(defended.adapted("exact", 1).transform, x, v).any()
    assert torch.equal(gradient(defended.adapted("identity", 1).transform, x, v), v)


def test_parts_say_what_the_whole_declares():
    deterministic = Chain(parts=[MeanFilter(), JPEG()])
    assert not (deterministic.stochastic or deterministic.learns or deterministic.asks_network)
    assert deterministic.eight_bits and deterministic.ensemble == 1
    chain = Chain(parts=[CropEnsemble(draws=7), Quilting(patches=30), PixelDeflection()])
    assert chain.stochastic and chain.learns and chain.asks_network and chain.ensemble == 7
    assert chain.moves and not deterministic.moves
    assert not Chain(parts=[JPEG(), DenoisingDictionary()]).eight_bits
    assert not Chain.learns and not Chain.stochastic and Averaged.stochastic
    assert Averaged(parts=[JPEG(), TVM()], draws=4).ensemble == 4
    sized = Chain(parts=[RandomResizing(), RandomResizing()])
    assert sized.shape((3, 32, 32)) == (3, 39, 39)


def test_each_part_learns_from_the_images_as_they_are():
    x = small_images(6)
    quilting = Quilting(patches=40)
    chain = Chain(parts=[BitDepth(bits=1), quilting, quilting])
    learned = chain.fit(x, None, rng=3)
    assert set(learned) == {"1.patches", "2.patches"}
    assert not torch.equal(learned["1.patches"], learned["2.patches"])
    assert learned["1.patches"].unique().numel() > 2
    alone = quilting.fit(x, None, rng=Random(3).part("part", 1))
    assert torch.equal(alone["patches"], learned["1.patches"])


def test_the_mean_is_that_of_probabilities_over_draws(network):
    x = small_images(5).double()
    tvm = TVM(iterations=20)
    defended = Averaged(parts=[tvm], draws=3).wrap(network)
    rng = Random(2)
    t = tvm.transformation({})
    draws = [rng.part("ensemble", i).part("part", 0) for i in range(3)]
    expected = sum(network(t(x, numbers)).softmax(1) for numbers in draws) / 3
    torch.testing.assert_close(defended(x, rng).exp(), expected)


def test_each_draw_is_of_one_part_and_all_are_as_probable(network):
    x = torch.rand(3000, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    parts = [BitDepth(bits=1), MeanFilter(), MedianFilter()]
    found = Averaged(parts=parts).transformation({})(x, Random(0))
    each = torch.stack([part.transformation({})(x) for part in parts])
    same = ((found - each).abs() < 1e-6).flatten(2).all(2)
    assert (same.sum(0) == 1).all()
    counts = same.sum(1).double()
    assert ((counts - 1000).square() / 1000).sum() < 18  # 2 degrees of freedom
    # Of many draws the mean is that over the parts.
    x = small_images(4).double()
    defended = Averaged(parts=parts, draws=900).wrap(network)
    expected = torch.stack([network(part.transformation({})(x)).softmax(1) for part in parts])
    error = defended(x).exp() - expected.mean(0)
    assert (error.abs() <= 5 * expected.std(0, correction=0) / math.sqrt(900) + 1e-9).all()


def test_a_draw_has_the_derivative_of_the_part_that_is_drawn(network):
    x = small_images(12).double()
    defended = Averaged(parts=[BitDepth(bits=2), MedianFilter()]).wrap(network)
    defended = defended.adapted("declared", 1)
    v = weights_like(x)
    t = defended.transform(x, Random(0))
    coarse = (t == BitDepth(bits=2).transformation({})(x)).flatten(1).all(1)
    assert 0 < coarse.sum() < 12
    found = gradient(lambda z: defended.transform(z, Random(0).of(x)), x, v)
    torch.testing.assert_close(found[coarse], v[coarse])
    expected = gradient(MedianFilter().transformation({}), x, v)
    torch.testing.assert_close(found[~coarse], expected[~coarse])


@pytest.mark.parametrize("spec", [CROP_ENS, PD_ENS])
def test_published_ensembles_can_be_configured(spec):
    made = TypeAdapter(Annotated[Any, Plugin("defenses")]).validate_json(json.dumps(spec))
    assert made == registry.from_spec("defenses", spec)
    assert registry.from_spec("defenses", registry.spec_of(made)) == made
    assert made.ensemble == spec["draws"]
    kinds = [registry.kind_of(one) for one in registry.with_nested(made)]
    assert kinds.count("crop_ensemble") == (2 if spec is CROP_ENS else 0)
    x = small_images(8)
    model = small_network(x).eval()
    smaller = registry.from_spec("defenses", spec | {"draws": 3})
    defended = smaller.wrap(model, smaller.fit(x, None, model=model, rng=0))
    y = predictions(defended, x)
    found = Adaptive(attack=PGD(eps=0.3, steps=6), samples=3)(defended, x, y)
    assert found.success.any()


def test_a_map_of_a_chains_part_is_that_of_the_network():
    x = small_images(6)
    model = small_network(x).eval()
    deflecting = PixelDeflection(deflections=40, reference=8, sigma=0.0)
    chain = Chain(parts=[MeanFilter(), deflecting, BitDepth(bits=2)])
    z = MeanFilter().transformation({})(x)
    t = deflecting.for_network({}, model)(z, Random(1).of(x).part("part", 1))
    expected = BitDepth(bits=2).transformation({})(t)
    assert torch.equal(chain.wrap(model).transform(x, Random(1)), expected)
    # Also where a derivative is asked for.
    defended = chain.wrap(model).adapted("declared", 1)
    assert torch.equal(defended.transform(x.clone().requires_grad_(), Random(1)), expected)


def test_what_makes_no_whole_is_refused():
    with pytest.raises(ValidationError, match="sap acts in the network, and transforms no images"):
        Chain(parts=[JPEG(), SAP()])
    with pytest.raises(ValidationError, match="at least 1"):
        Chain(parts=[])
    for nested in (Chain(parts=[JPEG()]), Averaged(parts=[TVM()])):
        with pytest.raises(ValidationError, match="can't be given here"):
            Chain(parts=[nested])
    with pytest.raises(ValidationError, match="draws of one that draws nothing are all the same"):
        Averaged(parts=[JPEG()])
    both = Averaged(parts=[TVM(), RandomResizing()])
    with pytest.raises(ValueError, match="images of several shapes, 3 x 32 x 32, 3 x 35 x 35"):
        both.shape((3, 32, 32))


def test_numbers_of_some_images_are_those_that_they_have_among_all():
    x = small_images(6)
    rows = torch.tensor([4, 0, 5])
    for rng in (Random(3), Random(3).of(x + 1)):
        expected = rng.part("a").normal_like(x)[rows]
        assert torch.equal(rng.part("a").only(x, rows).normal_like(x[rows]), expected)
        assert torch.equal(rng.only(x, rows).part("a").normal_like(x[rows]), expected)
