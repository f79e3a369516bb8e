"""Fewer levels and other sizes, against their definitions and torchvision."""

from __future__ import annotations

import pytest
import torch
from models_for_tests import small_images
from torchvision.transforms import functional

from advsparse.defenses.binarisation import Binarisation
from advsparse.defenses.bit_depth import BitDepth
from advsparse.defenses.random_resizing import RandomResizing
from advsparse.seeding import Random


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_each_entry_is_at_the_nearest_of_as_many_levels_as_bits_tell_apart(bits):
    levels = torch.linspace(0, 1, 2**bits, dtype=torch.float64)
    x = torch.rand(2, 3, 9, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    nearest = levels[(x[..., None] - levels).abs().argmin(-1)]
    t = BitDepth(bits=bits).transformation({})
    torch.testing.assert_close(t(x), nearest, rtol=0, atol=1e-12)
    torch.testing.assert_close(t(t(x)), t(x), rtol=0, atol=0)
    assert t(x.float()).dtype == torch.float32


def test_eight_bits_leave_what_image_files_hold_and_one_bit_is_black_or_white():
    x = torch.arange(256).reshape(1, 1, 16, 16) / 255
    torch.testing.assert_close(BitDepth(bits=8).transformation({})(x), x, rtol=0, atol=1e-7)
    x = small_images(4)
    one, binary = BitDepth(bits=1), Binarisation()
    assert torch.equal(one.transformation({})(x), binary.transformation({})(x))
    beyond = BitDepth(bits=2).transformation({})(torch.tensor([-0.7, 1.9]))
    assert beyond.tolist() == [0.0, 1.0]


def places(t):
    """For each image, its size and place in what comes out, where all else is 1 and it is not."""
    found = []
    for image in t:
        rows, columns = ((image[0] != 1).any(axis).nonzero()[:, 0] for axis in (1, 0))
        found.append((int(rows[0]), int(columns[0]), len(rows), len(columns)))
    return found


def test_images_come_back_resized_as_torchvision_does_at_a_place_among_others():
    x = 0.9 * torch.rand(60, 3, 12, 12, generator=torch.Generator().manual_seed(0)).double()
    made = RandomResizing(smallest=1.0, largest=1.5, value=1.0)
    t = made.transformation({})(x, Random(0))
    assert t.shape[1:] == made.shape((3, 12, 12)) == (3, 18, 18)
    found = places(t)
    for image, padded, (top, left, height, width) in zip(x, t, found, strict=True):
        expected = functional.resize(image[None], [height, width], antialias=False)[0]
        inside = padded[:, top : top + height, left : left + width]
        torch.testing.assert_close(inside, expected)
        assert height == width and torch.allclose(padded.sum() - inside.sum(),
            torch.tensor(3.0 * (18 * 18 - height * width), dtype=torch.float64))  # fmt: skip
    sizes = {height for _, _, height, _ in found}
    assert sizes == {12, 13, 14, 15, 16, 17}
    # All places of a size, to the last one.
    assert max(top + height for top, _, height, _ in found) == 18
    assert min(top for top, *_ in found) == min(left for _, left, *_ in found) == 0
    assert any(top != left for top, left, *_ in found)


def test_sizes_and_places_are_equally_probable():
    x = torch.full((4000, 1, 4, 4), 0.5) + 1e-4 * torch.arange(4000)[:, None, None, None] / 4000
    made = RandomResizing(smallest=1.0, largest=1.5, value=1.0)  # 4 or 5 of 6
    found = places(made.transformation({})(x, Random(1)))
    small = [(top, left) for top, left, height, _ in found if height == 4]
    assert abs(len(small) - 2000) < 5 * 32
    counts = [small.count((top, left)) for top in range(3) for left in range(3)]
    assert sum(counts) == len(small)
    assert sum((count - len(small) / 9) ** 2 / (len(small) / 9) for count in counts) < 32


def test_published_sizes_are_the_default():
    made = RandomResizing()
    assert made.shape((3, 299, 299)) == (3, 331, 331)
    assert made._sizes(299) == (310, 331) and made._sizes(32) == (33, 35)
    with pytest.raises(ValueError, match=r"smallest: 1\.2 is above the largest, 1\.1"):
        RandomResizing(smallest=1.2, largest=1.1)


def test_the_same_size_at_the_only_place_is_the_image_and_its_derivative_the_identity():
    x = small_images(3).double()[..., :7].requires_grad_()
    t = RandomResizing(smallest=1.0, largest=1.0).transformation({})(x, Random(0))
    torch.testing.assert_close(t, x)
    weights = torch.rand(x.shape, generator=torch.Generator().manual_seed(2)).double()
    (gradient,) = torch.autograd.grad((weights * t).sum(), x)
    torch.testing.assert_close(gradient, weights)


def test_its_derivative_is_that_of_a_linear_map():
    x = torch.rand(2, 1, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fixed = Random(3).of(x)  # the same draw wherever it is asked
    t = RandomResizing(smallest=0.8, largest=1.4).transformation({})
    assert torch.autograd.gradcheck(lambda z: t(z, fixed), x.requires_grad_())
