"""Signals that are sparse in a random dictionary."""

from __future__ import annotations

from typing import Literal

from advsparse.lazy import torch
from advsparse.seeding import Random
from advsparse.settings import PositiveInt, settings


@settings
class Signals:
    r"""Signals x = D a of sparse codes a, for a Gaussian dictionary D with normalised columns.

    Nonzero entries of codes are independent and standard normal, their places uniformly random.

    Source: weitzner2023, section 2 and its supplement.
    """

    size: PositiveInt = 250
    """Entries of a signal."""
    atoms: PositiveInt = 500
    """Entries of a code."""
    sparsity: PositiveInt = 50
    """Nonzero entries of a code."""
    support: Literal["exact", "bernoulli"] = "exact"
    """Whether each code has exactly ``sparsity`` nonzero entries, or each entry is nonzero with
    probability ``sparsity / atoms``, as in the code of weitzner2023's authors."""

    def __post_init__(self) -> None:
        if self.sparsity > self.atoms:
            raise ValueError(f"sparsity {self.sparsity} is more than the {self.atoms} atoms")

    def dictionary(self, seed: int) -> torch.Tensor:
        """The dictionary D, ``size`` x ``atoms``, float32, drawn from ``seed``."""
        generator = Random(seed).generator("dictionary")
        drawn = torch.randn(self.size, self.atoms, generator=generator, dtype=torch.float64)
        return (drawn / drawn.norm(dim=0)).float()

    def draw(
        self, count: int, dictionary: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """``count`` signals and their codes, on the device of ``dictionary``; float32.

        The numbers are those of ``generator``, which is one of the CPU.
        """
        code = torch.randn(count, self.atoms, generator=generator)
        keys = torch.rand(count, self.atoms, generator=generator)
        if self.support == "exact":
            places = keys.topk(self.sparsity, sorted=False).indices
            code = torch.zeros_like(code).scatter_(1, places, code.gather(1, places))
        else:
            code *= keys < self.sparsity / self.atoms
        code = code.to(dictionary.device)
        return code @ dictionary.T, code
