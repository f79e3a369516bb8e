"""Dictionaries that are learned: against their definitions, scikit-learn, and what was planted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import MiniBatchDictionaryLearning, sparse_encode

from advsparse.coding._dictionary_learning import DictionaryLearning, relative_residual
from advsparse.coding._dictionary_updates import Learning
from advsparse.coding._maps import Matrix
from advsparse.coding._patches import drawn_patches, image_of, patches_of
from advsparse.coding._signals import Signals
from advsparse.coding.omp import OMP
from advsparse.data.photos import Photos
from advsparse.seeding import Random

each_update = pytest.mark.parametrize("update", ["mod", "ksvd", "online"])


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Patches of photographs without their mean, to learn from and held out."""
    data = Photos(train_per_class=100, test_per_class=20).load(tmp_path_factory.getbasetemp())
    found = []
    for split in ("train", "test"):
        x = torch.from_numpy(data.images(split)).double()
        drawn = drawn_patches(x, 5, 4000, torch.Generator().manual_seed(0))
        found.append(drawn - drawn.mean(0))
    return found


@each_update
def test_a_planted_dictionary_is_found(update):
    """Four in five atoms at least, on the mean; local optima keep the rest, as in Aharon et al."""
    shares = []
    for seed in (0, 1):
        signals = Signals(size=20, atoms=30, sparsity=3)
        dictionary = signals.dictionary(seed)
        x, _ = signals.draw(3000, dictionary, torch.Generator().manual_seed(2))
        learning = DictionaryLearning(update=update, atoms=30, sparsity=3, passes=40)
        found = learning.learn(x, rng=seed).dictionary
        shares.append(float(((found.T @ dictionary.double()).abs().amax(0) > 0.99).double().mean()))
        # Random signals, which it starts from, are nothing like it.
        start = Learning(learning, x.double(), Random(seed)).atoms
        assert ((start @ dictionary.double()).abs().amax(0) > 0.99).double().mean() < 0.1
    assert np.mean(shares) >= 0.8


@each_update
def test_it_is_as_good_as_scikit_learns_on_patches_that_it_has_not_seen(photos, update):
    x, held_out = photos
    ours = DictionaryLearning(update=update, atoms=60, sparsity=2, passes=8).learn(x)
    theirs = MiniBatchDictionaryLearning(
        60, batch_size=200, max_iter=4, transform_algorithm="omp", transform_n_nonzero_coefs=2,
        random_state=0,
    ).fit(x.numpy()).components_  # fmt: skip
    reached = relative_residual(ours.dictionary, held_out, 2)
    scikit = relative_residual(torch.from_numpy(theirs.T).contiguous(), held_out, 2)
    assert reached < 1.01 * scikit


@each_update
def test_each_pass_says_what_it_found(photos, update):
    x = photos[0][:1000]
    learning = DictionaryLearning(update=update, atoms=40, sparsity=3, passes=5)
    made = learning.learn(x, rng=4)
    assert made.dictionary.shape == (x.shape[1], 40) and made.dictionary.dtype == torch.float64
    torch.testing.assert_close(made.dictionary.norm(dim=0), torch.ones(40).double())
    assert made.objective.shape == made.residual.shape == (6,) and made.replaced.shape == (5,)
    norm = float(x.norm())
    torch.testing.assert_close(made.objective, (made.residual * norm).square() / 2)
    end = relative_residual(made.dictionary, x, 3)
    assert float(made.residual[-1]) == pytest.approx(end, rel=1e-9)
    if update != "online":  # whose mini-batches are coded by atoms that change
        start = Learning(learning, x, Random(4)).atoms.T
        assert float(made.residual[0]) == pytest.approx(relative_residual(start, x, 3), rel=1e-9)
    assert made.residual[-1] < 0.9 * made.residual[0]
    again, other = learning.learn(x, rng=4), learning.learn(x, rng=5)
    assert torch.equal(made.dictionary, again.dictionary)
    assert not torch.equal(made.dictionary, other.dictionary)


def coded_once(settings, x, seed=0):
    """The state before a pass, with the codes that the pass begins with."""
    state = Learning(settings, x, Random(seed))
    before = state.atoms.clone()
    code = OMP(sparsity=settings.sparsity).solve(Matrix(before.T), x).code
    return state, before, code


def test_mod_is_the_least_squares_solution(photos):
    x = photos[0][:800]
    settings = DictionaryLearning(atoms=30, sparsity=2)
    state, _, code = coded_once(settings, x)
    state.mod()
    used = (code != 0).any(0)
    expected = torch.linalg.lstsq(code[:, used], x).solution
    expected = expected / expected.norm(dim=1, keepdim=True)
    torch.testing.assert_close(state.atoms[used], expected, rtol=1e-7, atol=1e-9)


def test_ksvd_takes_the_best_rank_one_of_what_the_other_atoms_leave(photos):
    """Its definition, atom by atom, with NumPy's singular value decomposition."""
    x = photos[0][:600]
    settings = DictionaryLearning(update="ksvd", atoms=25, sparsity=2)
    state, atoms, code = coded_once(settings, x)
    state.ksvd()
    data, atoms, code = (array.numpy().copy() for array in (x, atoms, code))
    for k in range(25):
        rows = np.flatnonzero(code[:, k])
        if not len(rows):
            continue
        others = np.delete(np.arange(25), k)
        left = data[rows] - code[np.ix_(rows, others)] @ atoms[others]
        u, s, vt = np.linalg.svd(left, full_matrices=False)
        atoms[k], code[rows, k] = vt[0], u[:, 0] * s[0]
    # Up to the sign of each.
    alike = np.abs((state.atoms.numpy() * atoms).sum(1))
    np.testing.assert_allclose(alike, 1, atol=1e-9)


def test_online_learning_has_the_sums_of_all_signals_with_old_ones_fading(photos):
    """Mairal et al.'s algorithms 1 and 2, with the weights of their section 3.4."""
    x = photos[0][:300]
    settings = DictionaryLearning(update="online", atoms=20, sparsity=2, batch_size=64)
    state = Learning(settings, x, Random(3))
    atoms = state.atoms.numpy().copy()
    order = torch.randperm(300, generator=Random(3).generator("batches"))
    state.online()
    a, b = np.zeros((20, 20)), np.zeros((20, x.shape[1]))
    for t, rows in enumerate(order.split(64), 1):
        batch = x[rows].numpy()
        code = sparse_encode(batch, atoms, algorithm="omp", n_nonzero_coefs=2)
        theta = t * 64 if t < 64 else 64**2 + t - 64
        beta = (theta + 1 - 64) / (theta + 1)
        a, b = beta * a + code.T @ code, beta * b + code.T @ batch
        unused = np.diag(a) <= 1e-10 * np.diag(a).max()
        left = np.linalg.norm(batch - code @ atoms, axis=1)
        for k in np.flatnonzero(~unused):
            u = (b[k] - a[k] @ atoms) / a[k, k] + atoms[k]
            atoms[k] = u / np.linalg.norm(u)
        worst = np.argsort(-left, kind="stable")[: unused.sum()]
        atoms[unused] = batch[worst] / np.linalg.norm(batch[worst], axis=1, keepdims=True)
    np.testing.assert_allclose(state.atoms.numpy(), atoms, atol=1e-8)


@pytest.mark.parametrize("update", ["mod", "ksvd"])
def test_unused_atoms_become_the_signals_that_are_represented_worst(update):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 6, generator=generator, dtype=torch.float64)
    x[:, 3:] = 0
    x[7] = torch.tensor([0.0, 0, 0, 5, 0, 0])
    settings = DictionaryLearning(update=update, atoms=4, sparsity=1, passes=1)
    state = Learning(settings, x, Random(0))
    state.atoms = torch.eye(6, dtype=torch.float64)[[0, 1, 2, 5]]
    getattr(state, update)()
    assert state.replaced == [1]
    assert torch.equal(state.atoms[3], x[7] / 5)


def test_few_signals_leave_room_for_random_atoms():
    x = torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 2.0, 0]])
    made = DictionaryLearning(atoms=5, sparsity=1, passes=2).learn(x)
    assert made.dictionary.shape == (3, 5)
    torch.testing.assert_close(made.dictionary.norm(dim=0), torch.ones(5).double())
    assert made.residual[-1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (torch.zeros(3, 2), "all signals are 0"),
        (torch.ones(3), "expected signals N x m"),
        (torch.tensor([[1.0, torch.nan]]), "finite"),
        ([[1.0]], "expected a torch.Tensor|x: expected"),
    ],
)
def test_what_no_dictionary_can_be_learned_from_is_refused(x, said):
    with pytest.raises((ValueError, TypeError), match=said):
        DictionaryLearning(atoms=2, passes=1).learn(x)


# Patches.


@pytest.mark.parametrize("shape", [(1, 9, 8), (3, 10, 11)])
def test_patches_are_all_there_and_make_up_the_image(shape):
    x = torch.rand(2, *shape, dtype=torch.float64)
    patches = patches_of(x, 4)
    height, width = shape[1] - 3, shape[2] - 3
    assert patches.shape == (2, height * width, shape[0] * 16)
    assert torch.equal(patches[1, 2 * width + 3], x[1, :, 2:6, 3:7].flatten())
    torch.testing.assert_close(image_of(patches, 4, shape), x)
    # Where patches overlap that differ, their mean.
    changed = patches.clone()
    changed[:, 0] += 1
    counted = image_of(changed, 4, shape) - x
    assert counted[0, 0, 0, 0] == pytest.approx(1) and counted[0, 0, 0, 1] == pytest.approx(1 / 2)
    assert counted[0, 0, 3, 3] == pytest.approx(1 / 16)


def test_patches_are_drawn_from_all_places():
    x = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).double()
    drawn = drawn_patches(x, 2, 2000, torch.Generator().manual_seed(0))
    known = {tuple(patch.tolist()) for image in patches_of(x, 2) for patch in image}
    assert {tuple(patch.tolist()) for patch in drawn} == known and len(known) == 24
    with pytest.raises(ValueError, match="images of 4 x 5 pixels have no patches of 5 x 5"):
        drawn_patches(x, 5, 1, torch.Generator())
