"""Densities of images, pixel by pixel, and the one in which a pixel sees what is near and before
it. Imports torch: the defence imports this when it is made."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator

import torch

_SMALLEST = -7.0
"""The logarithm of the smallest scale of a logistic, as PixelCNN++ has it."""
_AT_ONCE = 2**14
"""Pixels whose density is computed at once, or those of one image."""


class Autoregressive(torch.nn.Module):
    """A density of images N x C x H x W of whole numbers below ``levels``: by pixels, in raster
    order, each of which has a mixture of ``mixtures`` logistics, given those before it."""

    def __init__(self, channels: int, levels: int, mixtures: int) -> None:
        super().__init__()
        self.channels, self.levels, self.mixtures = channels, levels, mixtures
        self.outputs = mixtures * (1 + 2 * channels + channels * (channels - 1) // 2)
        """Numbers that tell a mixture."""

    @abstractmethod
    def everywhere(self, x: torch.Tensor) -> Mixture:
        """The mixtures of all pixels of the images ``x``, in raster order: N x HW of them."""

    @abstractmethod
    def purified(self, x: torch.Tensor, eps: int) -> torch.Tensor:
        """``x``, each entry the most likely within ``eps`` of what it was, given those before it as
        they have become: pixels in raster order, channels one by one."""

    def mixture_of(self, said: torch.Tensor) -> Mixture:
        """That of pixels, by what a network says of each, ... x outputs."""
        return Mixture(said, self.channels, self.mixtures, self.levels)

    def bits_per_dimension(self, x: torch.Tensor) -> torch.Tensor:
        """Minus the logarithm of the density, to base 2, over the number of entries; shape N."""
        found = []
        for part in x.split(max(1, _AT_ONCE // (x.shape[2] * x.shape[3]))):
            pixels = part.flatten(2).transpose(1, 2)
            nats = -self.everywhere(part).joint(pixels).sum(1)
            found.append(nats / (math.log(2) * part[0].numel()))
        return torch.cat(found)


class Density(Autoregressive):
    """The density of images N x C x H x W of whole numbers below ``levels``.

    Each pixel, in raster order, has a mixture of logistics in C dimensions, from a perceptron that
    sees the ``reach`` rows above it, ``reach`` columns to either side, and as many pixels left of
    it. The mean of a channel is shifted by those before it. The numbers of the layers are drawn
    from torch's generator.
    """

    def __init__(
        self, channels: int, *, levels: int = 256, reach: int = 3, hidden: int = 192, mixtures: int
    ) -> None:
        super().__init__(channels, levels, mixtures)
        self.reach = reach
        around = range(-reach, reach + 1)
        places = [(row, column) for row in range(-reach, 0) for column in around]
        places += [(0, column) for column in range(-reach, 0)]
        self._places = torch.tensor(places)
        nn = torch.nn
        self.layers = nn.Sequential(
            *(nn.Linear((channels + 1) * len(places), hidden), nn.ReLU()),
            *(nn.Linear(hidden, hidden), nn.ReLU()),
            nn.Linear(hidden, self.outputs),
        )

    def canvas(self, x: torch.Tensor) -> torch.Tensor:
        """What contexts are read from: numbers in [-1, 1] and, as a channel more, 1 for inside;
        beyond the border all is 0."""
        values = scaled(x, self.levels).to(self.layers[0].weight)
        inside = torch.cat([values, torch.ones_like(values[:, :1])], dim=1)
        return torch.nn.functional.pad(inside, [self.reach, self.reach, self.reach, 0])

    def mixture(self, canvas: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> Mixture:
        """That of pixels at places that are the same for all images (P), or of each (N x P)."""
        down, along = (
            at[..., None] + self.reach + self._places[:, axis].to(at.device)
            for axis, at in enumerate((rows, columns))
        )
        image = torch.arange(len(canvas), device=canvas.device)[:, None, None]
        context = canvas.permute(0, 2, 3, 1)[image, down, along].flatten(2)
        return self.mixture_of(self.layers(context))

    def everywhere(self, x):
        height, width = x.shape[2:]
        at = torch.arange(height * width, device=x.device)
        return self.mixture(self.canvas(x), at // width, at % width)

    def purified(self, x, eps):
        return purified(self, x, eps)


class Mixture:
    """Mixtures of logistics over C whole numbers, by what a network says of each, ... x outputs."""

    def __init__(self, said: torch.Tensor, channels: int, mixtures: int, levels: int) -> None:
        parts = said.unflatten(-1, (mixtures, -1))
        sizes = [1, channels, channels, channels * (channels - 1) // 2]
        weights, self._means, scales, couplings = parts.split(sizes, dim=-1)
        self.weights = weights[..., 0].log_softmax(-1)
        """Logarithms of the weights of the components."""
        self._inverse = (-scales.clamp(min=_SMALLEST)).exp()
        self._couplings = couplings.tanh()
        self._channels, self._levels = channels, levels

    def joint(self, pixels: torch.Tensor) -> torch.Tensor:
        """The logarithm of the density of whole ``pixels``, ... x C."""
        total = self.weights
        for channel in range(self._channels):
            before, value = pixels[..., :channel], pixels[..., channel]
            total = total + self.components(channel, before, value, 1)[..., 0]
        return total.logsumexp(-1)

    def components(
        self, channel: int, before: torch.Tensor, first: torch.Tensor, count: int
    ) -> torch.Tensor:
        """The logarithm of what each component says of ``count`` values of a channel, from
        ``first`` on, given the channels ``before`` it; ... x mixtures x count.

        What lies beyond the levels has numbers that mean nothing.
        """
        mean, inverse = self._means[..., channel], self._inverse[..., channel]
        start = channel * (channel - 1) // 2
        for other in range(channel):
            shift = scaled(before[..., other], self._levels).to(mean)
            mean = mean + self._couplings[..., start + other] * shift[..., None]
        values = first[..., None] + torch.arange(count + 1, device=first.device)
        edges = (2 * values.to(mean) - 1) / (self._levels - 1) - 1
        at = (edges[..., None, :] - mean[..., None]) * inverse[..., None]
        # sigma(b) - sigma(a) = sigma(b) sigma(-a) (1 - exp(a - b)), which tails round to no 0.
        below = torch.nn.functional.logsigmoid(at)
        above = below - at
        width = 2 * inverse / (self._levels - 1)
        middle = below[..., 1:] + above[..., :-1] + (-torch.expm1(-width)).log()[..., None]
        values = values[..., None, :-1]
        # The first and the last level reach to infinity.
        found = torch.where(values == 0, below[..., 1:], middle)
        return torch.where(values == self._levels - 1, above[..., :-1], found)


def scaled(values: torch.Tensor, levels: int) -> torch.Tensor:
    """Whole numbers below ``levels`` as numbers in [-1, 1]."""
    return 2 * values.double() / (levels - 1) - 1


def wavefront(height: int, width: int, reach: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Rows and columns of pixels, those that need not wait for each other together."""
    rows = torch.arange(height)
    for step in range(width + (reach + 1) * (height - 1)):
        columns = step - (reach + 1) * rows
        ready = (columns >= 0) & (columns < width)
        yield rows[ready], columns[ready]


@torch.no_grad()
def purified(
    density: Density,
    x: torch.Tensor,
    eps: int,
    order: Iterator[tuple[torch.Tensor, torch.Tensor]] | None = None,
) -> torch.Tensor:
    """See :meth:`Autoregressive.purified`.

    order: another one of pixels, in which what a pixel sees comes before it.
    """
    if order is None:
        order = wavefront(x.shape[2], x.shape[3], density.reach)
    found, canvas = x.clone(), density.canvas(torch.zeros_like(x))
    for rows, columns in order:
        rows, columns = rows.to(x.device), columns.to(x.device)
        pixels = x[:, :, rows, columns].transpose(1, 2)
        chosen = likeliest(density.mixture(canvas, rows, columns), pixels, eps, density.levels)
        found[:, :, rows, columns] = chosen.transpose(1, 2)
        values = scaled(chosen, density.levels).to(canvas).transpose(1, 2)
        canvas[:, :-1, rows + density.reach, columns + density.reach] = values
    return found


def likeliest(mixture: Mixture, pixels: torch.Tensor, eps: int, levels: int) -> torch.Tensor:
    """The values of pixels, N x P x C, within ``eps``, one channel after the other."""
    total, chosen = mixture.weights, pixels[..., :0]
    for channel in range(pixels.shape[-1]):
        first = (pixels[..., channel] - eps).clamp(min=0)
        last = (pixels[..., channel] + eps).clamp(max=levels - 1)
        count = min(2 * eps + 1, levels)
        components = mixture.components(channel, chosen, first, count)
        # The weights of components are what the channels before have made of them.
        likely = (total[..., None] + components).logsumexp(-2)
        values = first[..., None] + torch.arange(count, device=first.device)
        best = likely.masked_fill(values > last[..., None], -torch.inf).argmax(-1)
        at = best[..., None, None].expand(*total.shape, 1)
        total = total + components.gather(-1, at)[..., 0]
        chosen = torch.cat([chosen, (first + best)[..., None]], dim=-1)
    return chosen
