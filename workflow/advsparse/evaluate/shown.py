"""What a defence in front of a classifier makes of adversarial images, for pages to show."""

from __future__ import annotations

import numpy as np

from advsparse.evaluate.samples import SHOWN
from advsparse.lazy import torch


def defended(model: torch.nn.Module, images: np.ndarray) -> np.ndarray | None:
    """t(x) of the first images of N x C x H x W, in eight bits, as the evaluation has it.

    None where no transformation stands in front of the classifier, or one whose results are no such
    images: those of an encoding have other channels.
    """
    from advsparse.defenses._defended import Beside, InFront

    while isinstance(model, Beside):
        model = model.model
    if not isinstance(model, InFront):
        return None
    first = torch.as_tensor(np.asarray(images[:SHOWN], dtype=np.float32))
    device = next((value.device for value in model.parameters()), first.device)
    with torch.no_grad():
        made = model.transform(first.to(device)).cpu()
    if made.shape != first.shape or not made.isfinite().all():
        return None
    return (made.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
