"""Objectives that attacks ascend, all per image and never averaged."""

from __future__ import annotations

from advsparse.lazy import torch
from advsparse.shapes import per_image


def cross_entropy(logits: torch.Tensor, y: torch.Tensor, target: torch.Tensor | None):
    """Cross-entropy to ascend: with the label, or minus that with the target; shape N."""
    if target is None:
        return torch.nn.functional.cross_entropy(logits, y, reduction="none")
    return -torch.nn.functional.cross_entropy(logits, target, reduction="none")


def margin(logits: torch.Tensor, y: torch.Tensor, target: torch.Tensor | None):
    """How far an image is from being adversarial, in logits: at most 0 where it is; shape N.

    Untargeted: z_y - max_{k != y} z_k. Targeted: max_{k != t} z_k - z_t.
    """
    goal = y if target is None else target
    own = logits.gather(1, goal[:, None]).squeeze(1)
    others = logits.scatter(1, goal[:, None], -torch.inf).amax(1)
    return own - others if target is None else others - own


def largest(logits: torch.Tensor) -> torch.Tensor:
    """The largest logit in absolute value, of the classes that are in question; shape N.

    Those at -infinity are out of it, and no measure of what differs by rounding.
    """
    return torch.where(logits.isfinite(), logits, 0.0).abs().amax(1)


def direction(gradient: torch.Tensor, norm: str, *, signed: bool = False) -> torch.Tensor:
    """The step of unit size in ``norm`` along which a linear function rises fastest.

    The sign for linf, the normalised gradient for l2; ``signed``: the normalised sign of it. A zero
    gradient gives a zero step.
    """
    if norm == "linf":
        return gradient.sign()
    if signed:
        gradient = gradient.sign()
    tiny = torch.finfo(gradient.dtype).tiny
    # Scaled first: the squares of the gradient of a saturated softmax underflow.
    size = gradient.flatten(1).abs().amax(1).clamp(min=tiny)
    gradient = gradient / per_image(size, gradient)
    return gradient / per_image(gradient.flatten(1).norm(dim=1).clamp(min=tiny), gradient)
