"""Pruning of activations. Imports torch: the defence imports this when it wraps a model."""

from __future__ import annotations

import math

import torch

from advsparse.defenses._hooks import hooked
from advsparse.seeding import Random


class Pruned(torch.nn.Module):
    """A network, the results of whose layers of a ``kind`` are pruned by hooks while it runs."""

    def __init__(self, model: torch.nn.Module, kind: type[torch.nn.Module], share: float) -> None:
        super().__init__()
        self._random, self._share = Random(), share
        self.model = hooked(model, kind, self._hook, "sap could prune")

    def forward(self, x: torch.Tensor, rng: Random) -> torch.Tensor:
        # By the images: what layers make of them rounds as the batch has it.
        self._random, self._calls = rng.of(x), 0
        return self.model(x)

    def _hook(self, index):
        def prune(layer, inputs, output):
            self._calls += 1  # a layer may run more than once
            return pruned(output, self._share, self._random.part("sap", index, self._calls))

        return prune


def pruned(h: torch.Tensor, share: float, rng: Random) -> torch.Tensor:
    """``h`` (N x ...), what is not drawn of each image set to 0 and the rest made up for."""
    flat = h.flatten(1)
    size = flat.detach().abs().double()
    total = size.sum(1, keepdim=True)
    draws = math.ceil(share * flat.shape[1])
    uniform = rng.uniform_block(h, (draws,)).double()
    ends = size.cumsum(1)
    # The place whose interval holds the number; none of length 0 does.
    drawn = torch.searchsorted(ends, uniform * ends[:, -1:], right=True)
    kept = torch.zeros_like(size).scatter_(1, drawn.clamp(max=flat.shape[1] - 1), 1.0)
    probability = size / torch.where(total > 0, total, 1.0)
    chance = -torch.expm1(draws * torch.log1p(-probability.clamp(max=1 - 1e-15)))
    scale = torch.where(size > 0, kept / chance.clamp(min=1e-300), 0.0)
    return (flat * scale.to(h.dtype)).reshape(h.shape)
