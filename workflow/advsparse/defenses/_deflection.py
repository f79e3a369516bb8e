"""Pixels that are copied from others nearby, fewer where a network looks. Imports torch."""

from __future__ import annotations

import numpy as np
import torch

from advsparse.defenses._resizing import drawn, interpolation
from advsparse.models._convolutions import class_maps, last_convolution

_LEAST = 4
"""Pixels a side that a map has at least."""

_LAST = 1.2
"""What the map of the last class is multiplied by, as the authors' code has it."""


def robust_map(model: torch.nn.Module, x: torch.Tensor, count: int) -> torch.Tensor:
    """Where the network looks for any of the ``count`` most probable classes, N x H x W in [0, 1];
    0 where a network has no convolution that tells, and for images on which it tells no places
    apart."""
    layer = last_convolution(model, x[:1], _LEAST) if count else None
    if layer is None:
        return x.new_zeros(len(x), *x.shape[2:])
    *others, last = class_maps(model, layer, x, count).unbind(1)
    robust = _LAST * last if others else last
    for one in reversed(others):
        robust = (robust + one) / 2
    down, along = (
        interpolation(*sides).to(x) for sides in zip(robust.shape[1:], x.shape[2:], strict=True)
    )
    robust = down @ robust @ along.T
    low, high = (edge[:, None, None] for edge in robust.flatten(1).aminmax(dim=1))
    return torch.where(high > low, (robust - low) / (high - low), 0.0)


def deflected(
    x: torch.Tensor, shunned: torch.Tensor, copies: int, window: int, numbers: torch.Tensor
) -> torch.Tensor:
    """``x`` (N x C x H x W) with up to ``copies`` entries taken from others of their channel.

    ``numbers``, N x tries x 5 in [0, 1), tell for each try a place, whether it is taken, with
    probability 1 - ``shunned`` (N x H x W), and the place that its entry is copied from, up to
    ``window`` pixels away along either axis. Channels take turns. The last copy to a place counts.
    """
    image = torch.arange(len(x), device=x.device)[:, None]
    (row, column), sources = _places(x, window, numbers)
    taken = numbers[..., 2] >= shunned[image, row, column]
    channel = (torch.arange(numbers.shape[1], device=x.device) % x.shape[1]).expand_as(row)
    values = x[image, channel, *sources]
    # Those that are taken come first, in order.
    first = (~taken).long().argsort(dim=1, stable=True)[:, :copies]
    found = x.clone()
    for one in first.T[..., None]:
        place = (image, *(part.gather(1, one) for part in (channel, row, column)))
        found[place] = torch.where(taken.gather(1, one), values.gather(1, one), found[place])
    return found


def _places(x, window, numbers):
    """The places of all tries, and those that they copy from, rows and columns; N x tries each."""
    to, sources = [], []
    for axis, side in enumerate(x.shape[2:]):
        place = drawn(numbers[..., axis], side)
        low, high = (place - window).clamp(min=0), (place + window).clamp(max=side - 1)
        to.append(place)
        sources.append(low + drawn(numbers[..., 3 + axis], high - low + 1))
    return to, sources


def smoothed(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """Images after wavelet shrinkage by scikit-image, as BayesShrink has it, in [0, 1]."""
    if not sigma:
        return x
    found = [_smoothed(image, sigma) for image in x.permute(0, 2, 3, 1).cpu().numpy()]
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).to(x).clamp(0, 1)


def _smoothed(image, sigma):
    from skimage.restoration import denoise_wavelet

    return denoise_wavelet(
        image,
        sigma=sigma,
        wavelet="db1",
        mode="soft",
        method="BayesShrink",
        convert2ycbcr=image.shape[2] == 3,
        channel_axis=2,
    )
