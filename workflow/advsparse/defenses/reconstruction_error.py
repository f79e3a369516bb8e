"""MagNet's detector by reconstruction error."""

from __future__ import annotations

import logging
from typing import Literal

from advsparse.defenses._base import Detector
from advsparse.lazy import torch
from advsparse.seeding import layers_drawn_from, seeded
from advsparse.settings import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt, settings

logger = logging.getLogger(__name__)


@settings
class ReconstructionError(Detector):
    r"""Images that an autoencoder, which knows clean ones alone, gives back badly are refused.

    .. math:: s(x) = \frac{1}{n} \sum_j |x_j - A(x)_j|^p, \qquad
              A = \arg\min_A E \|x - A(\mathrm{clip}(x + \sigma n))\|_2^2

    with A of three 3x3 convolutions, each followed by a sigmoid, and n standard normal, drawn anew
    in each epoch (the authors' code draws it once). A learns from nine tenths of the images, the
    threshold from the rest. The authors' penalty of 1e-9 on activations is left out.

    Source: Meng and Chen 2017, section 4.2, detector of CIFAR-10 (structure II); sun2019, section
    4.
    """

    rate: Fraction = 0.005
    """Share of clean images that may be refused: what is learned last is the threshold at which so
    many of those were that it did not learn from otherwise, rounded down."""
    power: Literal[1, 2] = 1
    """The exponent p."""
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

    def fit(self, x, y, *, model=None, rng=0):
        from advsparse.defenses._threshold import learned_threshold

        rng = seeded(rng)
        held_out = max(1, len(x) // 10)
        if len(x) < 2:
            raise ValueError(f"x: expected two images or more to learn from, got {len(x)}")
        network = self._network(x.shape[1], rng.seed).to(x)
        self._train(network, x[:-held_out], rng)
        learned = {f"network.{name}": value for name, value in network.state_dict().items()}
        with torch.no_grad():
            scores = self._errors(network, x[-held_out:])
        return learned | learned_threshold(scores, self.rate)

    def score(self, learned, model):
        weights = {
            name.removeprefix("network."): value
            for name, value in learned.items()
            if name.startswith("network.")
        }
        channels = weights["0.weight"].shape[1]
        network = self._network(channels, 0).to(weights["0.weight"])
        network.load_state_dict(weights)
        network.eval().requires_grad_(False)
        return _Score(self, network)

    def _network(self, channels, seed):
        nn = torch.nn
        with layers_drawn_from(seed):
            return nn.Sequential(
                *(nn.Conv2d(channels, self.filters, 3, padding=1), nn.Sigmoid()),
                *(nn.Conv2d(self.filters, self.filters, 3, padding=1), nn.Sigmoid()),
                *(nn.Conv2d(self.filters, channels, 3, padding=1), nn.Sigmoid()),
            )

    def _train(self, network, x, rng):
        optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        for epoch in range(self.epochs):
            generator, total = rng.generator("epoch", epoch), 0.0
            for part in torch.randperm(len(x), generator=generator).split(self.batch_size):
                clean = x[part.to(x.device)]
                noise = torch.randn(clean.shape, generator=generator).to(clean)
                loss = (network((clean + self.noise * noise).clamp(0, 1)) - clean).square()
                optimizer.zero_grad()
                loss.flatten(1).mean(1).mean().backward()
                optimizer.step()
                total += float(loss.detach().mean()) * len(part)
            logger.info(
                "epoch %d of %d: mean squared error %.5f", epoch + 1, self.epochs, total / len(x)
            )

    def _errors(self, network, x):
        return (x - network(x)).abs().pow(self.power).flatten(1).mean(1)


class _Score:
    """s of images, whose network goes to where they are."""

    def __init__(self, settings, network):
        self.settings, self.network = settings, network

    def __call__(self, x):
        return self.settings._errors(self.network.to(x), x)
