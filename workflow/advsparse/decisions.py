"""Which class logits name, and what stands for none."""

from __future__ import annotations

from advsparse.lazy import torch

UNDECIDED = -1
"""In the place of a class: the logits name none."""


def decided(logits: torch.Tensor) -> torch.Tensor:
    """Which rows of ``logits`` (N x K) name a class; bool of shape N.

    Those with NaN or +infinity do not; -infinity is the logit of a class that is out of the
    question.
    """
    return logits.amax(1).isfinite()
