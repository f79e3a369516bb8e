"""The threshold of a detector's score, from what it is on clean images."""

from __future__ import annotations

from advsparse.lazy import torch


def learned_threshold(scores: torch.Tensor, rate: float) -> dict[str, torch.Tensor]:
    """``threshold``, above which lie ``floor(rate * N)`` of the N ``scores`` of clean images, or
    fewer where some are equal; and their ``spread``, the unit in which attackers measure them.

    Raises ValueError for scores that are not finite: nothing could be told by them.
    """
    if not len(scores) or not scores.isfinite().all():
        raise ValueError("scores of clean images: expected finite numbers, one image or more")
    ordered = scores.double().sort(descending=True).values
    # Of fewer images than one in 1 / rate none: the first, or all, would be too many.
    above = min(int(rate * len(ordered)), len(ordered) - 1)
    spread = ordered.std(correction=0)
    return {
        "threshold": ordered[above].to(scores.dtype),
        "spread": torch.where(spread > 0, spread, 1.0).to(scores.dtype),
    }
