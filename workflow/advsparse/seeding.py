"""Randomness that depends on what is computed, never on the order it is computed in."""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from advsparse.arguments import kind_of
from advsparse.lazy import torch
from advsparse.shapes import per_image


def stable_seed(*parts: object) -> int:
    """A 63-bit seed from JSON-able ``parts``, the same in every process and on every machine."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return _digest(text.encode())


@contextmanager
def layers_drawn_from(seed: int) -> Iterator[None]:
    """Torch's layers, which draw their weights from the global generator, draw from ``seed``.

    The generator is put back afterwards.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed reseeds GPUs too
        yield


def _digest(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big") >> 1


class Random:
    """The random numbers of one attack, all of them a function of ``seed``.

    Numbers for an image are drawn from a generator that is seeded by the image's own pixels, so
    that they follow it through any batch size and any permutation, on the CPU, so that they are the
    same on every device.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = int(seed)

    def generator(self, *parts: object) -> torch.Generator:
        """A CPU generator for one named use, such as the initial dictionary."""
        return torch.Generator().manual_seed(stable_seed(self.seed, *parts))

    def normal_like(self, x: torch.Tensor, stream: int = 0) -> torch.Tensor:
        """Standard normal numbers of the shape of ``x`` (N x ...), one generator per image."""
        return self._per_image(x, stream, torch.randn)

    def uniform_like(self, x: torch.Tensor, stream: int = 0) -> torch.Tensor:
        """Numbers uniform in [0, 1) of the shape of ``x`` (N x ...), one generator per image."""
        return self._per_image(x, stream, torch.rand)

    def uniform(self, x: torch.Tensor, stream: int = 0) -> torch.Tensor:
        """One number uniform in [0, 1) for each image of ``x``; shape N x 1 x ... x 1."""
        one = self._per_image(x, stream, torch.rand, shape=())
        return per_image(one, x)

    def uniform_block(
        self, x: torch.Tensor, shape: tuple[int, ...], stream: int = 0
    ) -> torch.Tensor:
        """Numbers uniform in [0, 1) of the given ``shape`` for each image of ``x``; N x shape."""
        return self._per_image(x, stream, torch.rand, shape)

    def of(self, x: torch.Tensor) -> Random:
        """The same numbers for whatever is made of the images ``x``, such as what layers of a
        network make of them: they follow the images, not what they are drawn for."""
        return _Draw(self.seed, list(self._identities(x)))

    def only(self, x: torch.Tensor, rows: torch.Tensor) -> Random:
        """The same numbers for the ``rows`` of the images ``x`` alone, in this order."""
        names = list(self._identities(x))
        return _Draw(self.seed, [names[row] for row in rows.tolist()])

    def part(self, *parts: object) -> Random:
        """The numbers of one named part of what is drawn, others than those of all other parts."""
        return Random(stable_seed(self.seed, *parts))

    def _per_image(self, x, stream, draw, shape=None):
        shape = tuple(x.shape[1:]) if shape is None else shape
        key = f"{self.seed}:{stream}:".encode()
        drawn = torch.empty((len(x), *shape), dtype=torch.float32)
        for i, image in enumerate(self._identities(x)):
            generator = torch.Generator().manual_seed(_digest(key + image))
            drawn[i] = draw(shape, generator=generator, dtype=torch.float32)
        return drawn.to(x.device, x.dtype)

    def _identities(self, x) -> Iterable[bytes]:
        """What tells each image from others."""
        return map(_pixels, x.detach().to("cpu", torch.float32).contiguous().numpy())


class Draws:
    """Fresh random numbers for the same images again and again, as an attack's iterates need them.

    The n-th draw for an image is a function of ``seed``, of the pixels that the image had at first
    and of n. An iterate may therefore differ in its last bit, as batches of other sizes round
    differently, and still be given the same numbers.
    """

    def __init__(self, seed: int, x: torch.Tensor) -> None:
        self.seed = int(seed)
        self._images = [
            hashlib.blake2b(image, digest_size=8).digest() for image in Random()._identities(x)
        ]
        self._counts = [0] * len(x)

    def next(self, rows: Iterable[int]) -> Random:
        """The next draw for the images ``rows``: for a batch that holds them in this order."""
        rows = list(rows)
        names = [self._images[row] + str(self._counts[row]).encode() for row in rows]
        for row in set(rows):
            self._counts[row] += 1
        return _Draw(self.seed, names)


class _Draw(Random):
    """Random numbers for images that are told by name, whatever their pixels."""

    def __init__(self, seed: int, names: list[bytes]) -> None:
        super().__init__(seed)
        self._names = names

    def part(self, *parts):
        return _Draw(stable_seed(self.seed, *parts), self._names)

    def _identities(self, x):
        if len(x) != len(self._names):
            raise ValueError(f"a draw for {len(self._names)} images was used for {len(x)}")
        return self._names


def _pixels(image) -> bytes:
    return image.tobytes()


def seeded(rng: Random | int) -> Random:
    """The random numbers that the argument ``rng`` stands for; TypeError for what is none."""
    if isinstance(rng, Random):
        return rng
    try:
        return Random(operator.index(rng))
    except TypeError:
        raise TypeError(
            f"rng: expected a seed, an int, or an advsparse.seeding.Random, got {kind_of(rng)}"
        ) from None
