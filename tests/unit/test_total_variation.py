"""Total variation minimisation against solvers that nobody here wrote, and its duality gap."""

from __future__ import annotations

import cvxpy
import numpy as np
import pytest
import torch
from skimage.restoration import denoise_tv_chambolle

from advsparse.data.photos import Photos
from advsparse.defenses._total_variation import differences, divergence, solved
from advsparse.defenses.tvm import TVM
from advsparse.seeding import Random

VARIANTS = ("guo", "paper", "obfuscated_gradients")
each = pytest.mark.parametrize("variant", VARIANTS)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    data = Photos(train_per_class=40, test_per_class=8).load(tmp_path_factory.getbasetemp())
    return torch.from_numpy(data.images("test"))[::4]


def mask(x, share=0.5):
    return (torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < share).to(x)


def problem(variant, x, kept, weight=0.03):
    return TVM(variant=variant, weight=weight)._problem(x, kept)


@pytest.mark.parametrize("weight", [0.01, 0.03, 0.1])
def test_total_variation_is_minimised_as_chambolle_does(photos, weight):
    x = photos[:3].double()
    theirs = torch.stack([
        torch.stack([
            # Its weight is that of the variation beside half the squared distance; its steps stop
            # at the gap that eps says.
            torch.from_numpy(
                denoise_tv_chambolle(channel.numpy(), weight=weight, eps=1e-9, max_num_iter=2000)
            )
            for channel in image
        ])
        for image in x
    ])  # fmt: skip
    made = TVM(weight=weight, dropout=0.0)
    ours = made.transformation({})(x, Random(0))
    asked = problem("guo", x, torch.ones_like(x), weight)
    found, expected = asked.objective(ours), asked.objective(theirs)
    assert (found <= expected * (1 + 1e-3)).all()
    assert (asked.bound(*solved(asked, 300)[2:]) <= expected).all()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0.01)


def lengths(variant, z):
    """The sum of lengths of differences of a channel, as cvxpy has it."""
    down, along = z[1:] - z[:-1], z[:, 1:] - z[:, :-1]
    if variant == "paper":
        return cvxpy.sum(cvxpy.norm(down, axis=1)) + cvxpy.sum(cvxpy.norm(along, axis=0))
    if variant == "obfuscated_gradients":
        return cvxpy.sum(cvxpy.abs(down)) + cvxpy.sum(cvxpy.abs(along))
    rows, columns = z.shape
    down = cvxpy.vstack([down, np.zeros((1, columns))])
    along = cvxpy.hstack([along, np.zeros((rows, 1))])
    both = cvxpy.vstack([cvxpy.vec(down, order="C"), cvxpy.vec(along, order="C")])
    return cvxpy.sum(cvxpy.norm(both, axis=0))


@pytest.mark.parametrize(
    ("variant", "weight"),
    [("guo", 0.03), ("obfuscated_gradients", 0.03), ("paper", 0.03), ("paper", 0.4)],
)
def test_each_problem_is_solved_as_an_exact_solver_does(photos, variant, weight):
    x = photos[2:3, :, 4:12, 8:16].double()
    kept = TVM(variant=variant)._kept(x, Random(3))
    assert 0.3 < kept.mean() < 0.7
    asked = problem(variant, x, kept, weight)
    ours = solved(asked, 6000)
    channels = [cvxpy.Variable((8, 8)) for _ in range(3)]
    away = cvxpy.hstack([
        cvxpy.vec(cvxpy.multiply(kept[0, c].numpy(), z - x[0, c].numpy()), order="C")
        for c, z in enumerate(channels)
    ])  # fmt: skip
    data = cvxpy.norm(away) if variant == "paper" else cvxpy.sum_squares(away) / 2
    share = 0.5 if variant == "obfuscated_gradients" else 1.0  # half the smoothing
    variation = sum(lengths(variant, z) for z in channels)
    theirs = cvxpy.Problem(cvxpy.Minimize(data + share * weight * variation))
    theirs.solve(solver="CLARABEL")
    assert float(asked.objective(ours.z)) == pytest.approx(theirs.value, rel=1e-4)
    bound = float(asked.bound(ours.down, ours.along))
    assert bound <= theirs.value * (1 + 1e-6) and bound == pytest.approx(theirs.value, rel=1e-4)


@each
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_gap_bounds_what_is_missing_and_vanishes(photos, variant, share):
    x = photos[:4, :, ::2, ::2].double()
    # Lambda is large enough that the printed problem is not solved by x itself.
    asked = problem(variant, x, mask(x, share), 0.4)
    best = asked.objective(solved(asked, 4000).z)
    for steps in (1, 3, 30, 300):
        found = solved(asked, steps)
        missing = asked.objective(found.z) - best
        assert (found.gap >= -1e-12).all() and (missing <= found.gap + 1e-12).all()
    assert (solved(asked, 4000).gap <= 1e-4 * best + 1e-12).all()
    # Nor is any other point of dual variables above, however far from the best.
    generator = torch.Generator().manual_seed(1)
    for scale in (0.01, 1.0):
        drawn = [scale * torch.randn(x.shape, generator=generator, dtype=x.dtype) for _ in "du"]
        assert (asked.bound(*asked.within(*drawn)) <= best + 1e-12).all()


@each
def test_three_hundred_steps_are_near_the_optimum(photos, variant):
    x = photos[::4]
    found = solved(problem(variant, x, mask(x)), 300)
    assert (found.gap <= 2e-3 * found.problem.objective(found.z)).all()


@pytest.mark.parametrize(
    ("variant", "least"), [("guo", 0.97), ("paper", 0.99), ("obfuscated_gradients", 0.8)]
)
def test_the_last_steps_tell_nearly_the_whole_derivative(photos, variant, least):
    """Of what a network might ask for; the identity, which others put in its place, is far off."""
    x, v = photos[::4], torch.randn(photos[::4].shape, generator=torch.Generator().manual_seed(1))
    kept = mask(x)

    def seen(followed):
        z = x.clone().requires_grad_()
        found = solved(problem(variant, z, kept), 300, followed).z
        return found.detach(), torch.autograd.grad(found, z, v)[0].flatten(1)

    (one, last), (other, whole) = seen(20), seen(None)
    assert torch.equal(one, other)
    near = torch.nn.functional.cosine_similarity(last, whole)
    assert near.mean() > least
    assert torch.nn.functional.cosine_similarity(v.flatten(1), whole).mean() < 0.75


def test_divergence_is_minus_the_adjoint_of_differences():
    generator = torch.Generator().manual_seed(0)
    z, p, q = (torch.randn(2, 3, 5, 7, generator=generator, dtype=torch.float64) for _ in range(3))
    by_row, by_column = differences(z)
    product = (by_row * p + by_column * q).sum()
    torch.testing.assert_close(product, -(z * divergence(p, q)).sum())


@each
def test_without_weight_what_is_kept_comes_back(photos, variant):
    kept = mask(photos)
    z = solved(problem(variant, photos, kept, 1e-6), 300).z
    assert ((z - photos) * kept).abs().max() < 1e-4


def test_the_printed_problem_leaves_what_is_kept_of_small_images_as_it_is(photos):
    """The norm of the distance weighs more than lambda times that of all that acts on it."""
    x = photos.double()
    rows = 3 * (x.shape[2] - 1 + x.shape[3] - 1)
    assert 0.02 * (8 * rows) ** 0.5 < 1
    for share in (0.5, 1.0):
        kept = mask(x, share)
        z = solved(problem("paper", x, kept, 0.02), 600).z
        assert ((z - x) * kept).abs().max() < 1e-9


@each
def test_the_share_that_is_left_out_is_the_dropout(photos, variant):
    for dropout in (0.0, 0.3, 1.0):
        kept = TVM(variant=variant, dropout=dropout)._kept(photos, Random(0))
        assert abs(float((kept == 0).float().mean()) - dropout) < 0.015
        assert set(kept.unique().tolist()) <= {0.0, 1.0}
        if dropout == 0.3:
            assert not torch.equal(kept[0], kept[1])
            together = torch.equal(kept[:, 0], kept[:, 1])
            assert together == (variant == "obfuscated_gradients")


@each
def test_a_channel_of_which_nothing_is_kept_is_flat(photos, variant):
    x = photos[:2].double()
    kept = mask(x)
    kept[0, 1] = 0
    z = solved(problem(variant, x, kept), 50).z
    assert z.isfinite().all() and not z[0, 1].any() and z[1, 1].any()
