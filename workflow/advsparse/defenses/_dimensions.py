"""Local intrinsic dimensions. Imports torch: the defence imports this when it is made."""

from __future__ import annotations

import torch

from advsparse.defenses._hooks import hooked

_NOTHING = 1e-10
"""Squared distances, as a share of squared lengths, that are taken for this: an image of the
reference has a distance from itself that is rounded."""
_LARGEST = 1000.0
"""What a dimension is at most: neighbours that are all as far give infinity."""
_AT_ONCE = 64
"""Images that are looked at at once."""


class Dimensions:
    """The dimension around each image at the input, at layers of a ``kind``, and at the logits.

    Neighbours are sought among the images ``reference``, the same for all. Called with images, it
    gives N x L numbers in double precision.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        kind: type[torch.nn.Module],
        reference: torch.Tensor,
        neighbours: int,
    ) -> None:
        self._model = hooked(model, kind, lambda _: self._heard, "lid could look")
        self._images, self._neighbours = reference, neighbours
        self._known: dict[tuple[torch.dtype, torch.device], list[torch.Tensor]] = {}
        self._layers: list[torch.Tensor] = []

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        key = x.dtype, x.device
        if key not in self._known:
            with torch.no_grad():
                self._known[key] = self._features(self._images.to(x))
        known = self._known[key]
        return torch.cat([self._around(part, known) for part in x.split(_AT_ONCE)])

    def classes(self, x: torch.Tensor) -> torch.Tensor:
        """What the network says of images."""
        with torch.no_grad():
            return torch.cat([self._model(part.clone()).argmax(1) for part in x.split(_AT_ONCE)])

    def _around(self, x, known):
        found = zip(self._features(x), known, strict=True)
        rows = [dimension(squared_distances(*pair), self._neighbours) for pair in found]
        return torch.stack(rows, dim=1)

    def _features(self, x):
        self._layers = [x.flatten(1).double()]
        try:
            logits = self._model(x.clone())
            return [*self._layers, logits.flatten(1).double()]
        finally:
            self._layers = []

    def _heard(self, layer, inputs, output):
        self._layers.append(output.flatten(1).double())


def squared_distances(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Of the rows of N x n from those of M x n, N x M; 0 what rounding can't tell from that."""
    lengths = one.square().sum(1, keepdim=True) + other.square().sum(1)
    squared = lengths - 2 * one @ other.T
    return torch.where(squared > _NOTHING * lengths.detach(), squared, 0.0)


def dimension(squared: torch.Tensor, neighbours: int) -> torch.Tensor:
    """The maximum likelihood estimate from squared distances (N x M) to a reference; shape N.

    Its derivative is that with the nearest neighbours held fast.
    """
    nearest = squared.topk(neighbours, dim=1, largest=False).values
    farthest = nearest[:, -1:]
    # The place of several is a point, which has no dimension.
    point = farthest[:, 0] == 0
    ratios = (nearest / torch.where(farthest > 0, farthest, 1.0)).clamp(min=_NOTHING)
    total = ratios.log().sum(1) / 2
    found = -neighbours / total.clamp(max=-neighbours / _LARGEST)
    return torch.where(point, 0.0, found)
