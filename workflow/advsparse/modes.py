"""Torch's modes that a caller may have switched on: autocast, and inference mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from advsparse.lazy import torch

_DEVICES = ("cpu", "cuda")
"""The kinds of device that autocast may be switched on for."""


def autocasts() -> list[tuple[str, torch.dtype]]:
    """The kinds of device that autocast is on for, and its precision there."""
    return [
        (device, torch.get_autocast_dtype(device))
        for device in _DEVICES
        if torch.is_autocast_enabled(device)
    ]


@contextmanager
def exactly() -> Iterator[None]:
    """Without autocast, which is for networks: what is computed inside needs all of its digits."""
    with ExitStack() as stack:
        for device, _ in autocasts():
            stack.enter_context(torch.autocast(device, enabled=False))
        yield


def as_autocast(*operands: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The operands of a product, in the precision that autocast wants, if it is on for them.

    Like torch it leaves float64 alone.
    """
    # Asked first, and so: small convolutions take little longer than it takes to name their device.
    if not (torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda")):
        return operands
    wanted = dict(autocasts()).get(operands[0].device.type)
    if wanted is None:
        return operands
    return tuple(one if one.dtype == torch.float64 else one.to(wanted) for one in operands)


def outside_inference(given: torch.Tensor) -> torch.Tensor:
    """``given``, or a copy where it comes from inference mode and may now meet a graph."""
    if given.is_inference() and not torch.is_inference_mode_enabled():
        return given.clone()
    return given


def recordable(given: torch.Tensor) -> torch.Tensor:
    """``given`` without its graph, as a tensor that gradients can be taken through.

    Those made in inference mode have to be copied, and outside of it.
    """
    given = given.detach()
    return given.clone() if given.is_inference() else given
