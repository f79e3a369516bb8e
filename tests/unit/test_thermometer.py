"""Thermometer codes against their definition, and what stands for their derivative."""

from __future__ import annotations

import pytest
import torch
from models_for_tests import predictions, small_images, small_network

from advsparse.attacks.adaptive import Adaptive
from advsparse.attacks.pgd import PGD
from advsparse.data._pixels import floats
from advsparse.defenses.thermometer import Thermometer

ALL = floats(torch.arange(256, dtype=torch.uint8))[None, None, None]
"""One image with every value that eight bits have."""


def coded(x, levels=16):
    """The code, N x C x L x H x W."""
    return Thermometer(levels=levels).transformation({})(x).unflatten(1, (x.shape[1], levels))


def decoded(code):
    """The largest level that is met, as a number in [0, 1)."""
    return (code.sum(2) - 1) / code.shape[2]


@pytest.mark.parametrize("levels", [2, 10, 16, 255])
def test_a_code_is_told_within_one_level_of_its_image(levels):
    generator = torch.Generator().manual_seed(0)
    x = torch.cat([torch.rand((1, 1, 1, 5000), generator=generator), ALL], 3)
    back = decoded(coded(x, levels))
    assert (x - back >= 0).all() and (x - back)[x < 1].max() < 1 / levels
    assert (x - back).max() <= 1 / levels + 1e-6
    assert back.unique().numel() == levels


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("levels", [2, 3, 7, 10, 16, 49, 100, 256])
def test_an_entry_on_a_level_meets_it_and_just_below_it_does_not(levels, dtype):
    at = torch.arange(levels, dtype=dtype) / levels
    below = torch.nextafter(at, torch.tensor(-1.0, dtype=dtype))
    counts = coded(at[None, None, None], levels).sum(2)[0, 0, 0]
    assert counts.tolist() == list(range(1, levels + 1))
    counts = coded(below.clamp(min=0)[None, None, None], levels).sum(2)[0, 0, 0]
    assert counts.tolist() == [1, *range(1, levels)]


def test_a_larger_entry_has_all_bits_of_a_smaller_one():
    code = coded(torch.linspace(0, 1, 1000)[None, None, None])[0, 0, :, 0]
    assert (code.diff(dim=1) >= 0).all(), "from entry to entry"
    assert (code.diff(dim=0) <= 0).all(), "from bit to bit"
    assert set(code.unique().tolist()) == {0.0, 1.0} and code[0].all()
    assert code[:, -1].all()


def test_bits_of_a_channel_follow_each_other():
    x = torch.tensor([0.3, 0.9, 0.0])[None, :, None, None]
    found = Thermometer(levels=4).transformation({})(x)[0, :, 0, 0]
    assert found.tolist() == [1, 1, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0]
    assert Thermometer(levels=4).shape((3, 5, 7)) == (12, 5, 7)


def test_eight_bits_hold_a_code():
    x = small_images(3)
    code = Thermometer().transformation({})(x)
    assert Thermometer.eight_bits
    assert torch.equal(floats((code.clamp(0, 1) * 255).round().to(torch.uint8)), code)


@pytest.mark.parametrize("levels", [2, 10, 16])
def test_the_ramp_is_within_one_level_of_the_code_and_equal_at_levels(levels):
    defence = Thermometer(levels=levels)
    ramp, t = defence.approximation({}), defence.transformation({})
    x = torch.rand((1, 1, 40, 50), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    away = (ramp(x) - t(x)).abs()
    assert (away > 0).sum(1).max() == 1 and away.max() < 1
    # The level that a ramp is on its way to is the next one.
    ahead = x - decoded(coded(x, levels))
    torch.testing.assert_close(away.sum(1), (levels * ahead)[:, 0] * (x < 1 - 1 / levels)[:, 0])
    at = torch.arange(levels, dtype=torch.float64)[None, None, None] / levels
    torch.testing.assert_close(ramp(at), t(at), rtol=0, atol=1e-12)


def slopes(defence, value):
    x = torch.full((1, 1, 1, 1), value, dtype=torch.float64).requires_grad_()
    return torch.stack([
        torch.autograd.grad(one, x, retain_graph=True)[0].squeeze()
        for one in defence.approximation({})(x).flatten()
    ])  # fmt: skip


def test_what_stands_for_the_derivative_is_steep_at_one_bit_or_even_at_those_that_are_on():
    assert slopes(Thermometer(levels=4), 0.3).tolist() == [0, 0, 4, 0]
    assert slopes(Thermometer(levels=4, slope="on"), 0.3).tolist() == [1, 1, 0, 0]
    assert slopes(Thermometer(levels=4, slope="on"), 0.5).tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize("slope", ["ramp", "on"])
def test_a_network_behind_a_code_is_fooled_by_what_adapts_to_it_alone(slope):
    x = small_images(30)
    defence = Thermometer(slope=slope)
    model = small_network(defence.transformation({})(x)).eval()
    defended = defence.wrap(model)
    y = predictions(defended, x)
    attack = PGD(eps=0.1, steps=15, random_start=False)
    with pytest.warns(UserWarning, match="gradient"):
        assert not attack(defended, x, y).success.any()
    assert Adaptive(attack=attack)(defended, x, y).success.float().mean() > 0.8


def test_codes_have_two_to_256_levels():
    for levels in (1, 257):
        with pytest.raises(ValueError, match="levels"):
            Thermometer(levels=levels)
