"""Shrinking Square: within the passes, as near as Square gets, without a gradient."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from models_for_tests import Blunt, affine_setting, distance_to_class, measured, predictions

from advsparse.attacks.shrinking_square import ShrinkingSquare
from advsparse.attacks.square import Square

NORMS = ["linf", "l2", "l1"]


def test_boundary_of_an_affine_classifier_is_approached():
    model, x, y = affine_setting()
    result = ShrinkingSquare(queries=3000)(model, x, y)
    assert result.success.all()
    reached = predictions(model, result.x).tolist()
    pairs = zip(x, reached, strict=True)
    exact = torch.tensor([distance_to_class(model, *pair, "linf", boxed=True) for pair in pairs])
    ratio = result.distance / exact
    assert ratio.min() >= 1 - 1e-7 and ratio.median() <= 1.1 and ratio.max() <= 1.2


@pytest.mark.parametrize("norm", NORMS)
def test_square_finds_few_where_this_found_all(norm, lenet):
    x, y = lenet.x[:24], lenet.y[:24]
    result = ShrinkingSquare(norm=norm, queries=400)(Blunt(lenet.model), x, y)
    assert result.success.all() and (result.steps == 400).all()
    radius = float(result.distance.median())
    there = Square(norm=norm, eps=radius, queries=400)(lenet.model, x, y)
    nearer = Square(norm=norm, eps=0.75 * radius, queries=400)(lenet.model, x, y)
    assert nearer.success.sum() <= 12 <= there.success.sum() + 3
    torch.testing.assert_close(result.distance, measured(result.x, x, norm).double())


@pytest.mark.parametrize("norm", NORMS)
def test_more_queries_get_nearer_and_passes_are_kept_to(norm, lenet):
    x, y = lenet.x[:8], lenet.y[:8]
    few, many = (ShrinkingSquare(norm=norm, passes=count)(lenet.model, x, y) for count in (60, 400))
    assert (few.queries <= 60).all() and (many.queries <= 400).all()
    assert (many.queries > 390).all()
    assert many.distance.median() < few.distance.median()
    again = replace(ShrinkingSquare(norm=norm), passes=60)(lenet.model, x, y, rng=1)
    assert not torch.equal(again.x, few.x)
