"""MagNet's reformer."""

from __future__ import annotations

from advsparse.defenses._autoencoder import Autoencoding
from advsparse.defenses._base import Transformation
from advsparse.lazy import torch
from advsparse.seeding import seeded
from advsparse.settings import NonNegativeFloat, PositiveInt, settings


@settings
class MagnetReformer(Autoencoding, Transformation):
    r"""An image is replaced by what an autoencoder, which knows clean ones alone, makes of it.

    .. math:: t(x) = A(x), \qquad
              A = \arg\min_A E \|x - A(\mathrm{clip}(x + \sigma n))\|_2^2

    with A of 3x3 convolutions and n standard normal, drawn anew in each epoch (the authors' code
    draws it once). The authors' penalty of 1e-9 on activations is left out.

    A collection of N autoencoders, against an attacker who knows all of them but not which one is
    used, learns by

    .. math:: \sum_i \mathrm{MSE}(x, A_i(x)) - \alpha \sum_i \mathrm{MSE}\Big( A_i(x),
              \frac{1}{N} \sum_j A_j(x) \Big)

    and one of it is drawn for each image: it is then random.

    Source: Meng and Chen 2017, sections 4.3 (MNIST: structure I, CIFAR-10: structure II) and 4.4
    (eight autoencoders); sun2019, section 4.

    Cost: a pass of A, three or five small convolutions. Learning: a pass of A for each image in
    each epoch, forward and backward, for each of a collection.

    Attacks: Carlini and Wagner 2017 (MagNet): 99 % of targeted attacks succeed, by gradients of the
    sum over autoencoders of the attacker's own and of hinges on the detectors' scores; that breaks
    collections, too.
    """

    learns = True

    collection: PositiveInt = 1
    """Number N of autoencoders."""
    diversity: NonNegativeFloat = 0.2
    """The weight alpha of how much those of a collection differ."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "stochastic", self.collection > 1)

    def fit(self, x, y, *, model=None, rng=0):
        return self._learned(x, seeded(rng), self.collection, self.diversity)

    def transformation(self, learned):
        autoencoders = self._restored(learned)
        if len(autoencoders) != self.collection:
            raise ValueError(
                f"learned: expected {self.collection} autoencoders, got {len(autoencoders)}"
            )
        if self.collection == 1:
            return autoencoders[0]

        def t(x, rng):
            uniform = rng.uniform_block(x, ()) * self.collection
            drawn, found = uniform.long().clamp(max=self.collection - 1), torch.zeros_like(x)
            for index, autoencoder in enumerate(autoencoders):
                rows = (drawn == index).nonzero()[:, 0]
                if len(rows):
                    found = found.index_copy(0, rows, autoencoder(x[rows]))
            return found

        return t
