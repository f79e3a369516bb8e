"""An attack as it is run here: by whom, under which name, for which norms, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks.attacks import OURS


@dataclass(frozen=True)
class Task:
    """What an attack is run on."""

    x: torch.Tensor
    y: torch.Tensor
    norm: str
    budget: int
    """Passes for each image."""
    radius: float
    """About twice the median distance, for attacks that have to be told where to begin."""
    seed: int


@dataclass(frozen=True)
class Contender:
    """One attack of one library."""

    library: str
    name: str
    """As the figures know it (workflow/advsparse/figures), where it is one of ours too."""
    norms: tuple[str, ...]
    run: Callable[[torch.nn.Module, Task], object]
    """Attacks a network, which keeps what counts."""
    said: str = ""
    """How it is called, where not by its defaults but for the number of steps."""
    repeats: bool = False
    """Whether it asks about an image several times at once."""

    @property
    def own(self) -> bool:
        return self.library == OURS
