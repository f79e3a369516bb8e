"""PixelCNN++, a density of images in which each pixel sees all before it. Imports torch: the
defence imports this when it is made."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch.nn.utils import parametrizations, parametrize

from advsparse.defenses._autoregressive import Autoregressive, likeliest, scaled

_BLOCK = 4
"""Rows that the lowest resolution makes one of."""


class Sight(NamedTuple):
    """What a convolution sees besides the place itself."""

    above: int
    left: int
    right: int


DOWN, ASIDE, ALONE = Sight(1, 1, 1), Sight(1, 1, 0), Sight(0, 0, 0)
"""What is above, to either side; what is above and on the left; the place alone."""


class Above:
    """The last row of what each layer was given for the rows above those that it is given now.

    At first it is all 0, as beyond the border.
    """

    def __init__(self) -> None:
        self._rows: dict[object, torch.Tensor] = {}
        self._next: dict[object, torch.Tensor] = {}

    def on(self, layer: object, x: torch.Tensor) -> torch.Tensor:
        """``x`` with that row on it."""
        self._next[layer] = x[:, :, -1:]
        row = self._rows.get(layer)
        return torch.cat([torch.zeros_like(x[:, :, :1]) if row is None else row, x], dim=2)

    def move_on(self) -> None:
        """What layers were given last is above what they are given next."""
        self._rows, self._next = self._next, {}


class Convolution(torch.nn.Module):
    """One with weight normalisation, of what is in sight; ``scale``: its deviation at first."""

    def __init__(self, inputs, outputs, sight, *, stride=1, scale=1.0):
        super().__init__()
        self.sight, self.scale = sight, scale
        size = sight.above + 1, sight.left + 1 + sight.right
        self.layer = parametrizations.weight_norm(torch.nn.Conv2d(inputs, outputs, size, stride))

    def forward(self, x, above):
        if self.sight.above:
            x = above.on(self, x)
        return self.layer(torch.nn.functional.pad(x, [self.sight.left, self.sight.right]))


class Enlargement(torch.nn.Module):
    """A transposed convolution to twice as many rows and columns, with weight normalisation."""

    scale = 1.0

    def __init__(self, filters, sight):
        super().__init__()
        self.sight = sight
        size = sight.above + 1, sight.left + 1 + sight.right
        layer = torch.nn.ConvTranspose2d(filters, filters, size, 2, output_padding=1)
        self.layer = parametrizations.weight_norm(layer, dim=1)

    def forward(self, x):
        first = self.sight.right
        return self.layer(x)[:, :, : 2 * x.shape[2], first : first + 2 * x.shape[3]]


class Gated(torch.nn.Module):
    """A gated residual block, which may be told something ``besides``, of so many channels."""

    def __init__(self, filters, sight, dropout, besides=0):
        super().__init__()
        self.first = Convolution(2 * filters, filters, sight)
        if besides:
            self.besides = Convolution(2 * besides, filters, ALONE)
        self.dropout = torch.nn.Dropout(dropout)
        self.second = Convolution(2 * filters, 2 * filters, sight, scale=0.1)

    def forward(self, x, above, besides=None):
        hidden = self.first(_both_elu(x), above)
        if besides is not None:
            hidden = hidden + self.besides(_both_elu(besides), above)
        value, gate = self.second(self.dropout(_both_elu(hidden)), above).chunk(2, dim=1)
        return x + value * gate.sigmoid()


class PixelCNN(Autoregressive):
    """The density of images N x C x H x W of whole numbers below ``levels``.

    One stream of layers sees the rows above a pixel, the other what is on its left too and what the
    first says. Both go through ``blocks`` blocks at each of three resolutions, and back again
    through as many, and one at each change of resolution, that are told what came out on the way
    there. Images whose sides are no multiples of 4 are continued to the right and below by what is
    beyond any border, 0. The numbers of the layers are drawn from torch's generator.
    """

    def __init__(
        self,
        channels: int,
        *,
        levels: int = 256,
        filters: int = 160,
        blocks: int = 5,
        mixtures: int = 10,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(channels, levels, mixtures)
        inputs, stages, nn = channels + 1, range(3), torch.nn
        self.rows = Convolution(inputs, filters, DOWN)
        self.over = Convolution(inputs, filters, Sight(0, 1, 1))
        self.beside = Convolution(inputs, filters, Sight(1, 0, 0))

        def pairs(count, back):
            return nn.ModuleList(
                nn.ModuleList(
                    [
                        Gated(filters, DOWN, dropout, filters if back else 0),
                        Gated(filters, ASIDE, dropout, 2 * filters if back else filters),
                    ]
                )
                for _ in range(count)
            )

        def changes(kind, **options):
            return nn.ModuleList(
                nn.ModuleList(kind(sight=sight, **options) for sight in (DOWN, ASIDE))
                for _ in stages[1:]
            )

        self.there = nn.ModuleList(pairs(blocks, back=False) for _ in stages)
        self.smaller = changes(Convolution, inputs=filters, outputs=filters, stride=2)
        self.back = nn.ModuleList(pairs(blocks + (stage > 0), back=True) for stage in stages)
        self.larger = changes(Enlargement, filters=filters)
        self.said = Convolution(filters, self.outputs, ALONE)

    def canvas(self, x: torch.Tensor) -> torch.Tensor:
        """Numbers in [-1, 1] and, as a channel more, 1 for inside; beyond the border all is 0."""
        values = scaled(x, self.levels).to(self.said.layer.bias)
        inside = torch.cat([values, torch.ones_like(values[:, :1])], dim=1)
        down, along = (-side % _BLOCK for side in x.shape[2:])
        return torch.nn.functional.pad(inside, [0, along, 0, down])

    def forward(self, x: torch.Tensor, above: Above | None = None) -> torch.Tensor:
        """What it says of the pixels of a canvas, or of the next rows of one, a multiple of 4."""
        above = Above() if above is None else above
        u = above.on("rows", self.rows(x, above))[:, :, :-1]
        over = above.on("over", self.over(x, above))[:, :, :-1]
        beside = torch.nn.functional.pad(self.beside(x, above), [1, -1])
        v = over + beside
        passed = [(u, v)]
        for stage, pairs in enumerate(self.there):
            if stage:
                down, aside = self.smaller[stage - 1]
                u, v = down(u, above), aside(v, above)
                passed.append((u, v))
            for down, aside in pairs:
                u = down(u, above)
                v = aside(v, above, u)
                passed.append((u, v))
        passed.pop()
        for stage, pairs in enumerate(self.back):
            if stage:
                down, aside = self.larger[stage - 1]
                u, v = down(u), aside(v)
            for down, aside in pairs:
                other_u, other_v = passed.pop()
                u = down(u, above, other_u)
                v = aside(v, above, torch.cat([u, other_v], dim=1))
        return self.said(torch.nn.functional.elu(v), above)

    def everywhere(self, x):
        said = self(self.canvas(x))[:, :, : x.shape[2], : x.shape[3]]
        return self.mixture_of(said.flatten(2).transpose(1, 2))

    @torch.no_grad()
    def purified(self, x: torch.Tensor, eps: int) -> torch.Tensor:
        """See :func:`advsparse.defenses._autoregressive.purified`. For each pixel, four rows of the
        network are computed anew."""
        found, canvas, above = x.clone(), self.canvas(torch.zeros_like(x)), Above()
        height, width = x.shape[2:]
        with parametrize.cached():
            for top in range(0, height, _BLOCK):
                part = canvas[:, :, top : top + _BLOCK]
                rows = range(min(_BLOCK, height - top))
                for row, column in itertools.product(rows, range(width)):
                    mixture = self.mixture_of(self(part, above)[:, None, :, row, column])
                    pixel = x[:, None, :, top + row, column]
                    chosen = likeliest(mixture, pixel, eps, self.levels)[:, 0]
                    found[:, :, top + row, column] = chosen
                    part[:, :-1, row, column] = scaled(chosen, self.levels).to(part)
                self(part, above)
                above.move_on()
        return found


def _both_elu(x):
    return torch.nn.functional.elu(torch.cat([x, -x], dim=1))
