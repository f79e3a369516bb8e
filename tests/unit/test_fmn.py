"""FMN against exact distances, brute force and foolbox."""

from __future__ import annotations

import itertools

import foolbox as fb
import pytest
import torch
from models_for_tests import (
    affine_setting,
    distance_to_class,
    foolbox,
    measured,
    predictions,
)

from advsparse.attacks.fmn import FMN

# foolbox projects as the authors' code does.
THEIRS = {
    "l2": fb.attacks.L2FMNAttack,
    "linf": fb.attacks.LInfFMNAttack,
    "l1": fb.attacks.L1FMNAttack,
}


@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
def test_boundary_of_an_affine_classifier_is_found(norm):
    model, x, y = affine_setting()
    result = FMN(norm=norm, steps=400)(model, x, y)
    assert result.success.all()
    # The margin leads to the strongest other class, which need not be the nearest one.
    reached = predictions(model, result.x).tolist()
    pairs = zip(x, reached, strict=True)
    exact = torch.tensor([distance_to_class(model, *pair, norm, boxed=True) for pair in pairs])
    ratio = result.distance / exact
    assert ratio.min() >= 1 - 1e-7 and ratio.max() <= 1.02


def test_fewest_pixels_of_an_affine_classifier_are_found():
    """Among all sets of pixels, each at its better end: brute force."""
    generator = torch.Generator().manual_seed(3)
    weights = torch.randn(12, generator=generator, dtype=torch.float64)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2).double())
    x = torch.rand((8, 3, 2, 2), generator=generator, dtype=torch.float64)
    with torch.no_grad():
        model[1].weight.copy_(torch.stack([0 * weights, weights]))
        model[1].bias.copy_(torch.tensor([0.0, -float((x.flatten(1) @ weights).max()) - 0.9]))
    result = FMN(norm="l0", steps=200)(model, x, torch.zeros(8, dtype=torch.int64))
    for image, found in zip(x.flatten(1), result.distance.tolist(), strict=True):
        gain = torch.where(weights > 0, weights * (1 - image), -weights * image)
        base = float(weights @ image + model[1].bias[1].detach())
        fewest = min(
            k
            for k in range(13)
            if any(base + gain[list(s)].sum() > 0 for s in itertools.combinations(range(12), k))
        )
        assert found == fewest


@pytest.mark.parametrize("norm", sorted(THEIRS))
def test_is_at_least_as_near_as_foolbox(norm, lenet):
    x, y = lenet.x[:24], lenet.y[:24]
    result = FMN(norm=norm, steps=60)(lenet.model, x, y)
    found, success = foolbox(THEIRS[norm](steps=60), lenet.model, x, y)
    assert result.success.all()
    assert (result.distance[success] / measured(found, x, norm)[success]).median() <= 1.01


@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
def test_overshoot_crosses_the_boundary_where_newtons_radius_never_does(norm):
    """A margin that falls ever more slowly: its tangents reach 0 before it does."""

    class Bent(torch.nn.Module):
        def forward(self, x):
            rise = x.flatten(1).mean(1)
            return torch.stack([(-8 * rise).exp(), torch.full_like(rise, 0.02)], dim=1)

    x = torch.full((1, 1, 4, 4), 0.3, dtype=torch.float64)
    y = torch.zeros(1, dtype=torch.int64)
    # With more steps what is left is as small as rounding errors, which then decide.
    assert not FMN(norm=norm, steps=6, overshoot=0.0)(Bent(), x, y).success
    assert FMN(norm=norm, steps=6)(Bent(), x, y).success


def test_steps_fill_the_passes(lenet):
    for passes in (11, 50):
        result = FMN(passes=passes)(lenet.model, lenet.x[:3], lenet.y[:3])
        assert (passes - result.queries).max() <= 1
        assert result.steps.tolist() == [(passes - 2) // 2] * 3
    assert FMN()(lenet.model, lenet.x[:1], lenet.y[:1]).steps.tolist() == [100]
