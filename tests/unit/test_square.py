"""The Square attack: its windows by hand, its proposals, and its search."""

from __future__ import annotations

import pytest
import torch
from models_for_tests import SHAPE, Blunt, evaluated, measured

from advsparse.attacks._ball_in_box import project
from advsparse.attacks._losses import margin
from advsparse.attacks._square_moves import Moves, _corner
from advsparse.attacks._square_windows import (
    bump,
    two_bumps,
    window_indices,
    window_share,
    window_side,
)
from advsparse.attacks.noise import Noise
from advsparse.attacks.square import Square
from advsparse.seeding import Random


def test_windows_shrink_on_the_schedule_of_the_paper():
    shares = {q: window_share(q, 10_000, 0.8) for q in (0, 10, 11, 50, 51, 201, 501, 1001, 9999)}
    assert shares == {
        0: 0.8,
        10: 0.8,
        11: 0.4,
        50: 0.4,
        51: 0.2,
        201: 0.1,
        501: 0.05,
        1001: 0.025,
        9999: 0.8 / 512,
    }
    assert window_share(26, 5000, 0.8) == window_share(52, 10_000, 0.8)
    assert [window_side(p, 1024, 32) for p in (0.8, 0.4, 1e-9)] == [29, 20, 1]
    assert [window_side(p, 1024, 32, odd=True) for p in (0.8, 0.4, 1e-9)] == [29, 21, 3]
    assert window_side(0.9, 4, 2, odd=True) == 2


def test_bump_by_hand():
    # Rings around the centre: 1 + 1/4, then 1/4.
    expected = torch.full((3, 3), 0.25, dtype=torch.float64)
    expected[1, 1] = 1.25
    torch.testing.assert_close(bump(3, 3), expected / expected.norm())
    wide = bump(2, 5)  # centre at row 1, column 2; n = 2: terms 1/9, 1/4, 1
    row = torch.tensor([1 / 9, 1 / 9 + 1 / 4, 1 / 9 + 1 / 4 + 1, 1 / 9 + 1 / 4, 1 / 9]).double()
    torch.testing.assert_close(wide[1] / wide[1, 0], row * 9)
    for side in (1, 2, 3, 7, 8):
        both = two_bumps(side)
        assert both.shape == (side, side)
        assert both.norm().item() == pytest.approx(1)
        if side > 1:
            assert (both[: side // 2] > 0).all() and (both[side // 2 :] < 0).all()


def test_windows_are_where_they_should_be():
    corner = torch.tensor([[0, 0], [1, 2]])
    assert window_indices(corner, 2, 5).tolist() == [[0, 1, 5, 6], [7, 8, 12, 13]]
    ends = _corner(torch.tensor([[0.0, 0.0], [0.999999, 1.0]]), 5, 4, 3)
    assert ends.tolist() == [[0, 0], [2, 1]]
    grid = torch.stack(torch.meshgrid(*[torch.arange(0.05, 1, 0.1)] * 2, indexing="ij"), -1)
    counts = _corner(grid.reshape(-1, 2), 12, 12, 8).unique(dim=0, return_counts=True)
    assert len(counts[0]) == 25 and counts[1].unique().tolist() == [4]


def moves(norm: str) -> Moves:
    def into(point, x, radius):
        return x + project(point - x, x, norm, radius.flatten())

    return Moves(norm, Random(0), 1, 0.8, into)


RADII = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]).double()
"""A radius for each image."""


def test_linf_proposal_recolours_one_window():
    x = torch.full((2, *SHAPE), 0.5, dtype=torch.float64)
    x[:, :, :2] = 0.97
    draw = torch.tensor([[0.0, 0.0, 0, 0, 0, 0.1, 0.9, 0.9], [0.99, 0.5, 0, 0, 0, 0.9, 0.1, 0.1]])
    radius = torch.tensor([0.1, 0.2]).double()[:, None, None, None]
    changed = moves("linf")._recolour(x, x, radius, 3, draw.double())
    d = changed - x
    assert (d != 0).sum((1, 2, 3)).tolist() == [27, 27]
    torch.testing.assert_close(d[0, :, 2, 0], torch.tensor([-0.1, 0.1, 0.1]).double())
    torch.testing.assert_close(d[0, :, 0, 0], torch.tensor([-0.1, 0.03, 0.03]).double())
    torch.testing.assert_close(d[1, :, 7, 4], torch.tensor([0.2, -0.2, -0.2]).double())


def test_l2_proposal_moves_mass_within_the_budget():
    x = torch.full((6, *SHAPE), 0.5, dtype=torch.float64)
    rng = Random(3)
    now = x + 0.003 * rng.normal_like(x)  # well within the budget
    draw = torch.rand((6, 8), generator=torch.Generator().manual_seed(0)).double()
    new = moves("l2")._move_mass(now, x, RADII[:, None, None, None], 3, draw)
    torch.testing.assert_close(measured(new, x, "l2"), RADII)
    # Outside of both windows, the perturbation is what it was, up to one factor.
    before, after = (now - x).flatten(2), (new - x).flatten(2)
    for i in range(6):
        touched = torch.zeros(64, dtype=torch.bool)
        for two in (draw[i : i + 1, :2], draw[i : i + 1, 2:4]):
            touched[window_indices(_corner(two, 8, 8, 3), 3, 8)[0]] = True
        assert touched.sum() > 9
        ratio = after[i][:, ~touched] / before[i][:, ~touched]
        torch.testing.assert_close(ratio, ratio[0, 0].expand_as(ratio))
        drained = window_indices(_corner(draw[i : i + 1, 2:4], 8, 8, 3), 3, 8)[0]
        gained = window_indices(_corner(draw[i : i + 1, :2], 8, 8, 3), 3, 8)[0]
        only = [p for p in drained.tolist() if p not in gained.tolist()]
        assert not after[i][:, only].any()


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_windows_gain_what_another_lost(norm):
    """Far from the box the norm is that of the budget, and the drained window is clean again."""
    x = torch.full((6, *SHAPE), 0.5, dtype=torch.float64)
    now = x + 0.002 * Random(3).normal_like(x)
    draw = torch.rand((6, 8), generator=torch.Generator().manual_seed(0)).double()
    new = moves(norm)._move_mass(now, x, RADII[:, None, None, None], 3, draw)
    torch.testing.assert_close(measured(new, x, norm), RADII)
    for i in range(6):
        drained, gained = (
            window_indices(_corner(two, 8, 8, 3), 3, 8)[0].tolist()
            for two in (draw[i : i + 1, 2:4], draw[i : i + 1, :2])
        )
        d = (new - x)[i].flatten(1)
        assert not d[:, [p for p in drained if p not in gained]].any()
        assert d[:, gained].abs().sum() > 0.5 * d.abs().sum()


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_margin_falls_with_every_query_budget(norm):
    """Best margin so far, seen from outside: what is returned is the best of what was asked."""
    model, x, y = evaluated(torch.float64)
    attack = Square(norm=norm, eps={"linf": 0.01, "l2": 0.1, "l1": 0.5}[norm], queries=60)
    for i in (0, 1, 2):
        seen = []
        handle = model.register_forward_pre_hook(lambda _, z, seen=seen: seen.append(z[0]))
        result = attack(model, x[i : i + 1], y[i : i + 1])
        handle.remove()
        if result.success:
            continue
        assert result.steps.item() == 60
        asked = torch.cat(seen[3:-1])
        assert len(asked) == 60 and measured(asked, x[i : i + 1].expand_as(asked), norm).max() <= (
            attack.eps * (1 + 1e-9)
        )
        with torch.no_grad():
            margins = margin(model(asked), y[i : i + 1].expand(60), None)
        torch.testing.assert_close(result.trace["margin"][0], margins.min())
        assert margins.min() < margins[0]


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_finds_more_than_noise_and_needs_no_gradient(norm, lenet):
    eps = {"linf": 0.02, "l2": 1.2, "l1": 12.0}[norm]
    x, y = lenet.x[:40], lenet.y[:40]
    result = Square(norm=norm, eps=eps, queries=150)(Blunt(lenet.model), x, y)
    # Noise in l1 is shorter in l2 than that, whatever it hits.
    length, radius = ("l2", 1.2) if norm == "l1" else (norm, eps)
    blind = Noise(norm=length, eps=radius)(lenet.model, x, y)
    assert result.success.sum() >= blind.success.sum() + (4 if norm == "l2" else 8)
    assert (result.steps[result.success] < 150).all()
    assert (result.steps[~result.success] == 150).all()
    fewer = Square(norm=norm, eps=eps, queries=20)(lenet.model, x, y)
    assert fewer.success.sum() <= result.success.sum()
