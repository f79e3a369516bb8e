"""Images of another size, by products with matrices: the gradient of torch's own interpolation is
not the same each time on GPUs."""

from __future__ import annotations

from advsparse.lazy import torch


def interpolation(inputs: int, outputs: int) -> torch.Tensor:
    """The matrix (outputs x inputs) of bilinear interpolation along one axis, pixels being areas
    whose centres are half a pixel from the edge."""
    at = (torch.arange(outputs, dtype=torch.float64) + 0.5) * inputs / outputs - 0.5
    at = at.clamp(0, inputs - 1)
    low = at.floor().long().clamp(max=max(inputs - 2, 0))
    share = at - low
    found = torch.zeros(outputs, inputs, dtype=torch.float64)
    rows = torch.arange(outputs)
    found[rows, low] += 1 - share
    found[rows, (low + 1).clamp(max=inputs - 1)] += share
    return found


def drawn(uniform: torch.Tensor, count: torch.Tensor | int) -> torch.Tensor:
    """One of 0, 1, ..., count - 1, all equally probable, for each number in [0, 1)."""
    return (uniform * count).long().clamp(max=count - 1)
