"""Images as codes of learned filters stand for them. Imports torch: a defence imports this when it
is made."""

from __future__ import annotations

import logging

import torch

from advsparse.coding._filter_learning import FilterLearning
from advsparse.coding._low_pass import cropped, low_pass, mirrored
from advsparse.coding._reconstruction import reconstructed
from advsparse.coding.cbpdn import CBPDN
from advsparse.seeding import Random
from advsparse.shapes import per_image

logger = logging.getLogger(__name__)


class SparseTransformation:
    """t of one set of filters."""

    def __init__(self, settings, filters: torch.Tensor) -> None:
        self.settings, self.filters = settings, filters
        self.coder = CBPDN(
            weight=settings.weight,
            gap_tolerance=settings.gap_tolerance,
            max_iterations=settings.max_iterations,
        )

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        settings = self.settings
        slow, wide = self.split(x)
        made = reconstructed(wide, self.filters, self.coder, settings.derivative == "unrolled")
        t = slow + cropped(made, settings.padding)
        if settings.rescale:
            largest = t.flatten(1).amax(1)
            t = t / per_image(torch.where(largest > 0, largest, 1.0), t)
        return t.clamp(0, 1)

    def split(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What of the images is not coded; and what is, extended by mirrored pixels."""
        slow = slow_part(self.settings, x)
        return slow, mirrored(x - slow, self.settings.padding)


def slow_part(settings, x: torch.Tensor) -> torch.Tensor:
    """What of the images is not coded."""
    return low_pass(x) if settings.low_pass == "tikhonov" else torch.zeros_like(x)


def learned_filters(settings, x: torch.Tensor, rng: Random) -> torch.Tensor:
    """Filters, K x C x h x w, from some of the images ``x``, N x C x H x W."""
    order = torch.randperm(len(x), generator=rng.generator("images"))
    chosen = x[order[: settings.images].to(x.device)]
    coded = windows(chosen - slow_part(settings, chosen), settings.window, rng)
    learning = FilterLearning(
        filters=settings.filters,
        size=settings.size,
        weight=settings.weight,
        zero_mean=settings.zero_mean,
        passes=settings.passes,
    )
    found = learning.learn(coded, rng.part("learning"))
    logger.info("filters learned from %d images: objective %.4f", len(coded), found.objective[-1])
    return found.filters


def windows(x: torch.Tensor, side: int, rng: Random) -> torch.Tensor:
    """A window at a random place of each image; all of it where a side is no longer than that."""
    generator = rng.generator("windows")
    for axis in (2, 3):
        room = x.shape[axis] - side
        if room > 0:
            start = torch.randint(room + 1, (len(x), 1, 1, 1), generator=generator)
            place = start + torch.arange(side).reshape([-1 if at == axis else 1 for at in range(4)])
            shape = [side if at == axis else length for at, length in enumerate(x.shape)]
            x = x.gather(axis, place.to(x.device).expand(shape))
    return x
