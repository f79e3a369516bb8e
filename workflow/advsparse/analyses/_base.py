"""What every analysis gets, and what it must give."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from advsparse.coding._base import CodingNetwork
from advsparse.coding._signals import Signals
from advsparse.errors import AnalysisError
from advsparse.lazy import torch
from advsparse.seeding import Random
from advsparse.settings import settings
from advsparse.shapes import per_image

BATCH = 64
"""Images at a time: their codes are large."""


@dataclass(frozen=True)
class Attacked:
    """The images of one attack, N x C x H x W."""

    x: torch.Tensor
    """The clean images."""
    x_adv: torch.Tensor
    label: torch.Tensor
    """Their classes, N."""
    index: np.ndarray
    """Where in their split the images stand."""
    norm: str = "l2"
    """The norm that the attack bounds or minimises."""

    @property
    def perturbation(self) -> torch.Tensor:
        """What the attack has added, N x C x H x W."""
        return self.x_adv - self.x

    def only(self, rows: torch.Tensor) -> Attacked:
        """The same of some of the images."""
        index = self.index[rows.cpu().numpy()]
        return Attacked(self.x[rows], self.x_adv[rows], self.label[rows], index, self.norm)


@dataclass(frozen=True)
class Given:
    """What an analysis works on, by the names of the paper's settings."""

    rng: Random
    coders: Mapping[str, CodingNetwork] = field(default_factory=dict)
    attacks: Mapping[str, Attacked] = field(default_factory=dict)
    classifier: torch.nn.Module | None = None
    """What the attacks attack."""
    judges: Sequence[torch.nn.Module] = ()
    """The same classifier as each repetition has trained it, where they judge each other's."""
    defenses: Mapping[str, tuple[Any, Mapping[str, torch.Tensor]]] = field(default_factory=dict)
    """Defences in front of the classifier, each with what it has learned."""
    signals: Signals | None = None
    """What the coders have learned from, where that is synthetic."""

    def perturbed(self) -> dict[str, Attacked]:
        """The attacks on those images that all of them have perturbed.

        An image that the classifier gets wrong is left as it is, and tells nothing of an attack.
        Raises AnalysisError where no image is left.
        """
        moved = [a.perturbation.flatten(1).norm(dim=1) > 0 for a in self.attacks.values()]
        rows = torch.stack(moved).all(0).nonzero().flatten()
        if not len(rows):
            names = ", ".join(self.attacks)
            raise AnalysisError(
                f"no image was perturbed by {names}: the classifier gets all of them wrong, and "
                "has to be trained for longer"
            )
        return {name: attacked.only(rows) for name, attacked in self.attacks.items()}


@settings
class Analysis(ABC):
    """The settings of an analysis, and the analysis itself."""

    coders: ClassVar[int | None] = 0
    """How many coders it takes; none means one or more."""
    attacks: ClassVar[int | None] = 0
    """How many attacks it takes; none means one or more. Without any it is one of signals."""

    defenses: ClassVar[int | None] = 0
    """How many defences in front of a network it takes; none means one or more."""
    grids: ClassVar[bool] = False
    """Whether it takes attacks that are grids, each point of which is an attack to it."""

    crosses: ClassVar[bool] = False
    """Whether it shows attacked images to classifiers of other repetitions too."""

    @abstractmethod
    def run(self, given: Given) -> dict[str, np.ndarray]:
        """The analysis' arrays by name."""


def noise_like(perturbation: torch.Tensor, rng: Random, law: str, stream: int = 0) -> torch.Tensor:
    """Random noise with the l2 norm of each perturbation, N x C x H x W.

    law: ``gaussian``; ``sign``, whose entries all have one size, as linf attacks leave them; or
    ``spectrum``, the perturbation itself with its phases turned at random, alike in all channels,
    so that each frequency keeps its energy.
    """
    if law == "spectrum":
        turned = torch.fft.fft2(rng.normal_like(perturbation[:, :1].contiguous(), stream))
        # Of real noise, so that what they turn comes back real.
        phases = turned / turned.abs().clamp(min=torch.finfo(perturbation.dtype).tiny)
        return torch.fft.ifft2(torch.fft.fft2(perturbation) * phases).real
    noise = rng.normal_like(perturbation, stream)
    if law == "sign":
        noise = noise.sign()
    size = perturbation.flatten(1).norm(dim=1) / noise.flatten(1).norm(dim=1)
    return noise * per_image(size, noise)


def in_batches(function, x: torch.Tensor) -> torch.Tensor:
    """``function`` of the images ``x``, some at a time, without gradients."""
    with torch.no_grad():
        return torch.cat([function(batch) for batch in x.split(BATCH)])
