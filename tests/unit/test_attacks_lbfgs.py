"""L-BFGS in a box against scipy's, and the attack against exact distances."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from models_for_tests import affine, affine_setting, distance_to_class, predictions
from scipy.optimize import minimize

from advsparse.attacks._box_lbfgs import minimise
from advsparse.attacks.lbfgs import LBFGS


def test_minimiser_in_the_box_is_that_of_scipy():
    generator = torch.Generator().manual_seed(3)
    a = torch.randn((5, 12, 12), generator=generator, dtype=torch.float64)
    b = 3 * torch.randn((5, 12), generator=generator, dtype=torch.float64)

    def evaluate(z, rows):
        residual = (a[rows] @ z[:, :, None]).squeeze(2) - b[rows]
        gradient = 2 * (residual[:, None] @ a[rows]).squeeze(1)
        return residual.square().sum(1), gradient

    start = torch.full((5, 12), 0.5, dtype=torch.float64)
    found = minimise(evaluate, start, evaluations=2000, tolerance=0.0, bounds=(0.0, 1.0))
    values = evaluate(found, torch.arange(5))[0]
    for i in range(5):

        def one(z, i=i):
            value, gradient = evaluate(torch.from_numpy(z)[None], torch.tensor([i]))
            return value.item(), gradient[0].numpy()

        options = {"ftol": 1e-14, "gtol": 1e-10, "maxiter": 5000, "maxfun": 5000}
        best = minimize(
            one,
            np.full(12, 0.5),
            jac=True,
            method="L-BFGS-B",
            bounds=[(0, 1)] * 12,
            options=options,
        )
        assert values[i].item() <= best.fun * (1 + 1e-5) + 1e-8
    assert ((found == 0) | (found == 1)).any(), "the box is to be active here"


@pytest.mark.parametrize(("classes", "factor"), [(2, 1.0), (4, 1.0), (4, 20.0)])
def test_lbfgs_finds_the_boundary_of_an_affine_classifier(classes, factor):
    whole, x, y = affine_setting()
    weights, bias = (factor * p.detach()[:classes] for p in whole[1].parameters())
    model = affine(weights, bias)
    target = 1 + torch.arange(len(x)) % (classes - 1)
    exact = torch.tensor(
        [distance_to_class(model, *pair, "l2") for pair in zip(x, target.tolist(), strict=True)]
    )
    result = LBFGS()(model, x, y, target)
    assert torch.equal(predictions(model, result.x), target)
    ratio = result.distance / exact
    assert ratio.min() >= 1 - 1e-7 and ratio.max() <= 1.05


def test_searches_that_start_at_the_nearest_image_find_the_boundary_too():
    model, x, y = affine_setting()
    result = LBFGS(start="nearest")(model, x, y)
    assert result.success.all()
    reached = predictions(model, result.x).tolist()
    pairs = zip(x, reached, strict=True)
    exact = torch.tensor([distance_to_class(model, *pair, "l2") for pair in pairs])
    ratio = result.distance / exact
    assert ratio.min() >= 1 - 1e-7 and ratio.max() <= 1.05


def test_searches_start_where_they_are_told_to(lenet):
    x, y, starts = lenet.x[:6], lenet.y[:6], {}
    for start in ("clean", "nearest"):
        seen = []
        attack = LBFGS(start=start, search_steps=4, iterations=3)
        handle = lenet.model.register_forward_pre_hook(lambda _, z, seen=seen: seen.append(z[0]))
        attack(lenet.model, x, y)
        handle.remove()
        # After two looks at the clean images; a search asks thrice, and once where it ended.
        starts[start] = [batch.detach() for batch in seen if len(batch) == len(x)][2:-1]
        assert len(starts[start]) == 16
    stand = predictions(lenet.model, x) == y
    assert stand.all() and all(torch.equal(b, x) for b in starts["clean"][0::4])
    assert torch.equal(starts["nearest"][0], x)
    later = starts["nearest"][4::4]
    assert any((b != x).flatten(1).any(1).any() for b in later)
    for batch in later:
        moved = (batch != x).flatten(1).any(1)
        assert (predictions(lenet.model, batch) != y)[moved].all()
