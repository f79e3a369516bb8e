"""MagNet against its definitions: autoencoders, the reformer, the divergence, and all together."""

from __future__ import annotations

import pytest
import torch
from models_for_tests import predictions, small_images, small_network
from scipy.spatial.distance import jensenshannon

from advsparse.attacks.adaptive import Adaptive
from advsparse.attacks.pgd import PGD
from advsparse.defenses._autoencoder import packed_loss
from advsparse.defenses._defended import Beside, InFront, network_of
from advsparse.defenses.divergence import Divergence, jensen_shannon
from advsparse.defenses.jpeg import JPEG
from advsparse.defenses.magnet_reformer import MagnetReformer
from advsparse.defenses.reconstruction_error import ReconstructionError
from advsparse.seeding import Random

X = small_images(40)
SMALL = {"epochs": 2, "batch_size": 8}


@pytest.fixture(scope="module")
def network():
    return small_network(X).eval()


def smooth(count, size=16):
    """Images of few waves, which an autoencoder can learn."""
    generator = torch.Generator().manual_seed(3)
    at = torch.linspace(0, 3, size)
    phase = 6 * torch.rand((count, 3, 2, 1), generator=generator)
    rows, columns = (torch.sin(at + phase[:, :, i]) for i in range(2))
    return 0.5 + 0.4 * rows[..., :, None] * columns[..., None, :]


# The divergence.


@pytest.mark.parametrize("temperature", [1, 10, 40])
def test_the_divergence_is_that_of_scipy(temperature):
    generator = torch.Generator().manual_seed(0)
    one, other = 20 * torch.randn((2, 50, 10), generator=generator).double() / temperature
    ours = jensen_shannon(one, other)
    theirs = jensenshannon(one.softmax(1).numpy(), other.softmax(1).numpy(), axis=1) ** 2
    torch.testing.assert_close(ours, torch.from_numpy(theirs), rtol=1e-6, atol=0)
    assert torch.equal(ours, jensen_shannon(other, one))


def test_divergences_end_at_the_logarithm_of_two_and_begin_at_zero():
    far = torch.tensor([[2000.0, 0.0, -2000.0]]).requires_grad_()
    found = jensen_shannon(far, far.flip(1))
    assert found.item() == pytest.approx(0.6931471805599453, rel=1e-12)
    same = jensen_shannon(far, far.detach())
    assert same.item() == 0
    for value in (found, same):
        (gradient,) = torch.autograd.grad(value.sum(), far)
        assert gradient.isfinite().all()


def test_single_precision_is_enough_for_high_temperatures():
    one = torch.randn((50, 10), generator=torch.Generator().manual_seed(0))
    other = one + 1e-2 * torch.randn((50, 10), generator=torch.Generator().manual_seed(1))
    exact = jensen_shannon(one.double() / 40, other.double() / 40)
    assert exact.max() < 1e-6
    torch.testing.assert_close(jensen_shannon(one / 40, other / 40), exact, rtol=1e-3, atol=1e-12)


def test_an_autoencoder_that_changes_nothing_is_no_defence(network, monkeypatch):
    monkeypatch.setattr(
        "advsparse.defenses._autoencoder.Autoencoding._restored", lambda *_: [lambda x: x]
    )
    score = Divergence().score({}, network)
    assert not score(X).any()
    reformed = MagnetReformer().wrap(network, {})
    assert torch.equal(reformed(X), network(X))


def test_a_score_is_the_divergence_of_what_the_network_says_at_each_image(network):
    detector = Divergence(temperature=4.0, **SMALL)
    learned = detector.fit(X, None, model=network, rng=1)
    (autoencoder,) = detector._restored(learned)
    ours = detector.score(learned, network)(X)
    with torch.no_grad():
        said = [network(part).div(4).softmax(1) for part in (X, autoencoder(X))]
    theirs = jensenshannon(said[0].double().numpy(), said[1].double().numpy(), axis=1) ** 2
    torch.testing.assert_close(ours.double(), torch.from_numpy(theirs), rtol=1e-4, atol=1e-7)
    assert ours.dtype == X.dtype
    with pytest.raises(ValueError, match="was given none"):
        detector.fit(X, None)
    with pytest.raises(ValueError, match="two images or more to learn from, got 1"):
        detector.fit(X[:1], None, model=network)


@pytest.mark.parametrize(("count", "rate", "above"), [(400, 0.1, 4), (300, 0.01, 0)])
def test_as_many_held_out_images_are_refused_as_the_rate_says(network, count, rate, above):
    x = torch.rand((count, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    for kind in (Divergence, ReconstructionError):
        detector = kind(rate=rate, epochs=1)
        learned = detector.fit(x, None, model=network, rng=1)
        beside = detector.wrap(network, learned)
        assert int((beside.excess(x[-(count // 10) :]) > 0).sum()) == above


# Autoencoders.


@pytest.mark.parametrize("structure", ["plain", "pooled", "normalised"])
@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 2)])
@pytest.mark.parametrize("channels", [1, 3])
def test_each_structure_gives_images_of_any_size_back(structure, size, channels):
    x = torch.rand((12, channels, *size), generator=torch.Generator().manual_seed(0))
    reformer = MagnetReformer(structure=structure, **SMALL)
    t = reformer.transformation(reformer.fit(x, None, rng=1))
    found = t(x)
    assert found.shape == x.shape and found.min() >= 0 and found.max() <= 1
    torch.testing.assert_close(torch.cat([t(one) for one in x.split(1)]), found)


def test_structures_have_the_weights_of_the_papers():
    def weights(**settings):
        learned = MagnetReformer(epochs=1, **settings).fit(torch.rand(2, 1, 8, 8), None)
        return [tuple(value.shape) for name, value in learned.items() if name.endswith("weight")]

    inner = (3, 3, 3, 3)
    assert weights() == [(3, 1, 3, 3), inner, (1, 3, 3, 3)]
    assert weights(structure="pooled") == [(3, 1, 3, 3), inner, inner, inner, (1, 3, 3, 3)]
    wide = weights(structure="normalised", filters=32)
    assert wide == [(32, 1, 3, 3), (32,), (32, 32, 3, 3), (32,), (1, 32, 3, 3)]


def test_half_the_resolution_is_that_between_the_poolings(monkeypatch):
    seen = []
    reformer = MagnetReformer(structure="pooled", epochs=1)
    learned = reformer.fit(torch.rand(2, 1, 8, 6), None)
    (autoencoder,) = reformer._restored(learned)
    for layer in autoencoder.network:
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape[2:])))
    autoencoder(torch.rand(2, 1, 8, 6))
    assert seen == [(8, 6), (4, 3), (4, 3), (8, 6), (8, 6)]


@pytest.mark.parametrize("structure", ["plain", "pooled", "normalised"])
def test_reforming_takes_noise_away_that_it_has_learned_from(structure):
    x = smooth(60)
    settings = {"filters": 8, "epochs": 60, "batch_size": 10, "learning_rate": 0.01, "noise": 0.2}
    reformer = MagnetReformer(structure=structure, **settings)
    t = reformer.transformation(reformer.fit(x[:50], None, rng=1))
    noise = torch.randn(x[50:].shape, generator=torch.Generator().manual_seed(1))
    noisy = (x[50:] + 0.2 * noise).clamp(0, 1)
    assert (t(noisy) - x[50:]).square().mean() < 0.6 * (noisy - x[50:]).square().mean()


def test_the_derivative_of_a_reformer_is_its_own(network):
    x = X[:2].double()
    reformer = MagnetReformer(**SMALL)
    t = reformer.transformation(reformer.fit(x, None))
    assert reformer.backward == "exact"
    assert torch.autograd.gradcheck(t, x.clone().requires_grad_())


# A collection.


def test_a_collection_learns_by_its_error_less_its_spread():
    generator = torch.Generator().manual_seed(0)
    outputs = list(torch.rand((3, 4, 2, 5, 5), generator=generator))
    clean = torch.rand((4, 2, 5, 5), generator=generator)
    found = packed_loss(outputs, clean, 0.2)
    mean = sum(outputs) / 3
    expected = sum((one - clean) ** 2 - 0.2 * (one - mean) ** 2 for one in outputs)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(packed_loss(outputs[:1], clean, 0.2), (outputs[0] - clean) ** 2)


def test_diversity_makes_a_collection_differ():
    x = smooth(30)

    def spread(diversity):
        settings = {"epochs": 40, "batch_size": 10, "learning_rate": 0.01}
        reformer = MagnetReformer(collection=3, diversity=diversity, **settings)
        outputs = [one(x) for one in reformer._restored(reformer.fit(x, None, rng=1))]
        return float(torch.stack(outputs).var(0).mean())

    assert spread(0.6) > 2 * spread(0.0)


def test_one_of_a_collection_is_drawn_for_each_image(network):
    reformer = MagnetReformer(collection=3, epochs=1)
    learned = reformer.fit(X, None, rng=1)
    t = reformer.transformation(learned)
    given_back = torch.stack([one(X) for one in reformer._restored(learned)])
    counts = torch.zeros(3)
    for seed in range(60):
        found = t(X, Random(seed))
        distance = (found - given_back).abs().flatten(2).amax(2)
        assert (distance.amin(0) < 1e-6).all()
        counts += (distance < 1e-6).sum(1)
    assert counts.sum() == 60 * len(X)
    # A binomial's deviation is 0.0096 here.
    assert ((counts / counts.sum() - 1 / 3).abs() < 0.04).all()


def test_a_reformer_draws_only_if_it_has_several(network):
    one, several = MagnetReformer(epochs=1), MagnetReformer(collection=2, epochs=1)
    assert (one.stochastic, several.stochastic) == (False, True)
    assert not MagnetReformer.stochastic
    learned = one.fit(X, None)
    assert not one.wrap(network, learned).stochastic
    assert several.wrap(network, several.fit(X, None)).stochastic
    with pytest.raises(ValueError, match="an image or more to learn from, got none"):
        one.fit(X[:0], None)
    with pytest.raises(ValueError, match="expected 2 autoencoders, got 1"):
        several.wrap(network, learned)


# All of it at once.


def test_a_classifier_may_have_a_reformer_and_detectors_at_once(network):
    reformer = MagnetReformer(structure="normalised", filters=8, epochs=20, learning_rate=0.01)
    guards = [ReconstructionError(rate=0.5, **SMALL), Divergence(rate=0.5, **SMALL)]
    model = reformer.wrap(network, reformer.fit(X, None))
    for guard in guards:
        model = guard.wrap(model, guard.fit(X, None, model=network))
    assert network_of(model) is network and isinstance(model.model.model, InFront)
    assert torch.equal(model(X), model.model.model(X))
    apart = [guard.wrap(network, guard.fit(X, None, model=network)).excess(X) for guard in guards]
    assert torch.equal(model.excess(X), torch.maximum(*apart))
    assert (apart[0] > apart[1]).any() and (apart[1] > apart[0]).any()
    y = predictions(model, X)
    found = Adaptive(attack=PGD(eps=0.3, steps=20))(model, X, y)
    passes = (model.excess(found.x) <= 0) & (predictions(model, found.x) != y)
    assert torch.equal(found.success, passes) and passes.any()


def test_a_detector_beside_one_other_is_as_it_was(network):
    guard = ReconstructionError(rate=0.5, **SMALL)
    learned = guard.fit(X, None)
    alone, behind = guard.wrap(network, learned), guard.wrap(JPEG().wrap(network), learned)
    assert isinstance(behind, Beside) and torch.equal(alone.excess(X), behind.excess(X))
