"""What an attack refuses, and signs that it cannot be trusted with the model it was given.

Each sign is a sentence that reaches the log, the caller (once a call, as an
:class:`AttackWarning`) and :attr:`Result.warnings`.
"""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path

from advsparse.lazy import torch

_LIBRARY = Path(__file__).parents[1]

logger = logging.getLogger(__name__)

_SUM = 1e-3
"""How far the sum of K probabilities may be from 1; float16 networks round that much."""


class AttackWarning(UserWarning):
    """What an attack reports may say more of the attack than of the model."""


def check_arguments(model, x, **labels: torch.Tensor | None) -> torch.Tensor:
    """Refuse what cannot be attacked; the logits of the first image.

    labels: by the names of the arguments, none where they were not given.
    """
    if x.ndim != 4 or len(x) == 0 or not x.is_floating_point():
        raise ValueError(
            f"x: expected floating-point images N x C x H x W, got {x.dtype} {tuple(x.shape)}"
        )
    low, high = float(x.min()), float(x.max())
    if not (low >= 0 and high <= 1):
        raise ValueError(f"x: pixels must lie in [0, 1], found {low:g} to {high:g}")
    with torch.no_grad():
        logits = model(x[:1])
    if logits.ndim != 2:
        raise ValueError(f"model: expected logits N x K, got shape {tuple(logits.shape)}")
    for name, given in labels.items():
        if given is None:
            continue
        if given.shape != x.shape[:1] or given.dtype != torch.int64:
            raise ValueError(
                f"{name}: expected {len(x)} int64 labels, got {given.dtype} {tuple(given.shape)}"
            )
        if int(given.min()) < 0 or int(given.max()) >= logits.shape[1]:
            raise ValueError(f"{name}: labels must lie in 0..{logits.shape[1] - 1}")
    return logits


def looks_like_softmax(logits: torch.Tensor) -> torch.Tensor:
    """Whether each row of ``logits`` (N x K) is a vector of probabilities; bool of shape N."""
    inside = ((logits >= 0) & (logits <= 1)).all(1)
    return inside & ((logits.double().sum(1) - 1).abs() <= _SUM) & (logits.shape[1] > 1)


def warnings_of(softmax: torch.Tensor, differentiated: torch.Tensor, zero: torch.Tensor):
    """The sentences for a call, from three flags per image (bool of shape N).

    softmax: the output was a vector of probabilities; differentiated: a gradient was taken;
    zero: the first gradient was exactly 0.
    """
    found = []
    if len(softmax) and bool(softmax.all()):
        found.append(
            "the model appears to end in softmax (outputs in [0, 1] that sum to 1): attacks expect "
            "logits, and gradients through softmax vanish where the model is sure of itself"
        )
    if zero.any():
        count, total = int(zero.sum()), int(differentiated.sum())
        found.append(
            f"the first gradient was exactly 0 for {count} of {total} images "
            f"({100 * count / total:.3g} %): an attack that follows gradients cannot move them, "
            "which says nothing of their robustness"
        )
    return tuple(found)


def report(name: str, found: tuple[str, ...]) -> None:
    """Log the sentences, and warn at the line outside this library that called the attack."""
    for sentence in found:
        logger.warning("%s: %s", name, sentence)
        warnings.warn(f"{name}: {sentence}", AttackWarning, stacklevel=_frames_to_caller())


def _frames_to_caller() -> int:
    """How many frames above the caller of this function the first one of other code is."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and Path(frame.f_code.co_filename).is_relative_to(_LIBRARY):
        level, frame = level + 1, frame.f_back
    return level
