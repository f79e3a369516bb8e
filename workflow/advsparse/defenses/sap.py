"""Stochastic activation pruning."""

from __future__ import annotations

import copy
import math
from typing import Literal

from advsparse.defenses._base import Inside
from advsparse.lazy import torch
from advsparse.seeding import Random
from advsparse.settings import PositiveFloat, settings


@settings
class SAP(Inside):
    r"""Activations of a layer are kept if they are drawn at least once in r draws, and made up for.

    .. math:: h_j \mapsto \frac{m_j\, h_j}{1 - (1 - p_j)^r}, \quad
              m_j = 1[j \text{ drawn}], \quad p_j = \frac{|h_j|}{\sum_k |h_k|},
              \quad r = \lceil \rho\, n \rceil

    so that its mean is h; with replacement, for each image and each layer with n activations. The
    network is not trained again. The derivative is that of the layers through what was kept.

    Source: Dhillon et al. 2018, section 4; sun2019, table 4.
    """

    stochastic = True

    share: PositiveFloat = 1.0
    """The number of draws as a share rho of a layer's activations."""
    after: Literal["relu", "convolution"] = "relu"
    """The layers that are pruned: every ReLU, as its authors', or the result of every convolution,
    as Athalye, Carlini and Wagner's (2018)."""

    def changed(self, model, learned):
        return _Pruned(model, self)


class _Pruned:
    """The network, whose layers' results are pruned by hooks while it runs."""

    def __init__(self, model: torch.nn.Module, settings: SAP) -> None:
        # Another module with the same weights: the one that was given stays as it is.
        memo = {id(one): one for one in [*model.parameters(), *model.buffers()]}
        self.model = copy.deepcopy(model, memo)
        self.model.eval()
        kind = torch.nn.ReLU if settings.after == "relu" else torch.nn.Conv2d
        layers = [module for module in self.model.modules() if isinstance(module, kind)]
        if not layers:
            raise ValueError(f"the network has no {kind.__name__} after which sap could prune")
        self._random = Random()
        for index, layer in enumerate(layers):
            # What works in place would write over what its derivative needs.
            if isinstance(layer, torch.nn.ReLU):
                layer.inplace = False
            layer.register_forward_hook(self._hook(index, settings.share))

    def __call__(self, x, rng):
        # By the images: what layers make of them rounds as the batch has it.
        self._random, self._calls = rng.of(x), 0
        return self.model(x)

    def _hook(self, index, share):
        def prune(layer, inputs, output):
            self._calls += 1  # a layer may run more than once
            return pruned(output, share, self._random.part("sap", index, self._calls))

        return prune


def pruned(h: torch.Tensor, share: float, rng) -> torch.Tensor:
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
