"""Defences against their definitions, and against solvers and codecs that nobody here wrote."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from models_for_tests import predictions, small_images, small_network
from PIL import Image
from scipy import ndimage

from advsparse.attacks.adaptive import Adaptive
from advsparse.attacks.pgd import PGD
from advsparse.data.photos import Photos
from advsparse.defenses._pruning import pruned
from advsparse.defenses._resizing import interpolation
from advsparse.defenses._threshold import learned_threshold
from advsparse.defenses.binarisation import Binarisation
from advsparse.defenses.crop_ensemble import CropEnsemble
from advsparse.defenses.jpeg import JPEG
from advsparse.defenses.mean_filter import MeanFilter
from advsparse.defenses.median_filter import MedianFilter
from advsparse.defenses.reconstruction_error import ReconstructionError
from advsparse.defenses.sap import SAP
from advsparse.defenses.tvm import TVM
from advsparse.seeding import Random, stable_seed


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    data = Photos(train_per_class=40, test_per_class=8).load(tmp_path_factory.getbasetemp())
    return torch.from_numpy(data.images("test"))[::4]


# JPEG.


@pytest.mark.parametrize("quality", [10, 75])
def test_jpeg_is_that_of_pillow(photos, quality):
    found = JPEG(quality=quality).transformation({})(photos[:6])
    for image, ours in zip(photos, found, strict=False):
        stream = io.BytesIO()
        levels = (image * 255).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(levels).save(stream, "JPEG", quality=quality)
        theirs = np.asarray(Image.open(stream)).transpose(2, 0, 1) / np.float32(255)
        np.testing.assert_array_equal(ours.numpy(), theirs)
    grey = JPEG(quality=quality).transformation({})(photos[:2, :1])
    assert grey.shape == photos[:2, :1].shape
    assert 0 < (grey - photos[:2, :1]).abs().mean() < 0.1


# Crops.


def test_crops_are_brought_back_to_size_as_torch_interpolates(photos):
    for inputs, outputs in ((13, 32), (32, 13), (1, 5), (7, 7)):
        line = torch.rand(1, 1, inputs, dtype=torch.float64)
        theirs = torch.nn.functional.interpolate(line, size=outputs, mode="linear")
        torch.testing.assert_close(line @ interpolation(inputs, outputs).T, theirs)


def test_an_ensemble_of_all_crops_is_their_enumeration(photos):
    x = photos[:4, :, ::4, ::4].contiguous()
    model = small_network(x).eval()
    defense = CropEnsemble(draws=4000, fraction=0.75)
    parts = []
    matrix = interpolation(6, 8).to(x)
    for top in range(3):
        for left in range(3):
            crop = x[:, :, top : top + 6, left : left + 6]
            parts.append(model(matrix @ crop @ matrix.T).softmax(1))
    expected = torch.stack(parts).mean(0).log()
    found = defense.wrap(model)(x)
    torch.testing.assert_close(found.exp(), expected.exp(), rtol=0, atol=0.02)
    assert found.exp().sum(1).allclose(torch.ones(4))


def test_one_crop_of_all_of_an_image_is_the_model(photos):
    x = small_images(5)
    model = small_network(x).eval()
    found = CropEnsemble(draws=1, fraction=0.999).wrap(model)(x)
    torch.testing.assert_close(found, model(x))


# Stochastic activation pruning.


def test_pruned_activations_are_right_in_the_mean():
    h = torch.randn((6, 40), generator=torch.Generator().manual_seed(0)).relu()
    draws = torch.stack([pruned(h, 0.5, Random(seed)) for seed in range(4000)])
    deviation = draws.std(0) / 4000**0.5
    z = (draws.mean(0) - h)[h > 0] / deviation[h > 0]
    assert z.abs().max() < 4.5 and abs(float(z.std()) - 1) < 0.15
    assert not draws[:, h == 0].any()


def test_as_many_are_kept_as_drawing_with_replacement_says():
    h = torch.tensor([[1.0, 2.0, 3.0, 4.0]]).repeat(3000, 1)
    h = h + 1e-6 * torch.arange(3000)[:, None]  # whose numbers follow the images
    kept = (pruned(h, 0.75, Random(0)) > 0).float().mean(0)
    p = torch.tensor([0.1, 0.2, 0.3, 0.4])
    expected = 1 - (1 - p) ** 3
    assert (kept - expected).abs().max() < 0.03
    torch.testing.assert_close(
        pruned(h, 0.75, Random(0))[:, 3].max(), 4.003 / float(expected[3]) * torch.ones(()),
        rtol=1e-3, atol=0,
    )  # fmt: skip


def test_no_activation_that_is_0_is_drawn():
    # Of all numbers in [0, 1), 0 is the one that lies where an interval without length ends.
    first = SimpleNamespace(uniform_block=lambda h, shape: torch.zeros(len(h), *shape))
    h = torch.tensor([[0.0, 3.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(pruned(h, 0.25, first)[0], torch.tensor([0.0, 4.0, 0.0, 0.0]))
    assert not pruned(h, 0.25, first)[1].any()
    # Nor does a derivative lead to it.
    given = h.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(pruned(given, 0.25, first).sum(), given)
    torch.testing.assert_close(gradient[0], torch.tensor([0.0, 4 / 3, 0.0, 0.0]))
    assert not gradient[1].any()


def test_small_activations_are_pruned_as_large_ones_are():
    evenly = SimpleNamespace(uniform_block=lambda h, shape: torch.linspace(0.1, 0.9, *shape)[None])
    h = torch.tensor([[1.0, 2.0, 0.5, 4.0, 0.0, 0.25]])
    whole = pruned(h, 0.5, evenly)
    assert 0 < (whole > 0).sum() < 5
    for factor in (1e-3, 1e3):
        torch.testing.assert_close(pruned(factor * h, 0.5, evenly), factor * whole)


def test_each_run_of_a_layer_draws_numbers_of_its_own():
    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.other = torch.nn.Linear(12, 12), torch.nn.ReLU()
            self.relu = torch.nn.ReLU(inplace=True)

        def forward(self, x):
            h = self.relu(self.linear(x.flatten(1)))
            return self.other(self.relu(self.linear(h)))

    torch.manual_seed(0)
    network, x = Twice(), torch.rand(4, 3, 2, 2)
    numbers = Random(stable_seed("evaluation", 7)).of(x)
    h = network.linear(x.flatten(1)).relu()
    h = pruned(h, 0.5, numbers.part("sap", 1, 1))
    h = pruned(network.linear(h).relu(), 0.5, numbers.part("sap", 1, 2))
    expected = pruned(h, 0.5, numbers.part("sap", 0, 3))
    defended = SAP(share=0.5).wrap(network, seed=7)
    assert torch.equal(defended(x), expected) and torch.equal(defended(x), expected)
    plain = SAP(share=0.5).wrap(network)
    assert torch.equal(plain(x), SAP(share=0.5).wrap(network, seed=0)(x))


def test_many_draws_leave_the_network_as_it_is():
    x = small_images(6)
    model = small_network(x).eval()
    torch.testing.assert_close(SAP(share=300.0).wrap(model)(x), model(x), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(SAP(share=0.2).wrap(model)(x), model(x), atol=1e-2)


def test_pruning_leaves_the_given_network_alone_and_shares_its_weights():
    x = small_images(6)
    model = small_network(x).eval()
    before = model(x)
    defended = SAP().wrap(model)
    assert torch.equal(model(x), before)
    assert {*map(id, defended.changed.model.parameters())} == {*map(id, model.parameters())}
    with pytest.raises(ValueError, match="no ReLU after which"):
        SAP().wrap(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 4)))


# The detector.


@pytest.mark.parametrize(
    ("count", "rate", "above"), [(500, 0.001, 0), (1000, 0.001, 1), (100, 0.1, 10), (7, 1.0, 6)]
)
def test_as_many_clean_images_are_refused_as_the_rate_says_and_no_more(count, rate, above):
    scores = torch.rand(count, generator=torch.Generator().manual_seed(0))
    learned = learned_threshold(scores, rate)
    assert int((scores > learned["threshold"]).sum()) == above
    assert learned["threshold"].dtype == learned["spread"].dtype == torch.float32
    assert float(learned["spread"]) == pytest.approx(float(scores.std(correction=0)), rel=1e-5)


def test_scores_that_tell_nothing_are_refused():
    for scores in (torch.empty(0), torch.tensor([1.0, torch.nan])):
        with pytest.raises(ValueError) as caught:
            learned_threshold(scores, 0.1)
        said = "scores of clean images: expected finite numbers, one image or more"
        assert str(caught.value) == said
    assert float(learned_threshold(torch.ones(3), 0.5)["spread"]) == 1


def test_the_detector_learns_to_give_clean_images_back_and_refuses_noise(photos):
    detector = ReconstructionError(epochs=30, batch_size=16, learning_rate=0.01, rate=0.1)
    learned = detector.fit(photos, None, rng=1)
    network = [value for name, value in learned.items() if name.startswith("network.")]
    assert sum(value.numel() for value in network) == 252  # as the authors'
    beside = detector.wrap(torch.nn.Flatten(), learned)
    held_out = photos[-(len(photos) // 10) :]
    assert int((beside.excess(held_out) > 0).sum()) == int(0.1 * len(held_out))
    noisy = (photos + 0.3 * torch.randn(photos.shape)).clamp(0, 1)
    assert (beside.excess(noisy) > 0).float().mean() > 0.9
    again = detector.fit(photos, None, rng=1)
    assert all(torch.equal(value, again[name]) for name, value in learned.items())
    with pytest.raises(ValueError, match="no threshold before it has learned"):
        detector.wrap(torch.nn.Flatten())


def test_an_error_is_that_of_its_power(photos):
    x = photos[:3].double()
    for power in (1, 2):
        detector = ReconstructionError(power=power, epochs=1)
        learned = {name: value.double() for name, value in detector.fit(photos, None).items()}
        score = detector.score(learned, None)
        expected = (x - score.network(x)).abs().pow(power).mean((1, 2, 3))
        torch.testing.assert_close(score(x), expected)


# What all are for.


def test_each_defence_in_front_is_fooled_by_what_adapts_to_it():
    x = small_images(30)
    model = small_network(x).eval()
    for defense in (TVM(weight=0.01, dropout=0.1, iterations=50), JPEG(quality=90)):
        defended = defense.wrap(model)
        y = predictions(defended, x)
        found = Adaptive(attack=PGD(eps=0.15, steps=10), samples=5)(defended, x, y)
        assert found.success.float().mean() > 0.8, defense


# Filters.


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize(
    ("defense", "filtered"),
    [(MeanFilter, ndimage.uniform_filter), (MedianFilter, ndimage.median_filter)],
)
def test_filters_are_those_of_scipy(photos, defense, filtered, size):
    x = photos[:4].double()
    found = defense(size=size).transformation({})(x)
    expected = filtered(x.numpy(), size=(1, 1, size, size), mode="nearest")
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
    with pytest.raises(ValueError, match="must be odd"):
        defense(size=4)


def test_a_median_passes_gradients_on_to_the_pixel_that_it_is():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, 1, 5, 5, generator=generator, dtype=torch.float64).requires_grad_()
    t = MedianFilter().transformation({})
    assert torch.autograd.gradcheck(t, x)
    (gradient,) = torch.autograd.grad(t(x)[0, 0, 2, 2], x)
    assert gradient.sum() == 1 and (gradient != 0).sum() == 1


def test_what_exceeds_the_threshold_is_white():
    x = torch.tensor([[[[0.0, 0.3], [0.300001, 1.0]]]])
    found = Binarisation(threshold=0.3).transformation({})(x)
    assert found.tolist() == [[[[0.0, 0.0], [1.0, 1.0]]]] and found.dtype == x.dtype
