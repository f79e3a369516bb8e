"""Random numbers are those of their seed, their stream and their image, and of nothing else."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from models_for_tests import small_images

from advsparse.seeding import Draws, Random, seeded, stable_seed

DRAWN = {
    "normal_like": lambda rng, x, *stream: rng.normal_like(x, *stream),
    "uniform_like": lambda rng, x, *stream: rng.uniform_like(x, *stream),
    "uniform": lambda rng, x, *stream: rng.uniform(x, *stream),
    "uniform_block": lambda rng, x, *stream: rng.uniform_block(x, (2, 3), *stream),
}
LAWS = {"normal_like": torch.randn}
draws = pytest.mark.parametrize("draw", DRAWN)


def seed_of(text: bytes) -> int:
    """63 bits of a digest."""
    return int(hashlib.blake2b(text, digest_size=8).hexdigest(), 16) // 2


def drawn_from(draw: str, seeds: list[int], shape: tuple[int, ...]) -> torch.Tensor:
    """What the generators of some seeds give, one for each image."""
    law = LAWS.get(draw, torch.rand)
    return torch.stack([law(shape, generator=torch.Generator().manual_seed(s)) for s in seeds])


SHAPES = {"normal_like": (1, 4, 4), "uniform_like": (1, 4, 4), "uniform": (1, 1, 1)}


@draws
@pytest.mark.parametrize(("seed", "stream"), [(0, 0), (0, 1), (7, 0), (7, 12)])
def test_numbers_come_from_the_seed_the_stream_and_the_pixels_in_float32(draw, seed, stream):
    x = small_images(3)[:, :1, :4, :4]
    seeds = [seed_of(f"{seed}:{stream}:".encode() + image.numpy().tobytes()) for image in x]
    expected = drawn_from(draw, seeds, SHAPES.get(draw, (2, 3)))
    assert torch.equal(DRAWN[draw](Random(seed), x, stream), expected)
    # Other layouts and types of the same images are the same images.
    turned = x.double().mT.contiguous().mT.requires_grad_()
    found = DRAWN[draw](Random(seed), turned, stream)
    assert found.dtype == torch.float64 and torch.equal(found, expected.double())


@draws
def test_without_a_seed_or_a_stream_both_are_0(draw):
    x = small_images(2)
    assert torch.equal(DRAWN[draw](Random(), x), DRAWN[draw](Random(0), x, 0))
    assert not torch.equal(DRAWN[draw](Random(), x), DRAWN[draw](Random(1), x, 0))


@draws
def test_numbers_are_the_same_whatever_torchs_default_type(draw):
    x = small_images(2)
    expected = DRAWN[draw](Random(3), x)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(DRAWN[draw](Random(3), x), expected)
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_seed_may_be_any_whole_number():
    x = small_images(2)
    assert Random(True).seed is not True
    assert torch.equal(Random(True).uniform(x), Random(1).uniform(x))


def test_what_is_no_seed_is_named():
    assert seeded(7).seed == seeded(np.int64(7)).seed == 7
    rng = Random(3)
    assert seeded(rng) is rng
    for other, kind in (("7", "str"), (None, "None"), (np.zeros(2), "numpy.ndarray")):
        with pytest.raises(TypeError) as caught:
            seeded(other)
        expected = "rng: expected a seed, an int, or an advsparse.seeding.Random, got "
        assert str(caught.value) == expected + kind


def test_a_named_generator_is_that_of_the_seed_and_the_names():
    found = torch.rand(3, generator=Random(5).generator("order", 2))
    expected = torch.Generator().manual_seed(seed_of(b'[5,"order",2]'))
    assert torch.equal(found, torch.rand(3, generator=expected))
    assert stable_seed() == seed_of(b"[]")


@draws
def test_the_nth_draw_of_an_image_is_that_of_its_first_pixels_and_n(draw):
    x = small_images(3)[:, :1, :4, :4]
    images = [hashlib.blake2b(image.numpy().tobytes(), digest_size=8).digest() for image in x]

    def expected(*rows_and_counts):
        seeds = [seed_of(b"9:0:" + images[row] + b"%d" % n) for row, n in rows_and_counts]
        return drawn_from(draw, seeds, SHAPES.get(draw, (2, 3)))

    source = Draws(9, x)
    # Iterates differ from the images that they began as.
    moved = x + 0.25
    assert torch.equal(DRAWN[draw](source.next(range(3)), moved), expected((0, 0), (1, 0), (2, 0)))
    assert torch.equal(DRAWN[draw](source.next(iter([2, 0])), moved[:2]), expected((2, 1), (0, 1)))
    # A batch that holds an image twice draws the same for both, once.
    twice = source.next([1, 1, 2])
    assert torch.equal(DRAWN[draw](twice, moved), expected((1, 1), (1, 1), (2, 2)))
    assert torch.equal(DRAWN[draw](twice, moved), expected((1, 1), (1, 1), (2, 2)))
    assert torch.equal(DRAWN[draw](source.next([1]), moved[:1]), expected((1, 2)))


def test_draws_of_a_true_seed_are_those_of_1():
    x = small_images(1)
    assert torch.equal(Draws(True, x).next([0]).uniform(x), Draws(1, x).next([0]).uniform(x))


def test_a_draw_for_other_images_is_an_error():
    x = small_images(3)
    with pytest.raises(ValueError, match=r"^a draw for 2 images was used for 3$"):
        Draws(0, x).next([0, 1]).uniform(x)
