"""Denoising by a dictionary of patches, against scikit-learn's example and its exact derivative."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import sparse_encode
from sklearn.feature_extraction.image import extract_patches_2d, reconstruct_from_patches_2d

from advsparse.attacks.adaptive import Adaptive
from advsparse.attacks.pgd import PGD
from advsparse.data.photos import Photos
from advsparse.defenses._denoising import Denoiser
from advsparse.defenses.denoising_dictionary import DenoisingDictionary


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    data = Photos(train_per_class=60, test_per_class=6).load(tmp_path_factory.getbasetemp())
    return tuple(torch.from_numpy(data.images(split)) for split in ("train", "test"))


@pytest.fixture(scope="module")
def learned(photos):
    settings = DenoisingDictionary(patch=5, atoms=40, patches=3000, passes=4)
    return settings.fit(photos[0], torch.zeros(len(photos[0])), rng=1)


def denoised_by_scikit_learn(image, dictionary, size, sparsity):
    """Its example of image denoising, of one image C x H x W."""
    picture = image.transpose(1, 2, 0)
    patches = extract_patches_2d(picture, (size, size))
    # Channel after channel, as the dictionary's entries are.
    flat = patches.transpose(0, 3, 1, 2).reshape(len(patches), -1)
    mean = flat.mean(0)
    code = sparse_encode(flat - mean, dictionary.T, algorithm="omp", n_nonzero_coefs=sparsity)
    found = code @ dictionary.T + mean
    found = found.reshape(len(patches), image.shape[0], size, size).transpose(0, 2, 3, 1)
    return reconstruct_from_patches_2d(found, picture.shape).transpose(2, 0, 1)


@pytest.mark.parametrize("sparsity", [1, 2, 4, 20])
def test_images_are_denoised_as_scikit_learns_example_does(photos, learned, sparsity):
    x = photos[1][::7][:4].double()
    noisy = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).double()
    dictionary = learned["dictionary"].double()
    t = Denoiser(dictionary, 5, sparsity)
    found = t(noisy)
    expected = np.stack([
        denoised_by_scikit_learn(image, dictionary.numpy(), 5, sparsity) for image in noisy.numpy()
    ])  # fmt: skip
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-8)
    assert torch.equal(t(noisy[:1]), found[:1])


def test_noise_is_taken_off(photos, learned):
    x = photos[1]
    noisy = x + 0.2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    found = DenoisingDictionary(patch=5).transformation(learned)(noisy)
    assert (found - x).square().mean() < 0.3 * (noisy - x).square().mean()


def test_more_atoms_than_entries_give_the_image_back(photos, learned):
    x = photos[1][:3]
    found = DenoisingDictionary(patch=5, sparsity=200).transformation(learned)(x)
    # Forty atoms span forty of 75 dimensions; a dictionary of all of them leaves nothing out.
    full = Denoiser(torch.eye(75), 5, 75)(x)
    torch.testing.assert_close(full, x, rtol=0, atol=1e-5)
    assert (found - x).square().mean() < (
        Denoiser(learned["dictionary"], 5, 2)(x) - x
    ).square().mean()


@pytest.mark.parametrize("sparsity", [1, 2, 3])
def test_its_derivative_is_exact(sparsity):
    generator = torch.Generator().manual_seed(3)
    dictionary = torch.randn(12, 15, generator=generator, dtype=torch.float64)
    t = Denoiser(dictionary / dictionary.norm(dim=0), 2, sparsity)
    x = torch.rand(2, 3, 5, 4, generator=generator, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(t, x, eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("sparsity", [1, 2, 3])
def test_the_length_of_atoms_makes_no_difference(sparsity):
    generator = torch.Generator().manual_seed(4)
    dictionary = torch.randn(9, 14, generator=generator, dtype=torch.float64)
    dictionary /= dictionary.norm(dim=0)
    x = torch.rand(2, 1, 6, 6, generator=generator, dtype=torch.float64)
    longer = Denoiser(dictionary * torch.logspace(-1, 1, 14, dtype=torch.float64), 3, sparsity)
    torch.testing.assert_close(longer(x), Denoiser(dictionary, 3, sparsity)(x))


@pytest.mark.parametrize("sparsity", [1, 2, 3, 4])
def test_the_derivative_is_a_projection_onto_the_atoms_that_are_used(sparsity):
    """Of two patches whose difference is one atom each uses that one alone, however many it may."""
    image = torch.tensor([[0.1, 0.5, 0.2], [0.9, 0.3, 0.6]]).double()
    difference = (image[:, :2] - image[:, 1:]).flatten()
    atom = difference / difference.norm()
    others = torch.tensor([[1, 0, -1, 0], [0, 1, 0, -1], [1, -1, 1, -1], [1, 0, 0, -1]]).double()
    dictionary = torch.cat([others / others.norm(dim=1, keepdim=True), atom[None]]).T

    def projected(x):
        first, second = x[:, :2].flatten(), x[:, 1:].flatten()
        mean = (first + second) / 2
        left, right = (((p - mean) @ atom * atom + mean).reshape(2, 2) for p in (first, second))
        return torch.stack([left[:, 0], (left[:, 1] + right[:, 0]) / 2, right[:, 1]], dim=1)

    x = image.clone().requires_grad_()
    found = Denoiser(dictionary, 2, sparsity)(x[None, None])[0, 0]
    torch.testing.assert_close(found, x)
    g = torch.tensor([[1.0, -2.0, 0.5], [3.0, 0.25, -1.0]]).double()
    (gradient,) = torch.autograd.grad((g * found).sum(), x)
    (expected,) = torch.autograd.grad((g * projected(x)).sum(), x)
    torch.testing.assert_close(gradient, expected)


def test_patches_without_atoms_have_a_derivative_too():
    """Of an image of one colour every patch is its mean: nothing is coded."""
    dictionary = torch.eye(4, 6).double()
    x = torch.full((1, 1, 4, 4), 0.5, dtype=torch.float64, requires_grad=True)
    t = Denoiser(dictionary, 2, 3)
    assert torch.equal(t(x), x.detach())
    (gradient,) = torch.autograd.grad(t(x).sum(), x)
    assert gradient.isfinite().all()


def test_atoms_that_depend_on_each_other_are_coded_all_the_same(photos):
    generator = torch.Generator().manual_seed(0)
    atoms = torch.randn(75, 20, generator=generator, dtype=torch.float64)
    close = atoms + 1e-5 * torch.randn(75, 20, generator=generator, dtype=torch.float64)
    dictionary = torch.cat([atoms, close], dim=1)
    dictionary /= dictionary.norm(dim=0)
    x = photos[1][:2].double()
    expected = denoised_by_scikit_learn(x[0].numpy(), dictionary.numpy(), 5, 2)
    found = Denoiser(dictionary, 5, 2)(x)
    assert found.isfinite().all()
    left = [float((torch.as_tensor(z) - x[0]).norm()) for z in (found[0], expected)]
    assert left[0] <= left[1] * (1 + 1e-3)


def test_a_dictionary_is_learned_from_standardised_patches(photos, learned):
    assert learned["dictionary"].shape == (75, 40) and learned["dictionary"].dtype == torch.float32
    torch.testing.assert_close(learned["dictionary"].norm(dim=0), torch.ones(40))
    assert learned["residual"].shape == (5,) and learned["residual"][-1] < learned["residual"][0]
    settings = DenoisingDictionary(patch=5, atoms=40, patches=3000, passes=4)
    again = settings.fit(photos[0], torch.zeros(len(photos[0])), rng=1)
    other = settings.fit(photos[0], torch.zeros(len(photos[0])), rng=2)
    assert torch.equal(again["dictionary"], learned["dictionary"])
    assert not torch.equal(other["dictionary"], learned["dictionary"])
    # Another contrast of all images is another unit of patches, and no other dictionary.
    dark = settings.fit(photos[0] / 4, torch.zeros(len(photos[0])), rng=1)
    torch.testing.assert_close(dark["dictionary"], learned["dictionary"], rtol=0, atol=0.02)


def test_adaptive_attacks_go_through_it(photos, learned):
    x = photos[1][:12]
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 4))
    defended = DenoisingDictionary(patch=5).wrap(network, learned)
    with torch.no_grad():
        y = defended(x).argmax(1)
    attack = PGD(norm="linf", eps=0.1, steps=10)
    static = attack(network, x, y).x
    adapted = Adaptive(attack=attack)(defended, x, y).x
    identity = Adaptive(attack=attack, backward="identity")(defended, x, y).x
    with torch.no_grad():
        held = [
            float((defended(z).argmax(1) == y).double().mean()) for z in (static, adapted, identity)
        ]
    assert held[1] <= held[0] and held[2] <= held[0]
