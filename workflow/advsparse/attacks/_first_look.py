"""What one pass of a single image shows: how much memory an attack needs for each."""

from __future__ import annotations

import sys
from typing import NamedTuple

from advsparse.attacks._asking import ask
from advsparse.lazy import torch


class FirstLook(NamedTuple):
    """What one forward pass of a single image shows."""

    nbytes: int
    """As :func:`bytes_per_image` has it."""
    logits: torch.Tensor
    excess: torch.Tensor | None
    """Of a detector that the attack is told of, where it was asked."""


def bytes_per_image(model: torch.nn.Module, x: torch.Tensor, gradients: bool = True) -> int:
    """Bytes that one forward pass of the single image ``x`` keeps for its backward pass.

    Without ``gradients`` the model never meets an image that requires one, which some can't stand;
    half of all the bytes that the pass writes stand in then: what an operation has written is freed
    once the next has read it.
    """
    return first_look(model, x, gradients).nbytes


def first_look(model: torch.nn.Module, x: torch.Tensor, gradients: bool = True) -> FirstLook:
    """What the pass shows that :func:`bytes_per_image` measures."""
    if gradients:
        return _kept(model, x)
    written, logits = _written(model, x)
    return FirstLook(x.nbytes + written // 2, logits, None)


def _kept(model, x):
    kept = x.nbytes
    # Weights are kept too, but once for all images.
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def count(tensor):
        nonlocal kept
        if tensor.untyped_storage().data_ptr() not in weights:
            kept += tensor.nbytes
        # Without its history: an operation that kept its own result would never be given up.
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        x = x.detach().requires_grad_()
        logits, excess = ask(model, x).detach(), None
        if getattr(model, "watched", False):
            excess = model.excess(x).detach()
    return FirstLook(kept, logits, excess)


def _written(model, x):
    from torch.utils._python_dispatch import TorchDispatchMode

    written = 0

    class Count(TorchDispatchMode):
        """Sees each operation, and counts what it returns unless that lies in what it was given."""

        @classmethod
        def _should_skip_dynamo(cls):
            # Torch would import its compiler to keep it away from here, which takes a second.
            return "torch._dynamo" in sys.modules

        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            nonlocal written
            found = operation(*args, **(kwargs or {}))
            given = {one.untyped_storage().data_ptr() for one in args if _is_tensor(one)}
            for one in found if isinstance(found, tuple | list) else [found]:
                if _is_tensor(one) and one.untyped_storage().data_ptr() not in given:
                    written += one.nbytes
            return found

    with torch.no_grad(), Count():
        logits = ask(model, x)
    return written, logits


def _is_tensor(given):
    return isinstance(given, torch.Tensor)
