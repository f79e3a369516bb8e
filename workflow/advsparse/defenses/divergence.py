"""MagNet's detector by the divergence of what the network says."""

from __future__ import annotations

import math

from advsparse.defenses._autoencoder import AutoencoderDetector
from advsparse.lazy import torch
from advsparse.settings import Fraction, PositiveFloat, settings

_AT_ONCE = 256
"""Images whose logits are computed at once."""


@settings
class Divergence(AutoencoderDetector):
    r"""Images are refused of which the network says something else once they are given back.

    .. math:: s(x) = \mathrm{JSD}\big( \mathrm{softmax}(f(x) / T),
              \mathrm{softmax}(f(A(x)) / T) \big), \qquad
              \mathrm{JSD}(P, Q) = \tfrac{1}{2} \mathrm{KL}(P \| M) +
              \tfrac{1}{2} \mathrm{KL}(Q \| M)

    in nats, with M the mean of P and Q and A an autoencoder of clean images, which learns as that
    of :class:`~advsparse.defenses.reconstruction_error.ReconstructionError` does. f is the network
    alone: a transformation in front of it is left out.

    Source: Meng and Chen 2017, section 4.2.2, detectors of CIFAR-10 (T of 10 and of 40, rate 0.01);
    sun2019, section 4.

    Cost: two passes of the network and one of A. Learning: a pass of A for each image in each
    epoch, forward and backward.

    Attacks: Carlini and Wagner 2017 (MagNet): 99 % of targeted attacks succeed, by gradients of the
    sum over autoencoders of the attacker's own and of hinges on the detectors' scores.
    """

    asks_network = True

    rate: Fraction = 0.01
    """Share of clean images that may be refused: what is learned last is the threshold at which so
    many of those were that it did not learn from otherwise, rounded down."""
    temperature: PositiveFloat = 10.0
    """What logits are divided by: T."""

    def score(self, learned, model):
        from advsparse.defenses._defended import network_of

        if model is None:
            raise ValueError("model: divergence compares what a network says, and was given none")
        (autoencoder,) = self._restored(learned)
        network = network_of(model)

        def score(x):
            parts = ((network(part), network(autoencoder(part))) for part in x.split(_AT_ONCE))
            found = [jensen_shannon(f / self.temperature, g / self.temperature) for f, g in parts]
            return torch.cat(found).to(x.dtype)

        return score


def jensen_shannon(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The divergence in nats of two rows of class probabilities, by their logits; shape N.

    At high temperatures it is far below what single precision tells from 0.
    """
    logs = [logits.double().log_softmax(1) for logits in (one, other)]
    middle = torch.logaddexp(*logs) - math.log(2)
    parts = [(log.exp() * (log - middle)).sum(1) for log in logs]
    # Rounding may lead below 0.
    return (parts[0] + parts[1]).clamp(min=0) / 2
