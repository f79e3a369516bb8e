"""PixelDefend against brute force on a toy, against densities by scipy, and what it promises."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from models_for_tests import small_images
from scipy.special import expit, logsumexp, softmax
from scipy.stats import logistic

from advsparse.data._pixels import floats
from advsparse.data.photos import Photos
from advsparse.defenses._autoregressive import Density, purified, wavefront
from advsparse.defenses.pixel_defend import PixelDefend
from advsparse.seeding import layers_drawn_from

SMALL = PixelDefend(hidden=32, mixtures=3, steps=150, batch_size=32, pixels=32, learning_rate=0.01)


def toy(channels=3, levels=4, reach=1, mixtures=2, seed=0):
    """A density that nobody has trained, with steep conditionals."""
    with layers_drawn_from(seed):
        density = Density(channels, levels=levels, reach=reach, hidden=8, mixtures=mixtures)
    with torch.no_grad():
        for layer in density.layers[::2]:
            layer.weight.mul_(3)
    return density.double()


def images(count, channels=3, levels=4, size=(3, 3), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(levels, (count, channels, *size), generator=generator)


def joint_by_hand(density, image, row, column):
    """The probabilities of all values of a pixel, levels x ... x levels, from the network's numbers
    alone: logistics by scipy."""
    channels, levels, reach = density.channels, density.levels, density.reach
    seen = []
    for up in range(reach, -1, -1):
        for along in range(-reach, reach + 1 if up else 0):
            at = row - up, column + along
            inside = at[0] >= 0 and 0 <= at[1] < image.shape[2]
            values = [2 * int(one[at]) / (levels - 1) - 1 if inside else 0 for one in image]
            seen += [*values, float(inside)]
    with torch.no_grad():
        said = density.layers(torch.tensor(seen, dtype=torch.float64)).numpy()
    parts = said.reshape(density.mixtures, -1)
    weights = softmax(parts[:, 0])
    means, scales = parts[:, 1 : 1 + channels], np.exp(parts[:, 1 + channels : 1 + 2 * channels])
    couplings = np.tanh(parts[:, 1 + 2 * channels :])
    found = np.zeros((levels,) * channels)
    for values in itertools.product(range(levels), repeat=channels):
        x = [2 * value / (levels - 1) - 1 for value in values]
        for k in range(density.mixtures):
            p, coupled = weights[k], iter(couplings[k])
            for channel, value in enumerate(values):
                mean = means[k, channel] + sum(next(coupled) * x[i] for i in range(channel))
                half, scale = 1 / (levels - 1), scales[k, channel]
                low = -np.inf if value == 0 else (x[channel] - half - mean) / scale
                high = np.inf if value == levels - 1 else (x[channel] + half - mean) / scale
                # Of the two that are equal, the one that rounds less.
                p *= max(expit(high) - expit(low), expit(-low) - expit(-high))
            found[values] += p
    return found


def exhaustive(density, image, eps):
    """Each entry in turn the best of all values that it may have, by its conditional."""
    found = image.clone()
    for row, column in itertools.product(*map(range, image.shape[1:])):
        joint, before = joint_by_hand(density, found, row, column), ()
        for channel in range(density.channels):
            old = int(image[channel, row, column])
            values = range(max(0, old - eps), min(density.levels - 1, old + eps) + 1)
            conditional = joint[before].reshape(density.levels, -1).sum(1)
            best = max(values, key=lambda value: conditional[value])
            found[channel, row, column], before = best, (*before, best)
    return found


# The density.


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_density_of_a_pixel_is_that_of_logistics_by_scipy(channels):
    density, (image,) = toy(channels), images(1, channels)
    mixtures = density.everywhere(image[None])
    for place, (row, column) in enumerate(itertools.product(range(3), range(3))):
        expected = joint_by_hand(density, image, row, column)
        pixels = torch.tensor([*itertools.product(range(4), repeat=channels)])
        spread = pixels[:, None].expand(-1, 9, -1)
        ours = mixtures.joint(spread)[:, place].detach().exp()
        np.testing.assert_allclose(ours.numpy(), expected.flatten(), rtol=1e-9, atol=1e-15)
        assert expected.sum() == pytest.approx(1, abs=1e-5)


def test_conditionals_sum_to_one_and_their_product_is_the_joint():
    density = toy(levels=256, reach=3).float()
    x = images(4, levels=256, size=(5, 6))
    mixtures = density.everywhere(x)
    pixels = x.flatten(2).transpose(1, 2)
    first, product = torch.zeros(4, 30, dtype=torch.int64), 0
    before = mixtures.weights
    for channel in range(3):
        all_values = mixtures.components(channel, pixels[..., :channel], first, 256)
        conditional = (before[..., None] + all_values).logsumexp(-2)
        conditional = conditional - before.logsumexp(-1)[..., None]
        sums = conditional.double().exp().sum(-1)
        torch.testing.assert_close(sums, torch.ones_like(sums), rtol=0, atol=1e-5)
        value = pixels[..., channel : channel + 1]
        product = product + conditional.gather(-1, value)[..., 0]
        at = value[..., None].expand(*before.shape, 1)
        before = before + all_values.gather(-1, at)[..., 0]
    torch.testing.assert_close(product, mixtures.joint(pixels), rtol=1e-5, atol=1e-4)


def test_tails_are_told_from_each_other():
    density = toy(channels=1, levels=256)
    with torch.no_grad():
        for layer in density.layers[::2]:
            layer.weight.zero_()
            layer.bias.zero_()
        density.layers[-1].bias.copy_(torch.tensor([0.0, -0.9, -6.0, 0.0, -0.9, -6.0]))
    x = torch.full((1, 1, 1, 1), 200)
    mixture = density.everywhere(x)
    found = mixture.components(0, x[:, :, 0, :0], torch.full((1, 1), 190), 20)[0, 0, 0]
    assert found.isfinite().all() and (found.diff() < -1).all() and found[0] < -400
    # There a logistic is an exponential law.
    torch.testing.assert_close(found.diff(), torch.full((19,), -2 / 255 * np.exp(6)).double())


def test_bits_per_dimension_are_the_logarithm_of_the_density():
    density, x = toy(), images(20)
    found = density.bits_per_dimension(x)
    for image, bits in zip(x[:3], found, strict=False):
        logs = [
            np.log(joint_by_hand(density, image, *at)[tuple(image[:, at[0], at[1]].tolist())])
            for at in itertools.product(range(3), range(3))
        ]
        assert bits.item() == pytest.approx(-sum(logs) / (27 * np.log(2)))
    # Of all images together the density is 1.
    tiny = toy(channels=1, levels=3)
    every = torch.tensor([*itertools.product(range(3), repeat=6)]).reshape(-1, 1, 2, 3)
    total = logsumexp(-tiny.bits_per_dimension(every).detach().numpy() * 6 * np.log(2))
    assert total == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("reach", [1, 2, 3])
def test_a_pixel_sees_what_is_before_it_and_within_reach_alone(reach):
    density = toy(levels=256, reach=reach)
    x = images(1, levels=256, size=(6, 7))
    canvas = density.canvas(x)[:, :-1].clone().requires_grad_()
    inside = density.canvas(x)[:, -1:]
    at = torch.tensor([4]), torch.tensor([3])
    mixture = density.mixture(torch.cat([canvas, inside], 1), *at)
    said = mixture.joint(torch.full((1, 1, 3), 100)).sum()
    (gradient,) = torch.autograd.grad(said, canvas)
    seen = gradient[0].abs().sum(0)[reach:, reach:-reach] > 0
    expected = torch.zeros(6, 7, dtype=torch.bool)
    expected[4 - reach : 4, 3 - reach : 4 + reach] = True
    expected[4, 3 - reach : 3] = True
    assert torch.equal(seen, expected)


# What is made of images.


@pytest.mark.parametrize("eps", [1, 2, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_toy_is_purified_as_exhaustive_search_does(eps, channels):
    changed = 0
    for seed in range(4):
        density, x = toy(channels, seed=seed), images(3, channels, seed=seed)
        expected = torch.stack([exhaustive(density, image, eps) for image in x])
        assert torch.equal(purified(density, x, eps), expected)
        changed += int((expected != x).sum())
    assert changed > 30


def raster(height, width):
    for row, column in itertools.product(range(height), range(width)):
        yield torch.tensor([row]), torch.tensor([column])


@pytest.mark.parametrize(("reach", "size"), [(1, (6, 5)), (2, (1, 7)), (3, (7, 9)), (3, (8, 2))])
def test_a_wavefront_ends_where_raster_order_does(reach, size):
    density, x = toy(levels=256, reach=reach), images(4, levels=256, size=size)
    assert torch.equal(purified(density, x, 20), purified(density, x, 20, raster(*size)))
    steps = [*wavefront(*size, reach)]
    assert len(steps) == size[1] + (reach + 1) * (size[0] - 1)
    places = [
        place for step in steps for place in zip(*map(torch.Tensor.tolist, step), strict=True)
    ]
    assert sorted(places) == [*itertools.product(*map(range, size))]


def test_a_pixel_has_no_say_in_what_becomes_of_those_before_it():
    density, x = toy(levels=256, reach=2), images(1, levels=256, size=(5, 6))
    found = purified(density, x, 9).flatten(2)
    later = 0
    for place in range(30):
        other = x.flatten(2).clone()
        other[..., place] = (other[..., place] + 100) % 256
        changed = purified(density, other.reshape(x.shape), 9).flatten(2)
        assert torch.equal(changed[..., :place], found[..., :place])
        later += int((changed[..., place + 1 :] != found[..., place + 1 :]).sum())
    assert later


@pytest.mark.parametrize("eps", [0, 1, 7, 255, 300])
def test_no_entry_changes_by_more_than_it_may(eps):
    density, x = toy(levels=256, reach=2), images(5, levels=256, size=(6, 6))
    found = purified(density, x, eps)
    assert (found - x).abs().max() <= eps and found.min() >= 0 and found.max() <= 255
    assert torch.equal(found, x) == (eps == 0)


# The defence.


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    data = Photos(train_per_class=40, test_per_class=8).load(tmp_path_factory.getbasetemp())
    x = torch.from_numpy(data.images("train"))[:, :, ::2, ::2].contiguous()
    # Of photographs of ten classes, each tenth and its neighbours.
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x = x[order]
    return x, SMALL.fit(x[:-40], None, rng=1), x[-40:]


def test_what_is_learned_is_better_than_evenly_spread_and_than_one_logistic(photos):
    x, learned, unseen = photos
    bits = SMALL.bits_per_dimension(learned, unseen)
    levels = (unseen * 255).round()
    alone = logistic(float(levels.mean()), float(levels.std()) * 3**0.5 / np.pi)
    width = alone.cdf(levels.numpy() + 0.5) - alone.cdf(levels.numpy() - 0.5)
    assert bits.mean() < -np.log2(width).mean() - 0.5 < 8
    held_out = x[:-40][-((len(x) - 40) // 10) :]
    expected = SMALL.bits_per_dimension(learned, held_out).mean()
    torch.testing.assert_close(learned["bits_per_dimension"], expected)


def test_what_comes_out_is_within_reach_in_eight_bits_and_likelier(photos):
    _, learned, x = photos
    signs = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).sign()
    noisy = (x + 8 / 255 * signs).clamp(0, 1)
    t = SMALL.transformation(learned)
    for given in (x, noisy):
        found = t(given)
        levels = found * 255
        torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)
        assert ((found - given).abs() * 255).max() < 16 + 1e-3
        assert torch.equal(floats(levels.round().to(torch.uint8)), found)
        before, after = (SMALL.bits_per_dimension(learned, one) for one in (given, found))
        assert (after < before).float().mean() >= 0.99
    gained = SMALL.bits_per_dimension(learned, noisy) - SMALL.bits_per_dimension(learned, x)
    assert gained.mean() > 0.3


def test_a_batch_is_its_images_bit_for_bit(photos):
    _, learned, x = photos
    t = SMALL.transformation(learned)
    assert torch.equal(torch.cat([t(one) for one in x[:12].split(1)]), t(x[:12]))
    assert torch.equal(t(x[:12].double()).float(), t(x[:12]))


def test_without_reach_and_of_what_is_likely_enough_nothing_changes(photos):
    _, learned, x = photos
    settings = {"hidden": 32, "mixtures": 3}
    still = PixelDefend(eps=0, **settings).transformation(learned)
    assert torch.equal(still(x), x)
    bits = SMALL.bits_per_dimension(learned, x)
    middle = float(bits.median())
    spared = PixelDefend(spared=middle, **settings).transformation(learned)(x)
    kept = (spared == x).flatten(1).all(1)
    assert torch.equal(kept, bits <= middle) and 15 < kept.sum() < 25
    assert torch.equal(spared[~kept], SMALL.transformation(learned)(x)[~kept])


def test_grey_images_are_purified_too():
    x = small_images(30)[:, :1]
    settings = {"steps": 30, "hidden": 16, "batch_size": 8, "pixels": 16}
    defence = PixelDefend(**settings)
    learned = defence.fit(x, None, rng=1)
    found = defence.transformation(learned)(x)
    assert found.shape == x.shape and not torch.equal(found, x)
    assert ((found - x).abs() * 255).max() < 16.5 + 1e-3
    with pytest.raises(ValueError, match="two images or more to learn from, got 1"):
        defence.fit(x[:1], None)
