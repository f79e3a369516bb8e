"""Pixel deflection against its definition, captum's maps and scikit-image's wavelets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from models_for_tests import predictions, small_images, small_network
from skimage.restoration import denoise_wavelet

from advsparse.data.photos import Photos
from advsparse.defenses._deflection import deflected, robust_map, smoothed
from advsparse.defenses.pixel_deflection import PixelDeflection
from advsparse.models._convolutions import class_maps, last_convolution
from advsparse.seeding import Random


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    data = Photos(train_per_class=40, test_per_class=8).load(tmp_path_factory.getbasetemp())
    return torch.from_numpy(data.images("test"))[::8]


@pytest.fixture(scope="module")
def network():
    return small_network(small_images(30)).eval()


def numbers(x, tries, seed=0):
    return Random(seed).uniform_block(x, (tries, 5))


def names(n, channels, height, width):
    """Images whose entries all have values of their own, that tell where they are."""
    count = n * channels * height * width
    return torch.arange(count, dtype=torch.float64).reshape(n, channels, height, width)


@pytest.mark.parametrize(("copies", "window"), [(1, 1), (7, 2), (40, 3), (300, 20)])
def test_entries_are_copied_from_the_window_within_their_channel(copies, window):
    x = names(6, 3, 11, 13)
    found = deflected(x, torch.zeros(6, 11, 13), copies, window, numbers(x, 2 * copies))
    changed = found != x
    assert (changed.flatten(1).sum(1) <= copies).all() and changed.flatten(1).any(1).sum() >= 5
    image, channel, row, column = changed.nonzero().T
    source = found[changed].long()
    column_from, rest = source % 13, source // 13
    row_from, rest = rest % 11, rest // 11
    assert torch.equal(rest % 3, channel) and torch.equal(rest // 3, image)
    assert (row_from - row).abs().max() <= window and (column_from - column).abs().max() <= window
    if copies == 300:  # from the borders too, and to them
        for place, last in ((row, 10), (row_from, 10), (column, 12), (column_from, 12)):
            assert place.min() == 0 and place.max() == last
    if copies == 40:  # channels take turns
        taken = changed.sum((2, 3))
        assert (taken <= 14).all()


def test_each_place_and_each_offset_is_as_probable():
    x = names(1, 1, 5, 5).expand(4000, 1, 5, 5).clone()
    x += 25.0 * torch.arange(4000)[:, None, None, None]  # numbers follow images
    found = deflected(x, torch.zeros(4000, 5, 5), 1, 1, numbers(x, 1))
    row, column = (found != x).nonzero().T[2:]
    source = (found[found != x].long() % 25) - (5 * row + column)
    inside = (row % 4 > 0) & (column % 4 > 0)
    offsets = torch.tensor([-6, -5, -4, -1, 1, 4, 5, 6])
    counts = torch.stack([(source[inside] == offset).sum() for offset in offsets]).double()
    expected = counts.sum() / 8
    assert ((counts - expected).square() / expected).sum() < 30  # 7 degrees of freedom
    # Of a place within, a ninth copies itself; at a corner a quarter does.
    assert abs(float(inside.sum()) - 4000 * 9 / 25 * 8 / 9) < 5 * 30
    corners = (row % 4 == 0) & (column % 4 == 0)
    assert abs(float(corners.sum()) - 4000 * 4 / 25 * 3 / 4) < 5 * 20


def test_places_are_taken_as_the_map_says():
    x = names(3, 3, 8, 8)
    shunned = torch.ones(3, 8, 8)
    assert torch.equal(deflected(x, shunned, 20, 3, numbers(x, 400)), x)
    shunned[:, 2:4, 5:] = 0
    found = deflected(x, shunned, 20, 3, numbers(x, 4000))
    changed = (found != x).any(1)
    assert changed.any() and not (changed & (shunned == 1)).any()
    # Half the tries at a place of 0.75 that succeed at one of 0.5.
    many = names(1, 1, 2, 2).expand(4000, 1, 2, 2) + 4.0 * torch.arange(4000)[:, None, None, None]
    halves = torch.tensor([[0.5, 0.75], [1.0, 1.0]]).expand(4000, 2, 2)
    found = deflected(many, halves, 1, 1, numbers(many, 60))
    counts = (found != many).double().sum((0, 1))
    assert abs(counts[0, 0] / counts[0, 1] - 2) < 0.25 and not counts[1].any()


def test_a_copy_takes_the_value_that_was_there_before():
    x = names(50, 1, 4, 4)
    found = deflected(x, torch.zeros(50, 4, 4), 200, 1, numbers(x, 200))
    rows = (found.long() % 16) // 4
    assert (rows - torch.arange(4)[:, None]).abs().max() <= 1


def test_numbers_scale_with_the_image():
    made = PixelDeflection()
    assert made._scaled(224, 224) == (200, 10)
    assert made._scaled(64, 64) == (16, 3)
    assert made._scaled(32, 32) == (4, 1)
    assert made._scaled(4, 4) == (1, 1)
    assert PixelDeflection(deflections=0)._scaled(224, 224)[0] == 0
    assert PixelDeflection(deflections=7, window=2, reference=32)._scaled(32, 32) == (7, 2)


def test_maps_of_classes_are_those_of_captum(network):
    x = small_images(5)
    order = network(x).argsort(1, descending=True)
    layer = last_convolution(network, x[:1], 2)
    assert layer is network[3] and last_convolution(network, x[:1], 4) is network[0]
    assert last_convolution(network, x[:1], 7) is None
    for layer in (network[0], network[3]):
        found = class_maps(network, layer, x, 9)
        assert found.shape[:2] == (5, 4)
        for rank in range(4):
            theirs = LayerGradCam(network, layer).attribute(x, order[:, rank])[:, 0]
            torch.testing.assert_close(found[:, rank], theirs)
    assert not layer._forward_hooks


def test_the_robust_map_weighs_classes_by_rank(network):
    nn = torch.nn
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Flatten(), nn.Linear(8 * 36, 7)).eval()
    x = torch.rand(4, 3, 6, 6)
    one, two, three, four, five = class_maps(model, model[0], x, 5).unbind(1)
    expected = one / 2 + two / 4 + three / 8 + four / 16 + 0.075 * five
    low, high = expected.flatten(1).aminmax(dim=1)
    expected = (expected - low[:, None, None]) / (high - low)[:, None, None]
    torch.testing.assert_close(robust_map(model, x, 5), expected)
    found = robust_map(network, small_images(6), 5)
    assert found.shape == (6, 8, 8)
    assert not found.flatten(1).amin(1).any() and (found.flatten(1).amax(1) == 1).all()


def test_where_nothing_tells_places_apart_all_are_taken(network):
    x = small_images(3)
    assert not robust_map(network, x, 0).any()
    assert not robust_map(torch.nn.Flatten(), x, 5).any()
    assert not robust_map(network, torch.full_like(x, 0.5), 5).isnan().any()


def test_the_map_is_that_of_the_network_that_is_defended(network):
    x = small_images(6)
    made = PixelDeflection(deflections=30, reference=8, sigma=0.0)
    other = small_network(x, seed=1).eval()
    one, two = (made.wrap(model).transform(x, Random(3)) for model in (network, other))
    assert not torch.equal(one, two)
    # By the same numbers.
    plain = PixelDeflection(deflections=30, reference=8, sigma=0.0, maps=0)
    one, two = (plain.wrap(model).transform(x, Random(3)) for model in (network, other))
    assert torch.equal(one, two)
    shunned = robust_map(network, x, 5) == 1
    assert not (made.wrap(network).transform(x, Random(3)) != x).any(1)[shunned].any()


def test_wavelets_are_those_of_scikit_image(photos):
    for x in (photos, photos[:, :1], photos[:, :, :15, :22]):
        found = smoothed(x, 0.04)
        for image, ours in zip(x, found, strict=True):
            theirs = denoise_wavelet(
                image.permute(1, 2, 0).numpy(), sigma=0.04, wavelet="db1", mode="soft",
                method="BayesShrink", convert2ycbcr=len(image) == 3, channel_axis=2,
            ).clip(0, 1)  # fmt: skip
            np.testing.assert_allclose(ours.permute(1, 2, 0).numpy(), theirs, atol=1e-6)
        assert 0.005 < float((found - x).abs().mean()) < 0.05


def test_without_sigma_and_deflections_images_stay(photos, network):
    t = PixelDeflection(deflections=0, sigma=0.0, maps=0).for_network({}, network)
    assert torch.equal(t(photos, Random(0)), photos)
    assert torch.equal(smoothed(photos, 0.0), photos)


def test_the_network_is_left_as_it_is(network):
    x = small_images(4)
    before = predictions(network, x), [p.requires_grad for p in network.parameters()]
    with torch.inference_mode():
        t = PixelDeflection().for_network({}, network)(x, Random(0))
    assert t.shape == x.shape and torch.equal(predictions(network, x), before[0])
    assert [p.requires_grad for p in network.parameters()] == before[1]
    assert all(p.grad is None for p in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())
