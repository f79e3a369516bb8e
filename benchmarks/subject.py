"""The network and the images that every attack is measured on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from advsparse.data.photos import Photos
from advsparse.models.lenet import LeNet

COUNT = 256
SHAPE, CLASSES = (3, 32, 32), 10
WEIGHTS = Path(__file__).parents[1] / "tests" / "oracles" / "autoattack_lenet.safetensors"


@dataclass(frozen=True)
class Subject:
    """A network in evaluation mode, and images that it classifies correctly."""

    model: torch.nn.Module
    x: torch.Tensor
    y: torch.Tensor

    def robust(self, attacked: torch.Tensor) -> torch.Tensor:
        """Which of the attacked images are still classified correctly; bool, N."""
        with torch.no_grad():
            return self.model(attacked).argmax(1) == self.y


def subject() -> Subject:
    """The LeNet of the oracle tests, and ``COUNT`` test patches that it classifies correctly."""
    splits = Photos(train_per_class=120, test_per_class=60).load(Path())
    model = LeNet().build(SHAPE, CLASSES)
    model.load_state_dict(load_file(WEIGHTS))
    model.eval()
    # As attacked networks are in the pipeline, and as the peers then have it too: no gradient of
    # the weights is ever taken.
    model.requires_grad_(False)
    x, y = torch.from_numpy(splits.images("test")), torch.from_numpy(splits.labels("test"))
    mixed = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x, y = x[mixed], y[mixed]
    with torch.no_grad():
        right = (model(x).argmax(1) == y).nonzero().flatten()[:COUNT]
    return Subject(model, x[right], y[right])
