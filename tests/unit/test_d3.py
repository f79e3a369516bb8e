"""D3: dictionaries of natural patches, and sparse codes as scikit-learn finds them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import orthogonal_mp

from advsparse.coding._maps import Matrix
from advsparse.coding._patches import image_of, on_grid, patches_of
from advsparse.coding._pursuit import dictionary_of, pursue
from advsparse.data.photos import Photos
from advsparse.defenses._natural_patches import apart, in_turn, natural_dictionary, salience
from advsparse.defenses.d3 import D3
from advsparse.seeding import Random


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return Photos(train_per_class=40, test_per_class=8).load(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def photos(data):
    return torch.from_numpy(data.images("test"))[::12].double()


@pytest.fixture(scope="module")
def learned(data):
    x = torch.from_numpy(data.images("train")).double()
    return D3(patch=4, atoms=400, candidates=5000).fit(x, None, rng=1)


def transformed(x, learned, **settings):
    made = D3(patch=4, **settings)
    numbers = (Random(0),) if made.stochastic else ()
    return made.transformation(learned)(x, *numbers)


def centred(patches):
    """Patches of 4 x 4 pixels without the mean of each channel, and that mean."""
    mean = patches.unflatten(-1, (3, 16)).mean(-1, keepdim=True).expand(-1, -1, 16).flatten(1)
    return patches - mean, mean


def atoms_apart(dictionary):
    gram = (dictionary.T @ dictionary).abs()
    return float((gram - torch.eye(len(gram))).max())


@pytest.mark.filterwarnings("ignore:Orthogonal matching pursuit ended:RuntimeWarning")  # flat ones
@pytest.mark.parametrize("sparsity", [1, 3, 5])
def test_patches_are_coded_as_scikit_learn_does_and_their_overlaps_averaged(
    photos, learned, sparsity
):
    x = photos[:2]
    ours = transformed(x, learned, sparsity=sparsity)
    dictionary = learned["dictionary"].numpy()
    sums, counts = np.zeros(x.shape), np.zeros(x.shape)
    for image in range(2):
        for top in range(0, 29, 2):
            for left in range(0, 29, 2):
                place = (image, slice(None), slice(top, top + 4), slice(left, left + 4))
                patch = x[place].numpy()
                mean = patch.mean((1, 2), keepdims=True)
                flat = (patch - mean).ravel()
                code = orthogonal_mp(dictionary, flat, n_nonzero_coefs=sparsity)
                sums[place] += (dictionary @ code).reshape(3, 4, 4) + mean
                counts[place] += 1
    np.testing.assert_allclose(ours.numpy(), (sums / counts).clip(0, 1), atol=1e-8)


@pytest.mark.filterwarnings("ignore:Orthogonal matching pursuit ended:RuntimeWarning")
def test_the_atoms_that_are_chosen_are_those_of_scikit_learn(photos, learned):
    dictionary = learned["dictionary"]
    patches, _ = centred(patches_of(photos[:1], 4, 2)[0])
    theirs = orthogonal_mp(dictionary.numpy(), patches.T.numpy(), n_nonzero_coefs=4)
    ours = pursue(dictionary_of(Matrix(dictionary)), patches, 4, None).code
    np.testing.assert_allclose(ours.numpy(), theirs.T, atol=1e-8)


def test_as_many_atoms_as_a_patch_has_entries_reproduce_images(photos, learned):
    for sides in ((32, 32), (31, 29), (4, 5)):
        x = photos[:2, :, : sides[0], : sides[1]]
        torch.testing.assert_close(transformed(x, learned, sparsity=48), x, rtol=0, atol=1e-8)


def test_more_atoms_leave_less(photos, learned):
    patches, _ = centred(patches_of(photos, 4, 2).flatten(0, 1))
    known = dictionary_of(Matrix(learned["dictionary"]))
    residuals = [pursue(known, patches, kappa, None).residual for kappa in (1, 2, 4, 8, 16)]
    for more, fewer in zip(residuals[1:], residuals, strict=False):
        assert (more <= fewer + 1e-9).all()
    errors = [
        float((transformed(photos, learned, sparsity=kappa) - photos).norm())
        for kappa in (1, 2, 4, 8, 16)
    ]
    assert errors == sorted(errors, reverse=True)


def test_flat_images_stay_and_contrast_is_kept(photos, learned):
    flat = torch.tensor([0.0, 0.3, 1.0]).reshape(3, 1, 1, 1).expand(3, 3, 9, 10).double()
    torch.testing.assert_close(transformed(flat, learned), flat)
    # Codes are linear while atoms stay the same: t(c + s x) = c + s t(x) where nothing is clipped.
    x = 0.3 + 0.4 * photos
    inside = transformed(0.3 + 0.2 * photos, learned, sparsity=3)
    torch.testing.assert_close(transformed(x, learned, sparsity=3), 2 * inside - 0.3)


def test_atoms_are_patches_of_training_images_that_lie_apart(data):
    x = torch.from_numpy(data.images("train"))[:6].double()
    found = D3(patch=4, atoms=150, candidates=3000, coherence=0.7).fit(x, None, rng=0)["dictionary"]
    assert found.shape == (48, 150)
    torch.testing.assert_close(found.norm(dim=0), torch.ones(150, dtype=torch.float64))
    assert found.unflatten(0, (3, 16)).mean(1).abs().max() < 1e-12
    assert atoms_apart(found) < 0.7
    every, _ = centred(patches_of(x, 4).flatten(0, 1))
    every = every[every.norm(dim=1) > 1e-6]
    every = every / every.norm(dim=1, keepdim=True)
    assert ((every @ found).amax(0) > 1 - 1e-9).all()
    # There are no more than fit.
    few = D3(patch=4, atoms=3000, candidates=3000, coherence=0.3).fit(x, None)["dictionary"]
    assert few.shape[1] < 200 and atoms_apart(few) < 0.3


@pytest.mark.parametrize("count", [10, 40, 10_000])
def test_atoms_are_taken_greedily(count):
    generator = torch.Generator().manual_seed(0)
    patches = torch.randn(1500, 6, generator=generator, dtype=torch.float64)
    patches /= patches.norm(dim=1, keepdim=True)
    expected: list[torch.Tensor] = []
    for patch in patches:
        if len(expected) < count and all(abs(float(patch @ one)) < 0.8 for one in expected):
            expected.append(patch)
    assert len(expected) == count or count == 10_000
    assert torch.equal(apart(patches, 0.8, count), torch.stack(expected))


def test_the_order_is_drawn_in_proportion_to_weights():
    weights = torch.tensor([0.0, 1.0, 2.0, 5.0], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    orders = [tuple(in_turn(weights, generator).tolist()) for _ in range(4000)]
    # Nothing without weight has its turn; the rest is drawn without replacement.
    expected = {}
    for order in ((1, 2, 3), (1, 3, 2), (2, 1, 3), (2, 3, 1), (3, 1, 2), (3, 2, 1)):
        one, two, three = (float(weights[i]) for i in order)
        expected[order] = 4000 * one / 8 * two / (two + three)
    assert set(orders) == set(expected)
    assert sum((orders.count(o) - e) ** 2 / e for o, e in expected.items()) < 22  # 5 degrees


def test_salience_is_the_mean_length_of_gradients():
    ramp = torch.arange(4.0).expand(4, 4)
    both = torch.stack([torch.stack([3 * ramp, 4 * ramp.T]), torch.ones(2, 4, 4)])
    found = salience(both.flatten(1), (2, 4, 4))
    # Along an axis 3, along the other 4: 5 where neither ends, in 9 of 16 places; 3 or 4 in 3 each.
    torch.testing.assert_close(found, torch.tensor([(9 * 5 + 3 * 3 + 3 * 4) / 16, 0.0]))


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_its_own_derivative_is_that_of_its_values(photos, learned, share):
    x = photos[4:5, :, 8:14, 9:16]
    made = D3(patch=4, sparsity=3, share=share)
    fixed = (Random(0).of(x),) if made.stochastic else ()
    t = made.transformation(learned)
    assert torch.equal(t(x.clone().requires_grad_(), *fixed), t(x, *fixed))
    inside = (t(x, *fixed) > 0) & (t(x, *fixed) < 1)
    assert inside.all()  # nothing is clipped
    assert torch.autograd.gradcheck(lambda z: t(z, *fixed), x.clone().requires_grad_())
    # Flat patches, of which no atom is taken, have that of their mean.
    flat = torch.full((1, 3, 4, 4), 0.5, dtype=torch.float64).requires_grad_()
    (found,) = torch.autograd.grad(t(flat, *fixed)[0, 0, 1, 2], flat)
    expected = torch.zeros_like(found)
    expected[0, 0] = 1 / 16
    torch.testing.assert_close(found, expected)


def test_each_image_is_given_a_share_of_the_atoms(photos, learned):
    assert not D3().stochastic and D3(share=0.5).stochastic
    dictionary = learned["dictionary"]
    x = photos[:3]
    made = D3(patch=4, share=0.1, sparsity=2)
    found = made.transformation(learned)(x, Random(4))
    uniform = Random(4).uniform_block(x, (400,))
    given = [row.argsort()[:40] for row in uniform]
    for image, ours, some in zip(x, found, given, strict=True):
        own = {"dictionary": dictionary[:, some]}
        expected = transformed(image[None], own, sparsity=2)[0]
        torch.testing.assert_close(ours, expected)
    assert len({tuple(some.tolist()) for some in given}) == 3
    # Fewer atoms serve worse than all.
    whole = transformed(x, learned, sparsity=2)
    assert (found - x).norm() > (whole - x).norm()


def test_what_nothing_can_be_learned_from_is_refused(photos, learned):
    with pytest.raises(ValueError, match="all of the patches that it could learn from are flat"):
        D3(patch=4, candidates=50).fit(torch.full((2, 3, 8, 8), 0.4), None)
    with pytest.raises(ValueError, match="images of 3 x 32 pixels have no patches of 4 x 4"):
        transformed(photos[:, :, :3], learned)


@pytest.mark.parametrize(("size", "step"), [(4, 2), (5, 3), (1, 1), (3, 1)])
def test_images_come_back_from_their_patches_on_a_grid(photos, size, step):
    for sides in ((32, 32), (30, 17), (size, size + 1)):
        x = photos[:2, :, : sides[0], : sides[1]]
        padded = on_grid(x, size, step)
        assert all((side - size) % step == 0 for side in padded.shape[2:])
        assert all(p - s < step for p, s in zip(padded.shape[2:], sides, strict=True))
        patches = patches_of(padded, size, step)
        count = math.prod((side - size) // step + 1 for side in padded.shape[2:])
        assert patches.shape == (2, count, 3 * size**2)
        back = image_of(patches, size, tuple(padded.shape[1:]), step)
        if size >= step:
            torch.testing.assert_close(back, padded)
        assert torch.equal(padded[:, :, : sides[0], : sides[1]], x)


def test_a_dictionary_is_told_by_its_generator(data):
    x = torch.from_numpy(data.images("train"))[:4]
    one, again, other = (
        natural_dictionary(
            x, 4, candidates=200, coherence=0.9, atoms=50,
            generator=torch.Generator().manual_seed(seed),
        )
        for seed in (0, 0, 1)
    )  # fmt: skip
    assert torch.equal(one, again) and not torch.equal(one, other)
