"""What a defence in front of a classifier makes of adversarial images, for pages to show."""

from __future__ import annotations

import numpy as np

from advsparse.evaluate.attacked import predictions
from advsparse.evaluate.samples import SHOWN
from advsparse.lazy import torch
from advsparse.models._io import choices


def predicted_and_defended(
    model: torch.nn.Module, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """The :func:`choices` of N x C x H x W, and t(x) of the first images, in eight bits, as that
    evaluation had it; of an ensemble's draws the first.

    None where no transformation stands in front of the classifier, or one whose results are no such
    images: those of an encoding have other channels.
    """
    from advsparse.defenses._defended import Beside, InFront

    front = model
    while isinstance(front, Beside):
        front = front.model
    if not isinstance(front, InFront):
        return predictions(model, images, choices), None
    parts: list[torch.Tensor] = []

    def passed(x: torch.Tensor) -> torch.Tensor:
        logits, made = front.passed(x)
        parts.append(made[:SHOWN].cpu())
        return logits

    # A detector beside it changes nothing of what it says.
    predicted = predictions(model, images, lambda _, x: choices(passed, x))
    made = parts[0]
    if made.shape != images[:SHOWN].shape or not made.isfinite().all():
        return predicted, None
    return predicted, (made.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
