"""What varies slowly over an image, by a quadratic penalty of its differences."""

from __future__ import annotations

from advsparse.lazy import torch


def low_pass(x: torch.Tensor, weight: float = 5.0, padding: int = 16) -> torch.Tensor:
    r"""The slow part s of images N x C x H x W.

    .. math:: s = \arg\min_s \tfrac12 \|s - x\|_2^2 + \tfrac{w}{2} \sum_i \|G_i s\|_2^2

    with G the differences down and across, on a torus, to which the image is extended by
    ``padding`` mirrored pixels on each side. sporco's ``tikhonov_filter``.
    """
    wide = mirrored(x, padding)
    sides = wide.shape[2:]
    slope = [
        2 - 2 * torch.cos(2 * torch.pi * torch.arange(side, dtype=x.dtype, device=x.device) / side)
        for side in sides
    ]
    gain = 1 / (1 + weight * (slope[0][:, None] + slope[1]))
    spectrum = torch.fft.rfft2(wide) * gain[:, : sides[1] // 2 + 1]
    return cropped(torch.fft.irfft2(spectrum, s=sides), padding)


def mirrored(x: torch.Tensor, padding: int) -> torch.Tensor:
    """Images with ``padding`` more pixels on each side, mirrored with those at the edge, as often
    as it takes."""
    for axis in (2, 3):
        side = x.shape[axis]
        place = torch.arange(-padding, side + padding, device=x.device) % (2 * side)
        x = x.index_select(axis, torch.minimum(place, 2 * side - 1 - place))
    return x


def cropped(x: torch.Tensor, padding: int) -> torch.Tensor:
    """Images without ``padding`` pixels on each side."""
    height, width = x.shape[2:]
    return x[:, :, padding : height - padding, padding : width - padding]
