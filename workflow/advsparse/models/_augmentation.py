"""What is done at random to the images that a network is trained on."""

from __future__ import annotations

from advsparse.lazy import torch
from advsparse.settings import NonNegativeInt, settings


@settings
class Augmentation:
    """What is done at random to each training image, anew in each epoch (He et al. 2016)."""

    crop: NonNegativeInt = 0
    """Pixels of black at each side, before an image of the same size is cut out at random."""
    flip: bool = False
    """Whether one image in two is mirrored, left to right."""

    def moves(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Rows and columns to skip, and whether to mirror, of each of ``count`` images; count x 3.

        Drawn for a whole set at once, so that it is an image's place that they follow, whatever
        the batch it comes in.
        """
        skipped = torch.randint(0, 2 * self.crop + 1, (count, 2), generator=generator)
        mirrored = torch.rand(count, generator=generator) < (0.5 if self.flip else 0.0)
        return torch.cat([skipped, mirrored[:, None].long()], dim=1)

    def apply(self, x: torch.Tensor, moves: torch.Tensor) -> torch.Tensor:
        """The images ``x`` (N x C x H x W, of any type) as their ``moves`` (N x 3) have them."""
        height, width = x.shape[2:]
        padded = torch.nn.functional.pad(x, [self.crop] * 4)
        down, along, mirrored = moves.to(x.device)[:, :, None].unbind(1)
        columns = torch.arange(width, device=x.device)
        rows = down + torch.arange(height, device=x.device)
        columns = along + torch.where(mirrored.bool(), width - 1 - columns, columns)
        image = torch.arange(len(x), device=x.device)[:, None, None]
        return padded[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
