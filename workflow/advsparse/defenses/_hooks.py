"""Networks whose layers are listened to while they run. Imports torch: defences import this when
they are made for a network."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch

Hook = Callable[..., "torch.Tensor | None"]

LAYERS = {"relu": torch.nn.ReLU, "convolution": torch.nn.Conv2d}
"""Kinds of layers, as settings name them."""


def hooked(
    model: torch.nn.Module, kind: type[torch.nn.Module], hook: Callable[[int], Hook], what: str
) -> torch.nn.Module:
    """Another module with the weights of ``model``, in evaluation mode, with the forward hook
    ``hook(i)`` on its i-th layer of a ``kind``: the one that is given stays as it is.

    Raises ValueError if it has none after which ``what`` could be done.
    """
    memo = {id(one): one for one in [*model.parameters(), *model.buffers()]}
    other = copy.deepcopy(model, memo).eval()
    layers = [module for module in other.modules() if isinstance(module, kind)]
    if not layers:
        raise ValueError(f"the network has no {kind.__name__} after which {what}")
    for module in other.modules():
        # What works in place would write over what a derivative needs.
        if isinstance(module, torch.nn.ReLU):
            module.inplace = False
    for index, layer in enumerate(layers):
        layer.register_forward_hook(hook(index))
    return other
