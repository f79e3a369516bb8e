"""PixelDefend."""

from __future__ import annotations

import logging

from advsparse.defenses._base import Transformation
from advsparse.lazy import torch
from advsparse.seeding import layers_drawn_from, seeded
from advsparse.settings import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    settings,
)
from advsparse.shapes import per_image

logger = logging.getLogger(__name__)

_AT_ONCE = 128
"""Images that are purified at once."""


@settings
class PixelDefend(Transformation):
    r"""Each entry of an image becomes the likeliest within reach, given those before it.

    .. math:: t(x)_i = \arg\max_{|z - x_i| \le \epsilon} p(z \mid t(x)_1, \ldots, t(x)_{i-1})

    in levels of 255, pixels from left to right and from top to bottom, channels of a pixel one by
    one. p is learned from clean images. An image is rounded to levels first.

    p is a small PixelCNN: each pixel has a mixture of discretised logistics, as in PixelCNN++, with
    means that are shifted by the channels before; a perceptron sees the rows above, as many columns
    to either side, and as many pixels on the left. What the channels before say of the components
    is taken into account exactly. It learns by Adam, with steps that fall to 0 along a line.

    With ``spared``, an image that is likely enough as it is stays as it is (the paper's adaptive
    variant).

    Source: Song et al. 2018, section 4 and algorithm 1 (epsilon of 16 for CIFAR-10); Salimans et
    al. 2017 (the mixture); sun2019, section 4. Their network is a PixelCNN++ that sees all before.

    Cost: H W passes of the perceptron, in W + (reach + 1)(H - 1) steps that wait for each other,
    and for each entry 2 epsilon + 1 densities of each component. Learning: steps times batch times
    pixels passes of the perceptron, forward and backward, whatever the number of images.

    Attacks: Athalye, Carlini and Wagner 2018: accuracy 9 % at linf 0.031 (CIFAR-10), by BPDA with
    the identity.
    """

    learns = True
    backward = "identity"

    eps: NonNegativeInt = 16
    """The largest change epsilon of an entry, in levels of 255."""
    spared: NonNegativeFloat = 0.0
    """Bits per dimension up to which an image is left as it is."""
    reach: PositiveInt = 3
    """Rows above a pixel that its density sees, columns to either side, and pixels on the left."""
    hidden: PositiveInt = 192
    """Units of each of the perceptron's two hidden layers."""
    mixtures: PositiveInt = 5
    """Components of a mixture."""
    steps: PositiveInt = 3000
    """Mini-batches that the density learns from."""
    batch_size: PositiveInt = 64
    """Images in a mini-batch."""
    pixels: PositiveInt = 64
    """Pixels of each image of a mini-batch, drawn at random."""
    learning_rate: PositiveFloat = 0.002
    """Step size of Adam at first."""

    def fit(self, x, y, *, model=None, rng=0):
        rng, held_out = seeded(rng), max(1, len(x) // 10)
        if len(x) < 2:
            raise ValueError(f"x: expected two images or more to learn from, got {len(x)}")
        density = self._density(x.shape[1], rng.seed).to(x.device)
        levels = _levels(x)
        self._train(density, levels[:-held_out], rng)
        learned = {f"network.{name}": value for name, value in density.state_dict().items()}
        bits = self.bits_per_dimension(learned, x[-held_out:]).mean()
        logger.info("%.3f bits per dimension of images that it did not learn from", bits)
        return learned | {"bits_per_dimension": bits}

    def bits_per_dimension(self, learned, x):
        """Of the images ``x``, rounded to levels, by what was learned: shape N, double."""
        with torch.no_grad():
            return self._restored(learned).to(x.device).bits_per_dimension(_levels(x))

    def transformation(self, learned):
        from advsparse.defenses._autoregressive import purified

        density = self._restored(learned)

        def t(x):
            density.to(x.device)
            given = _levels(x)
            parts = given.split(_AT_ONCE)
            found = torch.cat([purified(density, part, self.eps) for part in parts])
            if self.spared:
                with torch.no_grad():
                    likely = density.bits_per_dimension(given) <= self.spared
                found = torch.where(per_image(likely, x), given, found)
            return found.to(x.dtype) / torch.full((), 255.0, dtype=x.dtype, device=x.device)

        return t

    def _density(self, channels, seed):
        from advsparse.defenses._autoregressive import Density

        with layers_drawn_from(seed):
            return Density(channels, reach=self.reach, hidden=self.hidden, mixtures=self.mixtures)

    def _restored(self, learned):
        """The density, in double precision: what is likeliest is then told the same way whatever
        the batch."""
        weights = {
            name.removeprefix("network."): value
            for name, value in learned.items()
            if name.startswith("network.")
        }
        inputs = weights["layers.0.weight"].shape[1]
        seen = 2 * self.reach * (self.reach + 1)
        density = self._density(inputs // seen - 1, 0).double()
        density.load_state_dict(weights)
        return density.eval().requires_grad_(False)

    def _train(self, density, levels, rng):
        optimizer, total = torch.optim.Adam(density.parameters(), lr=self.learning_rate), 0.0
        height, width = levels.shape[2:]
        generator, told = rng.generator("steps"), max(1, self.steps // 20)
        for step in range(self.steps):
            image = torch.randint(len(levels), (self.batch_size,), generator=generator)
            at = torch.randint(
                height * width, (self.batch_size, self.pixels), generator=generator
            ).to(levels.device)
            x = levels[image.to(levels.device)]
            mixture = density.mixture(density.canvas(x), at // width, at % width)
            values = x.flatten(2).transpose(1, 2)
            values = values.gather(1, at[..., None].expand(*at.shape, x.shape[1]))
            loss = -mixture.joint(values).mean()
            optimizer.param_groups[0]["lr"] = self.learning_rate * (1 - step / self.steps)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) / x.shape[1]
            if (step + 1) % told == 0:
                logger.info(
                    "step %d of %d: %.3f nats per dimension", step + 1, self.steps, total / told
                )
                total = 0.0


def _levels(x):
    return (x.detach().clamp(0, 1) * 255).round().long()
