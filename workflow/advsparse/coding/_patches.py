"""Patches of images, and images of their patches."""

from __future__ import annotations

from advsparse.lazy import torch


def patches_of(x: torch.Tensor, size: int, step: int = 1) -> torch.Tensor:
    """All ``size`` x ``size`` patches of images N x C x H x W, ``step`` pixels apart: N x P x m of
    m = C size^2 entries, channel after channel; P = (H - size + 1) (W - size + 1) for a step of 1.
    """
    return torch.nn.functional.unfold(x, size, stride=step).mT


def image_of(
    patches: torch.Tensor, size: int, shape: tuple[int, ...], step: int = 1
) -> torch.Tensor:
    """The images N x ``shape`` of which these are the patches, N x P x m: where patches overlap,
    their mean."""
    columns = patches.mT.contiguous()
    sums = torch.nn.functional.fold(columns, shape[1:], size, stride=step)
    counts = torch.nn.functional.fold(torch.ones_like(columns[:1]), shape[1:], size, stride=step)
    return sums / counts


def on_grid(x: torch.Tensor, size: int, step: int) -> torch.Tensor:
    """Images padded by reflection, below and at the right, so that patches ``step`` pixels apart
    end with them.

    Raises ValueError for images that are smaller than a patch.
    """
    check_sides(x, size)
    below, right = (-(side - size) % step for side in x.shape[2:])
    return torch.nn.functional.pad(x, (0, right, 0, below), mode="reflect")


def drawn_patches(
    x: torch.Tensor, size: int, count: int, generator: torch.Generator
) -> torch.Tensor:
    """``count`` patches of the images N x C x H x W at random places, count x m.

    Raises ValueError for images that are smaller than a patch.
    """
    check_sides(x, size)
    height, width = (side - size + 1 for side in x.shape[2:])
    place = torch.randint(len(x) * height * width, (count,), generator=generator).to(x.device)
    image, place = place // (height * width), place % (height * width)
    windows = x.unfold(2, size, 1).unfold(3, size, 1)
    return windows[image, :, place // width, place % width].flatten(1)


def check_sides(x: torch.Tensor, size: int) -> None:
    """Refuse images that are smaller than a patch."""
    if min(x.shape[2:]) < size:
        sides = " x ".join(map(str, x.shape[2:]))
        raise ValueError(f"patch: images of {sides} pixels have no patches of {size} x {size}")
