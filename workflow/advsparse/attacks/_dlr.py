"""The difference-of-logits-ratio losses of Croce and Hein (2020a), per image, to ascend."""

from __future__ import annotations

from advsparse.attacks._losses import margin
from advsparse.lazy import torch

_FLOOR = 1e-12
"""Added to denominators, which are 0 where all of the leading logits tie."""


def dlr(logits: torch.Tensor, y: torch.Tensor, target: torch.Tensor | None) -> torch.Tensor:
    r"""The margin in units of the gaps between the leading logits; shape N.

    With the logits in decreasing order z_{pi_1} >= z_{pi_2} >= ...,

    .. math:: -\frac{z_y - \max_{k \ne y} z_k}{z_{\pi_1} - z_{\pi_3}}, \qquad
              -\frac{\max_{k \ne t} z_k - z_t}{z_{\pi_1} - (z_{\pi_3} + z_{\pi_4}) / 2}

    untargeted and with a target t (Croce and Hein 2020a). Neither a shift nor a positive scale of
    the logits changes them. They write z_y for the maximum of the targeted form: the same as long
    as the image is classified as y, and defined where there is a target and no label. Where
    so many classes are out of the question, at -infinity, that fewer are left than the formula
    names, the unit is 1: measured by those few alone the ratio may be the same everywhere.

    logits: N x K; y, target: N. Raises ValueError for fewer than 3 classes, or 4 with a target.
    """
    needed = 3 if target is None else 4
    if logits.shape[1] < needed:
        form = "the DLR loss" if target is None else "the targeted DLR loss"
        raise ValueError(
            f"{form} needs at least {needed} classes, and the model has {logits.shape[1]}: "
            "use the cross-entropy (loss ce)"
        )
    leading = logits.topk(needed, dim=1).values
    few = leading[:, -1].isneginf()
    if few.any():
        # Not by the result alone: the gradient of what is put aside would be NaN.
        unit = leading.new_tensor([1.0] + [0.0] * (needed - 1))
        leading = torch.where(few[:, None], unit, leading)
    spread = leading[:, 0] - leading[:, 2:].mean(1)
    return -margin(logits, y, target) / (spread + _FLOOR)
