"""Randomness that depends on what is computed, never on the order it is computed in."""

from __future__ import annotations

import hashlib
import json

from advsparse.lazy import torch


def stable_seed(*parts: object) -> int:
    """A 63-bit seed from JSON-able ``parts``, the same in every process and on every machine."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return _digest(text.encode())


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
        return one.reshape(-1, *[1] * (x.ndim - 1))

    def uniform_block(
        self, x: torch.Tensor, shape: tuple[int, ...], stream: int = 0
    ) -> torch.Tensor:
        """Numbers uniform in [0, 1) of the given ``shape`` for each image of ``x``; N x shape."""
        return self._per_image(x, stream, torch.rand, shape)

    def _per_image(self, x, stream, draw, shape=None):
        images = x.detach().to("cpu", torch.float32).contiguous().numpy()
        shape = tuple(x.shape[1:]) if shape is None else shape
        key = f"{self.seed}:{stream}:".encode()
        drawn = torch.empty((len(x), *shape), dtype=torch.float32)
        for i, image in enumerate(images):
            generator = torch.Generator().manual_seed(_digest(key + image.tobytes()))
            drawn[i] = draw(shape, generator=generator, dtype=torch.float32)
        return drawn.to(x.device, x.dtype)
