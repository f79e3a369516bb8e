"""PixelCNN++ in PixelDefend: what each pixel sees, the greedy rule by brute force, and learning."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from models_for_tests import small_images
from scipy.special import logsumexp

from advsparse.defenses._pixelcnnpp import Above, Convolution, Enlargement, PixelCNN
from advsparse.defenses._pixelcnnpp_training import _start
from advsparse.defenses.pixel_defend import PixelDefend
from advsparse.seeding import layers_drawn_from

TINY = {"network": "pixelcnnpp", "filters": 3, "blocks": 1, "mixtures": 2, "batch_size": 8}
LEARNER = PixelDefend(**TINY, steps=100, learning_rate=0.01, averaging=0.9, dropout=0.1)


def toy(channels=3, levels=4, blocks=1, seed=0, filters=3):
    """A network that nobody has trained, with steep conditionals."""
    with layers_drawn_from(seed):
        network = PixelCNN(channels, levels=levels, filters=filters, blocks=blocks, mixtures=2)
    _start(network, images(8, channels, levels, (8, 8), seed))
    with torch.no_grad():
        network.said.layer.parametrizations.weight.original0.mul_(2)
    return network.double().eval()


def images(count, channels=3, levels=4, size=(3, 3), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(levels, (count, channels, *size), generator=generator)


# What a pixel sees.


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (5, 6), (7, 3), (1, 9), (9, 1)])
def test_a_pixel_sees_all_that_is_before_it_and_nothing_else(channels, size):
    network = toy(channels, levels=256, blocks=2)
    x = images(1, channels, 256, size)
    canvas = network.canvas(x).requires_grad_()
    said = network(canvas)[0, :, : size[0], : size[1]].flatten(1)
    weights = torch.randn(len(said), generator=torch.Generator().manual_seed(0)).double()
    pixels = size[0] * size[1]
    for place in range(pixels):
        # Each number that is said has a gradient of its own, of which nothing may cancel.
        total = (said[:, place] * weights).sum()
        (gradient,) = torch.autograd.grad(total, canvas, retain_graph=True)
        seen = gradient[0, :channels, : size[0], : size[1]].abs().sum(0).flatten() > 0
        assert torch.equal(seen, torch.arange(pixels) < place)


def test_no_number_that_is_said_depends_on_the_pixel_itself_or_on_one_after_it():
    network = toy(levels=256, blocks=2)
    x = images(1, levels=256, size=(8, 8))
    with torch.no_grad():
        before = network(network.canvas(x)).flatten(2)
        for place in range(64):
            other = x.flatten(2).clone()
            other[..., place:] = 255 - other[..., place:]
            after = network(network.canvas(other.reshape(x.shape))).flatten(2)
            assert torch.equal(after[..., : place + 1], before[..., : place + 1])
            assert place == 63 or (after[..., place + 1] != before[..., place + 1]).any()


def test_rows_one_after_the_other_say_what_they_say_together():
    network = toy(levels=256, blocks=2)
    canvas, above = network.canvas(images(2, levels=256, size=(16, 8))), Above()
    with torch.no_grad():
        parts = []
        for part in canvas.split(4, dim=2):
            network(torch.zeros_like(part), above)  # what is no longer so leaves nothing behind
            parts.append(network(part, above))
            above.move_on()
        together = network(canvas)
    torch.testing.assert_close(torch.cat(parts, 2), together, rtol=0, atol=1e-12)
    assert not torch.allclose(network(canvas[:, :, 4:8]), together[:, :, 4:8])


def test_layers_are_as_many_and_as_large_as_the_papers():
    # Of 3 stages: there, F in 2 streams of n blocks with one 2F -> F and one 2F -> 2F convolution.
    filters, blocks, channels, mixtures = 6, 2, 3, 4
    network = PixelCNN(channels, filters=filters, blocks=blocks, mixtures=mixtures)
    wide, corner = 6, 4  # entries of a filter
    there, back = 3 * blocks, 3 * blocks + 2
    pointwise = 2 * filters * filters
    block = 2 * filters * filters + 2 * filters * 2 * filters
    count = (there + back) * block * (wide + corner)
    count += pointwise * (there + back + 2 * back)
    count += 2 * 2 * filters * filters * (wide + corner)
    count += (channels + 1) * filters * (6 + 3 + 2) + filters * mixtures * 10
    directions = [
        weight.numel()
        for name, weight in network.named_parameters()
        if name.endswith("weight.original1")
    ]
    assert sum(directions) == count


def test_layers_start_with_the_deviations_that_they_ask_for():
    with layers_drawn_from(0):
        network = PixelCNN(3, filters=4, blocks=1, mixtures=2, dropout=0.5)
    x = images(16, levels=256, size=(12, 12))
    _start(network, x)
    assert network.training
    found = {}
    for name, layer in network.named_modules():
        if isinstance(layer, Convolution | Enlargement):
            layer.register_forward_hook(lambda *given, name=name: found.update({name: given}))
    network.eval()(network.canvas(x))
    assert len(found) == 3 + 4 + 4 + 3 * 2 * 2 + 3 * 1 + 5 * 2 * 3 + 1
    for layer, _, result in found.values():
        mean, deviation = result.mean((0, 2, 3)), result.std((0, 2, 3))
        torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-4)
        wanted = torch.full_like(deviation, layer.scale)
        torch.testing.assert_close(deviation, wanted, rtol=1e-3, atol=0)


# The density and the greedy rule.


def joints(network, image):
    """Of each pixel in turn, the logarithms of the probabilities of all its values, given what the
    pixels before it are by then."""
    channels, levels = network.channels, network.levels
    pixels = torch.tensor([*itertools.product(range(levels), repeat=channels)])
    with torch.no_grad():
        for place in range(image[0].numel()):
            mixtures = network.everywhere(image[None])
            logs = mixtures.joint(pixels[:, None].expand(-1, image[0].numel(), -1))[:, place]
            yield logs.numpy().reshape((levels,) * channels)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_conditionals_sum_to_one(channels):
    network = toy(channels)
    for joint in joints(network, images(1, channels)[0]):
        assert logsumexp(joint) == pytest.approx(0, abs=1e-9)


def test_of_all_images_together_the_density_is_one():
    network = toy(channels=1, levels=3)
    every = torch.tensor([*itertools.product(range(3), repeat=6)]).reshape(-1, 1, 2, 3)
    with torch.no_grad():
        bits = network.bits_per_dimension(every)
    assert logsumexp(-bits.numpy() * 6 * np.log(2)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("eps", [1, 2, 3])
@pytest.mark.parametrize(("channels", "size"), [(1, (3, 3)), (3, (3, 3)), (1, (6, 5)), (2, (5, 2))])
def test_a_toy_is_purified_as_exhaustive_search_does(channels, size, eps):
    changed = 0
    for seed in range(2):
        network, x = toy(channels, seed=seed), images(3, channels, size=size, seed=seed)
        found = network.purified(x, eps)
        for image, ours in zip(x, found, strict=True):
            expected, places = image.clone(), itertools.product(*map(range, size))
            for place, joint in zip(places, joints(network, expected), strict=True):
                before = ()
                for channel in range(channels):
                    old = int(image[channel, *place])
                    values = range(max(0, old - eps), min(3, old + eps) + 1)
                    conditional = logsumexp(joint[before].reshape(4, -1), axis=1)
                    before = *before, max(values, key=lambda value: conditional[value])
                # The generator of joints sees it in its next turn.
                expected[:, *place] = torch.tensor(before)
            assert torch.equal(ours, expected)
            changed += int((expected != image).sum())
    assert changed > 20


def test_a_pixel_has_no_say_in_what_becomes_of_those_before_it():
    network, x = toy(levels=256), images(1, levels=256, size=(5, 3))
    found, later = network.purified(x, 9).flatten(2), 0
    for place in range(15):
        other = x.flatten(2).clone()
        other[..., place] = (other[..., place] + 100) % 256
        changed = network.purified(other.reshape(x.shape), 9).flatten(2)
        assert torch.equal(changed[..., :place], found[..., :place])
        later += int((changed[..., place + 1 :] != found[..., place + 1 :]).sum())
    assert later


@pytest.mark.parametrize("eps", [0, 1, 7, 300])
def test_no_entry_changes_by_more_than_it_may(eps):
    network, x = toy(levels=256), images(5, levels=256, size=(6, 6))
    found = network.purified(x, eps)
    assert (found - x).abs().max() <= eps and found.min() >= 0 and found.max() <= 255
    assert torch.equal(found, x) == (eps == 0)


# The defence.


@pytest.fixture(scope="module", params=[1, 3])
def learned(request):
    # Of noisy grey stripes the first row tells much of those below.
    generator = torch.Generator().manual_seed(0)
    stripes = torch.rand(106, 1, 1, 8, generator=generator)
    noise = torch.randn(106, request.param, 8, 8, generator=generator)
    x = ((stripes + 0.02 * noise).clamp(0, 1) * 255).round() / 255
    return x, LEARNER.fit(x[:90], None, rng=1), x[90:]


def test_it_learns(learned):
    x, found, unseen = learned
    untaught = PixelDefend(**TINY, steps=1, learning_rate=1e-9).fit(x[:90], None, rng=1)
    before, after = (LEARNER.bits_per_dimension(one, unseen) for one in (untaught, found))
    # The values of all pixels together are evenly spread, at 8 bits.
    assert after.mean() < min(before.mean() - 0.5, 7.99)
    held_out = LEARNER.bits_per_dimension(found, x[81:90]).mean()
    torch.testing.assert_close(found["bits_per_dimension"], held_out)


def test_what_comes_out_is_within_reach_and_likelier(learned):
    _, found, x = learned
    signs = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).sign()
    noisy = (x + 8 / 255 * signs).clamp(0, 1)
    purified = LEARNER.transformation(found)(noisy)
    levels = purified * 255
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)
    assert ((purified - noisy).abs() * 255).max() < 16.5 + 1e-3
    before, after = (LEARNER.bits_per_dimension(found, one) for one in (noisy, purified))
    assert (after < before).float().mean() >= 0.99


def test_a_batch_is_its_images(learned):
    _, found, x = learned
    t = LEARNER.transformation(found)
    assert torch.equal(torch.cat([t(one) for one in x[:4].split(1)]), t(x[:4]))
    assert torch.equal(t(x[:4].double()).float(), t(x[:4]))


def test_arrays_are_all_that_it_needs_to_be_made_again(learned, tmp_path):
    _, found, x = learned
    torch.save(dict(found), tmp_path / "arrays.pt")
    again = torch.load(tmp_path / "arrays.pt", weights_only=True)
    same = PixelDefend(**TINY)
    assert torch.equal(same.transformation(again)(x), LEARNER.transformation(found)(x))
    bits = LEARNER.bits_per_dimension(found, x)
    assert torch.equal(same.bits_per_dimension(again, x), bits)
    spared = PixelDefend(**TINY, spared=float(bits.median())).transformation(found)(x)
    assert torch.equal((spared == x).flatten(1).all(1), bits <= bits.median())
    assert torch.equal(PixelDefend(**TINY, eps=0).transformation(found)(x), x)


@pytest.mark.parametrize("kind", ["local", "pixelcnnpp"])
def test_what_another_network_has_learned_is_refused(kind, learned):
    x = learned[0]
    other = {"local": LEARNER, "pixelcnnpp": PixelDefend(steps=1, hidden=4)}[kind]
    arrays = learned[1] if kind == "local" else other.fit(x[:9], None)
    with pytest.raises(ValueError, match=f"learned: not by the network '{kind}'"):
        PixelDefend(network=kind).transformation(arrays)


def test_training_leaves_the_global_generator_and_goes_by_the_seed():
    x = small_images(20)
    defence = PixelDefend(**TINY, steps=4)
    state = torch.get_rng_state()
    one, again, other = (defence.fit(x, None, rng=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, again[name]) for name, value in one.items())
    assert any(not torch.equal(value, other[name]) for name, value in one.items())
    still = PixelDefend(**TINY, steps=4, dropout=0.0).fit(x, None, rng=1)
    assert any(not torch.equal(value, still[name]) for name, value in one.items())


def test_weights_are_averages_over_steps():
    x, settings = small_images(20), {**TINY, "dropout": 0.0}
    kept = PixelDefend(**settings, steps=5, averaging=1.0).fit(x, None, rng=1)
    untaught = PixelDefend(**settings, steps=1, averaging=1.0).fit(x, None, rng=1)
    last = PixelDefend(**settings, steps=5, averaging=0.0).fit(x, None, rng=1)
    half = PixelDefend(**settings, steps=1, averaging=0.5).fit(x, None, rng=1)
    first = PixelDefend(**settings, steps=1, averaging=0.0).fit(x, None, rng=1)
    for name in kept.keys() - {"bits_per_dimension"}:
        assert torch.equal(kept[name], untaught[name])
        middle = (untaught[name] + first[name]) / 2
        torch.testing.assert_close(half[name], middle, rtol=1e-5, atol=1e-7)
    assert any(not torch.equal(kept[name], last[name]) for name in kept)


def test_the_step_size_decays():
    x, settings = small_images(20), {**TINY, "dropout": 0.0, "averaging": 0.0}
    one = PixelDefend(**settings, steps=1).fit(x, None, rng=1)
    stopped = PixelDefend(**settings, steps=4, decay=1e-12).fit(x, None, rng=1)
    for name in one.keys() - {"bits_per_dimension"}:
        torch.testing.assert_close(stopped[name], one[name], rtol=1e-6, atol=1e-8)
