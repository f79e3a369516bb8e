"""Autoencoders of clean images: the settings of what learns one, its training, and its arrays."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterator
from typing import Literal

from advsparse.defenses._base import Defense, Detector
from advsparse.lazy import torch
from advsparse.prefixes import below, under
from advsparse.seeding import layers_drawn_from, seeded
from advsparse.settings import NonNegativeFloat, PositiveFloat, PositiveInt, settings

logger = logging.getLogger(__name__)


@settings
class Autoencoding(Defense):
    """The settings of a defence that learns an autoencoder of clean images."""

    structure: Literal["plain", "pooled", "normalised"] = "plain"
    """Three convolutions, each followed by a sigmoid (structure II); five, the middle three at half
    the resolution (structure I, for MNIST); or three with batch normalisation and ReLU, whose last
    has the sigmoid, as the paper's first author later advised for CIFAR-10, with 32 filters."""
    filters: PositiveInt = 3
    """Channels between the convolutions."""
    noise: NonNegativeFloat = 0.025
    """Deviation sigma of the noise in training; 0.1 for MNIST."""
    epochs: PositiveInt = 100
    """Passes over the images that A learns from."""
    batch_size: PositiveInt = 256
    """Images in a mini-batch."""
    learning_rate: PositiveFloat = 0.001
    """Step size of Adam."""

    def _learned(self, x, rng, count=1, diversity=0.0) -> dict[str, torch.Tensor]:
        """The arrays of ``count`` autoencoders of the images ``x``, learned at the same time."""
        if not len(x):
            raise ValueError("x: expected an image or more to learn from, got none")
        seeds = [rng.seed, *(rng.part("network", i).seed for i in range(1, count))]
        networks = [self._network(x.shape[1], seed).to(x) for seed in seeds]
        self._train(networks, x, rng, diversity)
        learned: dict[str, torch.Tensor] = {}
        for prefix, network in zip(_prefixes(), networks, strict=False):
            learned |= under(network.state_dict(), prefix)
        return learned

    def _restored(self, learned) -> list[Autoencoder]:
        """The autoencoders of arrays."""
        found = []
        for prefix in _prefixes():
            weights = below(learned, prefix)
            if not weights:
                return found
            first = weights["0.weight"]
            network = self._network(first.shape[1], 0).to(first)
            network.load_state_dict(weights)
            found.append(Autoencoder(network.eval().requires_grad_(False)))

    def _network(self, channels, seed):
        nn = torch.nn

        def convolution(inputs, outputs, *then):
            return nn.Conv2d(inputs, outputs, 3, padding=1), *then

        width = self.filters
        with layers_drawn_from(seed):
            first = convolution(channels, width, nn.Sigmoid())
            middle = convolution(width, width, nn.Sigmoid())
            if self.structure == "normalised":
                first = convolution(channels, width, nn.BatchNorm2d(width), nn.ReLU())
                middle = convolution(width, width, nn.ReLU(), nn.BatchNorm2d(width))
            if self.structure == "pooled":
                again = (convolution(width, width, nn.Sigmoid()) for _ in range(2))
                halved, doubled = nn.AvgPool2d(2, ceil_mode=True), nn.Upsample(scale_factor=2)
                inner, outer = again
                middle = halved, *middle, *inner, doubled, *outer
            return nn.Sequential(*first, *middle, *convolution(width, channels, nn.Sigmoid()))

    def _train(self, networks, x, rng, diversity):
        weights = [weight for network in networks for weight in network.parameters()]
        optimizer = torch.optim.Adam(weights, lr=self.learning_rate)
        for epoch in range(self.epochs):
            generator, total = rng.generator("epoch", epoch), 0.0
            for part in torch.randperm(len(x), generator=generator).split(self.batch_size):
                clean = x[part.to(x.device)]
                noise = torch.randn(clean.shape, generator=generator).to(clean)
                noisy = (clean + self.noise * noise).clamp(0, 1)
                loss = packed_loss([_given_back(one, noisy) for one in networks], clean, diversity)
                optimizer.zero_grad()
                loss.flatten(1).mean(1).mean().backward()
                optimizer.step()
                total += float(loss.detach().mean()) * len(part)
            logger.info(
                "epoch %d of %d: mean squared error %.5f", epoch + 1, self.epochs, total / len(x)
            )


@settings
class AutoencoderDetector(Autoencoding, Detector):
    """A detector whose score goes by an autoencoder: that learns from nine tenths of the images,
    the threshold from the rest."""

    def fit(self, x, y, *, model=None, rng=0):
        from advsparse.defenses._threshold import learned_threshold

        held_out = max(1, len(x) // 10)
        if len(x) < 2:
            raise ValueError(f"x: expected two images or more to learn from, got {len(x)}")
        learned = self._learned(x[:-held_out], seeded(rng))
        with torch.no_grad():
            scores = self.score(learned, model)(x[-held_out:])
        return learned | learned_threshold(scores, self.rate)

    @abstractmethod
    def score(self, learned, model):
        """The score; see :meth:`Detector.score`. In training there is no threshold yet."""


class Autoencoder:
    """A network that gives images back, and goes to where they are."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.network = network

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return _given_back(self.network.to(x), x)


def packed_loss(outputs: list[torch.Tensor], clean: torch.Tensor, diversity: float) -> torch.Tensor:
    """Squared errors summed over autoencoders, less ``diversity`` times their spread; the shape of
    ``clean``."""
    errors = [(output - clean).square() for output in outputs]
    if len(outputs) == 1:
        return errors[0]
    mean = torch.stack(outputs).mean(0)
    spread = [(output - mean).square() for output in outputs]
    return torch.stack(errors).sum(0) - diversity * torch.stack(spread).sum(0)


def _given_back(network, x):
    # What was halved and doubled again may have one row or column more.
    return network(x)[..., : x.shape[2], : x.shape[3]]


def _prefixes() -> Iterator[str]:
    """What the names of the arrays of each autoencoder begin with."""
    yield "network."
    index = 0
    while True:
        index += 1
        yield f"network_{index}."
