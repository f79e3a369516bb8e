"""The one-pixel attack against brute force, its evolution by hand, and blind search."""

from __future__ import annotations

import pytest
import torch
from models_for_tests import affine, batch_sizes, measured, predictions

from advsparse.attacks.one_pixel import OnePixel, painted, three_others
from advsparse.seeding import Random


def test_candidates_by_hand():
    x = torch.rand((2, 3, 4, 5), generator=torch.Generator().manual_seed(0))
    genes = torch.tensor(
        [
            [[0.0, 0.0, 0.1, 0.2, 0.3], [1.0, 1.0, 0.4, 0.5, 0.6]],
            [[0.49, 0.41, 0.7, 0.8, 0.9], [0.49, 0.59, 1.0, 0.0, 0.5]],  # row 1, column 2 twice
        ]
    ).expand(2, 2, 2, 5)
    found = painted(x, genes)
    for image in range(2):
        one, two = x[image].clone(), x[image].clone()
        one[:, 0, 0], one[:, 3, 4] = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.4, 0.5, 0.6])
        two[:, 1, 2] = torch.tensor([1.0, 0.0, 0.5])
        assert torch.equal(found[image], torch.stack([one, two]))


def test_three_others_are_different_and_each_is_as_likely():
    draw = torch.rand((200, 400, 3), generator=torch.Generator().manual_seed(1))
    drawn = torch.stack(three_others(draw, 5), -1).flatten(0, 1)
    assert (drawn.sort(1).values.diff(dim=1) > 0).all() and drawn.min() == 0
    _, counts = drawn.unique(dim=0, return_counts=True)
    assert len(counts) == 60  # 5 x 4 x 3
    expected = len(drawn) / 60
    assert (counts - expected).abs().max() < 5 * expected**0.5
    ends = torch.stack(three_others(torch.ones(1, 1, 3), 4), -1)
    assert len(ends.unique()) == 3 and ends.max() <= 3


def test_children_replace_what_is_worse_and_nothing_else():
    """Genes are seen through the images: a pixel of an image that is otherwise 0."""
    seen, weights = [], torch.linspace(0.5, 1.5, 16).repeat(2, 1) * torch.tensor([[0.0], [1.0]])
    model = affine(weights, torch.tensor([100.0, 0.0]))
    model.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach().clone()))
    x, y = torch.zeros(1, 1, 4, 4), torch.tensor([0])
    attack = OnePixel(population=8, generations=3)
    result = attack(model, x, y, rng=3)
    asked = torch.cat([batch for batch in seen if len(batch) == 8]).flatten(1)
    assert len(asked) == 32
    value = (asked @ weights[1]).reshape(4, 8)
    best = value.cummax(0).values[-1]
    torch.testing.assert_close((result.x.flatten(1) @ weights[1])[0], best.max())
    genes = attack._first(x, 1, Random(3))
    for generation in range(1, 4):
        trial = attack._challengers(genes, x, Random(3), generation)
        assert torch.equal(painted(x, trial)[0].flatten(1), asked[8 * generation :][:8])
        old, new = ((painted(x, g)[0].flatten(1) @ weights[1]) for g in (genes, trial))
        genes = torch.where((new > old)[None, :, None, None], trial, genes)


@pytest.mark.parametrize("pixels", [1, 2])
def test_as_many_pixels_of_an_affine_classifier_as_brute_force_needs(pixels):
    generator = torch.Generator().manual_seed(4)
    weights = torch.randn((3, 5, 5), generator=generator)
    x = torch.rand((6 // pixels**2 + 1, 3, 5, 5), generator=generator)
    gain = torch.maximum(weights * (1 - x), -weights * x).sum(1).flatten(1)
    most = gain.topk(pixels, dim=1).values.sum(1)
    attack = OnePixel(pixels=pixels, population=60 * pixels**2, generations=60)
    for share, success in ((0.95 if pixels == 1 else 0.8, True), (1.001, False)):
        for image, lead in zip(x, most, strict=True):
            bias = torch.tensor([0.0, -float((weights * image).sum() + share * lead)])
            model = affine(torch.stack([0 * weights.flatten(), weights.flatten()]), bias)
            result = attack(model, image[None], torch.tensor([0]))
            assert result.success.item() is success
            changed = (result.x != image).any(1).sum()
            assert changed <= pixels and result.steps.item() <= 81


def test_budget_in_entries_is_one_of_whole_pixels(lenet):
    x, y = lenet.x[:3], lenet.y[:3]
    for eps, most in ((2.9, 0), (3.0, 1), (8.0, 2), (99.0, 4)):
        attack = OnePixel(eps=eps, pixels=4, population=8, generations=1)
        result = attack(lenet.model, x, y)
        assert (result.x != x).any(1).flatten(1).sum(1).max() == most
        assert measured(result.x, x, "l0").max() <= eps
    free = OnePixel(pixels=2, population=8, generations=1)(lenet.model, x, y)
    assert (free.x != x).any(1).flatten(1).sum(1).max() == 2


def test_candidates_are_asked_about_together_and_counted_one_by_one(lenet):
    x, y = lenet.x[:3], lenet.y[:3]
    attack = OnePixel(population=40, generations=2)
    with batch_sizes(lenet.model) as sizes:
        result = attack(lenet.model, x, y)
    stood = result.steps == 3
    assert (result.queries[stood] == 1 + 3 * 40 + 1).all() and stood.any()
    assert max(sizes) == 3 * 32 and len(sizes) <= 2 + 1 + 2 * 3 + 1
    limited = OnePixel(population=40, generations=2, passes=30)(lenet.model, x, y)
    assert limited.queries.max() <= 30


def test_evolution_beats_blind_search_at_equal_passes(lenet):
    x, y = lenet.x[:40], lenet.y[:40]
    evolved = OnePixel(pixels=3, population=20, generations=19)(lenet.model, x, y)
    blind = OnePixel(pixels=3, population=400, generations=1, passes=402)(lenet.model, x, y)
    assert evolved.queries.max() <= 402
    assert evolved.success.sum() > blind.success.sum()
    assert torch.equal(evolved.success, predictions(lenet.model, evolved.x) != y)
