"""MagNet's detector by reconstruction error."""

from __future__ import annotations

from typing import Literal

from advsparse.defenses._autoencoder import AutoencoderDetector
from advsparse.settings import Fraction, settings


@settings
class ReconstructionError(AutoencoderDetector):
    r"""Images that an autoencoder, which knows clean ones alone, gives back badly are refused.

    .. math:: s(x) = \frac{1}{n} \sum_j |x_j - A(x)_j|^p, \qquad
              A = \arg\min_A E \|x - A(\mathrm{clip}(x + \sigma n))\|_2^2

    with A of 3x3 convolutions and n standard normal, drawn anew in each epoch (the authors' code
    draws it once). A learns from nine tenths of the images, the threshold from the rest. The
    authors' penalty of 1e-9 on activations is left out.

    Source: Meng and Chen 2017, section 4.2, detector of CIFAR-10 (structure II); sun2019, section
    4.

    Cost: a pass of A. Learning: a pass of A for each image in each epoch, forward and backward.

    Attacks: Carlini and Wagner 2017 (MagNet): 99 % of targeted attacks succeed, by gradients of the
    sum over autoencoders of the attacker's own and of hinges on the detectors' scores.
    """

    rate: Fraction = 0.005
    """Share of clean images that may be refused: what is learned last is the threshold at which so
    many of those were that it did not learn from otherwise, rounded down."""
    power: Literal[1, 2] = 1
    """The exponent p; for MNIST 2 with structure I, 1 with structure II."""

    def score(self, learned, model):
        (autoencoder,) = self._restored(learned)
        return _Score(autoencoder, self.power)


class _Score:
    """s of images."""

    def __init__(self, autoencoder, power):
        self.autoencoder, self.power = autoencoder, power

    @property
    def network(self):
        return self.autoencoder.network

    def __call__(self, x):
        return (x - self.autoencoder(x)).abs().pow(self.power).flatten(1).mean(1)
