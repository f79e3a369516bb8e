"""What an attack proposes, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass, field

from advsparse.attacks import _checks
from advsparse.lazy import torch


@dataclass(frozen=True)
class Result:
    """What an attack returns, image by image, on the CPU or device of its input.

    ``trace`` holds what one attack alone has to tell, each entry an array with N first.
    """

    x: torch.Tensor
    """Adversarial images, N x C x H x W."""
    success: torch.Tensor
    """Whether the prediction on ``x`` is wrong (untargeted) or the target, bool of shape N."""
    distance: torch.Tensor
    """Distance from the clean image in the norm of the attack, float64 of shape N."""
    queries: torch.Tensor
    """Forward and backward passes spent on the image, int64 of shape N."""
    steps: torch.Tensor
    """Iterations spent on the image, int64 of shape N."""
    signs: _checks.Signs
    """Flags of each image, which the warnings go by."""
    trace: dict[str, torch.Tensor] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    """Signs that the attack cannot be trusted with this model, a sentence each."""


@dataclass(frozen=True)
class Candidate:
    """What :meth:`Attack.perturb` proposes for a chunk; the base class measures it."""

    x: torch.Tensor
    steps: torch.Tensor
    trace: dict[str, torch.Tensor] = field(default_factory=dict)


class Whole:
    """The result for all images, into which those of chunks are put.

    All of it is there before the first chunk: what a chunk leaves behind would lie between the
    large blocks that it frees, which the allocator then cannot give to the next one.
    """

    def __init__(self, x: torch.Tensor) -> None:
        def empty(dtype):
            return torch.empty(len(x), dtype=dtype, device=x.device)

        flags = torch.empty((len(_checks.Signs._fields), len(x)), dtype=torch.bool)
        self.result = Result(
            torch.empty_like(x, memory_format=torch.contiguous_format),
            empty(torch.bool),
            empty(torch.float64),
            torch.empty(len(x), dtype=torch.int64),
            empty(torch.int64),
            _checks.Signs(*flags),
        )

    def put(self, part: slice, chunk: Result) -> None:
        for name in ("x", "success", "distance", "queries", "steps"):
            getattr(self.result, name)[part] = getattr(chunk, name)
        for row, values in zip(self.result.signs, chunk.signs, strict=True):
            row[part] = values
        for name, values in chunk.trace.items():
            if name not in self.result.trace:
                # Zeros stand for chunks none of whose images needed an attack: they have no trace.
                shape = (len(self.result.x), *values.shape[1:])
                self.result.trace[name] = values.new_zeros(shape)
            self.result.trace[name][part] = values
