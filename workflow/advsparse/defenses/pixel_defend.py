"""PixelDefend."""

from __future__ import annotations

import logging
from typing import Literal

from advsparse.defenses._base import Transformation
from advsparse.lazy import torch
from advsparse.prefixes import below, under
from advsparse.seeding import layers_drawn_from, seeded
from advsparse.settings import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    PositiveShare,
    Share,
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

    Each pixel has a mixture of discretised logistics, as in PixelCNN++, with means that are shifted
    by the channels before. What those say of the components is taken into account exactly. Two
    networks may tell the mixture. A ``local`` one, for a CPU, is a small PixelCNN: a perceptron
    sees the rows above, as many columns to either side, and as many pixels on the left. It learns
    by Adam, with steps that fall to 0 along a line. ``pixelcnnpp``, for a GPU, is PixelCNN++: gated
    residual blocks of weight-normalised convolutions see all that is before, at three resolutions.
    It learns by Adam (0.95, 0.9995), from a start that is fitted to the first mini-batch, and its
    weights are averaged over steps; its authors took far more steps than there are by default.
    Either is evaluated in double precision.

    With ``spared``, an image that is likely enough as it is stays as it is (the paper's adaptive
    variant).

    Source: Song et al. 2018, section 4 and algorithm 1 (epsilon of 16 for CIFAR-10); Salimans et
    al. 2017 (the mixture, PixelCNN++ and how it learns); sun2019, section 4. Their network is
    ``pixelcnnpp``.

    Cost: for each entry 2 epsilon + 1 densities of each component; with ``local``, H W passes of
    the perceptron, in W + (reach + 1)(H - 1) steps that wait for each other; with ``pixelcnnpp``,
    four rows of the network for each pixel. Learning: steps times batch times pixels passes of the
    perceptron, or steps times batch passes of the network, whatever the number of images.

    Attacks: Athalye, Carlini and Wagner 2018: accuracy 9 % at linf 0.031 (CIFAR-10), by BPDA with
    the identity.
    """

    learns = True
    backward = "identity"

    eps: NonNegativeInt = 16
    """The largest change epsilon of an entry, in levels of 255."""
    spared: NonNegativeFloat = 0.0
    """Bits per dimension up to which an image is left as it is."""
    network: Literal["local", "pixelcnnpp"] = "local"
    """What tells the mixture of a pixel from those before it."""
    reach: PositiveInt = 3
    """Rows above a pixel that its density sees, columns to either side, and pixels on the left;
    ``local`` alone."""
    hidden: PositiveInt = 192
    """Units of each of the perceptron's two hidden layers; ``local`` alone."""
    filters: PositiveInt = 160
    """Channels of each of the two streams of layers; ``pixelcnnpp`` alone."""
    blocks: PositiveInt = 5
    """Blocks of a stream at each resolution, on the way there; ``pixelcnnpp`` alone."""
    dropout: Share = 0.5
    """Share of entries within a block that is left out in training; ``pixelcnnpp`` alone."""
    mixtures: PositiveInt | None = None
    """Components of a mixture; by default 5, and 10 of ``pixelcnnpp``."""
    steps: PositiveInt = 3000
    """Mini-batches that the density learns from."""
    batch_size: PositiveInt = 64
    """Images in a mini-batch."""
    pixels: PositiveInt = 64
    """Pixels of each image of a mini-batch, drawn at random; ``local`` alone."""
    learning_rate: PositiveFloat | None = None
    """Step size of Adam at first; by default 0.002, and 0.001 of ``pixelcnnpp``."""
    decay: PositiveShare = 0.999995
    """What each step makes of the step size; ``pixelcnnpp`` alone."""
    averaging: Share = 0.9995
    """Share of the averaged weights that a step leaves; ``pixelcnnpp`` alone."""

    def fit(self, x, y, *, model=None, rng=0):
        rng, held_out = seeded(rng), max(1, len(x) // 10)
        if len(x) < 2:
            raise ValueError(f"x: expected two images or more to learn from, got {len(x)}")
        density = self._density(x.shape[1], rng.seed).to(x.device)
        levels = _levels(x)
        density = self._trained(density, levels[:-held_out], rng)
        learned = under(density.state_dict(), "network.")
        bits = self.bits_per_dimension(learned, x[-held_out:]).mean()
        logger.info("%.3f bits per dimension of images that it did not learn from", bits)
        return learned | {"bits_per_dimension": bits}

    def bits_per_dimension(self, learned, x):
        """Of the images ``x``, rounded to levels, by what was learned: shape N, double."""
        with torch.no_grad():
            return self._restored(learned).to(x.device).bits_per_dimension(_levels(x))

    def transformation(self, learned):
        density = self._restored(learned)

        def t(x):
            density.to(x.device)
            given = _levels(x)
            parts = given.split(_AT_ONCE)
            found = torch.cat([density.purified(part, self.eps) for part in parts])
            if self.spared:
                with torch.no_grad():
                    likely = density.bits_per_dimension(given) <= self.spared
                found = torch.where(per_image(likely, x), given, found)
            return found.to(x.dtype) / torch.full((), 255.0, dtype=x.dtype, device=x.device)

        return t

    def _density(self, channels, seed):
        with layers_drawn_from(seed):
            if self.network == "pixelcnnpp":
                from advsparse.defenses._pixelcnnpp import PixelCNN

                return PixelCNN(
                    channels,
                    filters=self.filters,
                    blocks=self.blocks,
                    mixtures=self.mixtures or 10,
                    dropout=self.dropout,
                )
            from advsparse.defenses._autoregressive import Density

            return Density(
                channels, reach=self.reach, hidden=self.hidden, mixtures=self.mixtures or 5
            )

    def _restored(self, learned):
        """The density, in double precision: what is likeliest is then told the same way whatever
        the batch."""
        weights = below(learned, "network.")
        first, seen = {
            "local": ("layers.0.weight", 2 * self.reach * (self.reach + 1)),
            "pixelcnnpp": ("rows.layer.parametrizations.weight.original1", 1),
        }[self.network]
        if first not in weights:
            raise ValueError(f"learned: not by the network {self.network!r}")
        density = self._density(weights[first].shape[1] // seen - 1, 0).double()
        density.load_state_dict(weights)
        return density.eval().requires_grad_(False)

    def _trained(self, density, levels, rng):
        if self.network == "pixelcnnpp":
            from advsparse.defenses._pixelcnnpp_training import trained

            return trained(
                density,
                levels,
                rng,
                steps=self.steps,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate or 0.001,
                decay=self.decay,
                averaging=self.averaging,
            )
        self._train(density, levels, rng)
        return density

    def _train(self, density, levels, rng):
        rate, total = self.learning_rate or 0.002, 0.0
        optimizer = torch.optim.Adam(density.parameters(), lr=rate)
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
            optimizer.param_groups[0]["lr"] = rate * (1 - step / self.steps)
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
