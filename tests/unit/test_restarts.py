"""Restarts of attacks that walk along the boundary."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from advsparse.attacks.alma import ALMA
from advsparse.attacks.ddn import DDN
from advsparse.attacks.fmn import FMN
from advsparse.attacks.pdpgd import PDPGD


class Trap(torch.nn.Module):
    """Of one pixel, adversarial below 0.1; from 0.25 the gradient leads up to the end of the box,
    where the margin is still above 0."""

    def forward(self, x):
        pixel = x.flatten(1)[:, 0]
        margin = torch.where(pixel < 0.25, 4 * (pixel - 0.1), 0.7 - 0.6 * pixel)
        never = torch.full_like(margin, -1.0)  # some objectives ask for a third class
        return torch.stack([margin, torch.zeros_like(margin), never], dim=1)


@pytest.mark.parametrize(
    ("attack", "most"),
    [
        (FMN(norm="linf", steps=480), 1.02),
        (DDN(steps=480), 1.1),
        (PDPGD(norm="linf", steps=2400), 1.05),
    ],
)
def test_restarts_lead_out_of_where_the_gradient_ends(attack, most):
    """In one dimension, where l2 is linf. ALMA gets out by its momentum."""
    x = 0.3 + 0.001 * torch.arange(8, dtype=torch.float64)[:, None, None, None]
    y = torch.zeros(8, dtype=torch.int64)
    assert not attack(Trap(), x, y).success.any()
    again = replace(attack, restarts=12)(Trap(), x, y)
    # One start in four is on the other side.
    assert again.success.sum() >= 6 and (again.steps == attack.steps).all()
    ratio = (again.distance / (x.flatten() - 0.1))[again.success]
    assert ratio.min() >= 1 and ratio.max() <= most


@pytest.mark.parametrize("attack", [FMN, DDN, ALMA, PDPGD])
def test_the_first_walk_begins_at_the_clean_image(attack, lenet):
    x, y = lenet.x[:8], lenet.y[:8]
    first, all_three = (
        attack(steps=steps, restarts=restarts)(lenet.model, x, y)
        for steps, restarts in ((20, 1), (60, 3))
    )
    assert (all_three.distance <= first.distance).all()


@pytest.mark.parametrize("attack", [FMN, PDPGD])
def test_they_are_not_for_l0(attack):
    with pytest.raises(ValueError, match="restarts: no random start is defined for l0"):
        attack(norm="l0", restarts=2)
