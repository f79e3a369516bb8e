"""Patches of images coded, denoised and learned from, beside scikit-learn, as mitro2018 does."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import MiniBatchDictionaryLearning, sparse_encode
from sklearn.feature_extraction.image import extract_patches_2d, reconstruct_from_patches_2d

from advsparse.coding._dictionary_learning import DictionaryLearning, relative_residual
from advsparse.coding._maps import Matrix
from advsparse.coding._patches import drawn_patches, patches_of
from advsparse.coding.omp import OMP
from advsparse.data.photos import Photos
from advsparse.defenses._denoising import Denoiser
from benchmarks.attacks import OURS
from benchmarks.coders import CoderComparison

ATOMS, SIZE, IMAGES = 100, 7, 20
GOALS = {1: 0.05, 2: 0.05, 4: 0.2, 8: 0.2, 38: 0.2}
"""The ratio to reach by the number of atoms of a patch, of grey images."""


def comparisons() -> Iterator[CoderComparison]:
    """The comparisons, cheapest first; each on one thread."""
    images = _photographs()
    grey = images.mean(1, keepdim=True)[:, :, :28, :28].contiguous()
    for x, goals in ((grey, GOALS), (images, {2: 0.1})):
        dictionary = _dictionary(x)
        for sparsity, goal in goals.items():
            yield _coding(x[:IMAGES], dictionary, sparsity, goal)
        yield _denoising(x[:IMAGES], dictionary)
    yield _learning(grey)


def _photographs() -> torch.Tensor:
    """Pieces of photographs that ship with Python packages, 3 x 32 x 32, float64."""
    with tempfile.TemporaryDirectory() as folder:
        data = Photos(train_per_class=60, test_per_class=60).load(Path(folder))
    return torch.from_numpy(data.images("train")).double()


def _dictionary(x: torch.Tensor) -> torch.Tensor:
    drawn = drawn_patches(x, SIZE, 5000, torch.Generator().manual_seed(0))
    return DictionaryLearning(atoms=ATOMS, passes=4).learn(drawn - drawn.mean(0)).dictionary


def _coding(x, dictionary, sparsity: int, goal: float) -> CoderComparison:
    patches = patches_of(x, SIZE)
    patches = patches - patches.mean(1, keepdim=True)
    synthesis, solver = Matrix(dictionary), OMP(sparsity=sparsity)
    atoms = dictionary.T.numpy().copy()

    def residual(codes) -> torch.Tensor:
        return torch.cat([
            (own - code @ dictionary.T).norm(dim=1)
            for own, code in zip(patches, codes, strict=True)
        ])  # fmt: skip

    def ours() -> list[torch.Tensor]:
        return [solver.solve(synthesis, own).code for own in patches]

    def scikit() -> list[torch.Tensor]:
        options = {"algorithm": "omp", "n_nonzero_coefs": sparsity}
        return [torch.from_numpy(sparse_encode(own, atoms, **options)) for own in patches.numpy()]

    count, size = patches.shape[1:]
    return CoderComparison(
        f"OMP of patches, {size} entries, {sparsity} atom{'s' if sparsity > 1 else ''}",
        f"{len(x)} photographs, one after the other, {count} patches each, a dictionary of {ATOMS} "
        "atoms learned from such patches; `sparse_encode`, one thread",
        {OURS: ours, "scikit-learn": scikit},
        quality="residual",
        runs=3 if sparsity > 8 else 5,
        goal=goal,
        threads=1,
        score=residual,
    )


def _denoising(x, dictionary) -> CoderComparison:
    t, shape = Denoiser(dictionary, SIZE, 2), tuple(x.shape[1:])
    atoms = dictionary.T.numpy().copy()
    noisy = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).double()

    def distance(found) -> torch.Tensor:
        return (torch.cat(found) - x).flatten(1).norm(dim=1)

    def ours() -> torch.Tensor:
        return distance([t(one[None]) for one in noisy])

    def scikit() -> torch.Tensor:
        return distance([
            torch.from_numpy(denoised(one, atoms))[None] for one in noisy.numpy()
        ])  # fmt: skip

    return CoderComparison(
        f"Denoising an image of {' x '.join(map(str, shape))}",
        f"{len(x)} photographs with noise of 0.1, one after the other, patches of {SIZE} x {SIZE} "
        "with 2 atoms; scikit-learn's example of image denoising, one thread",
        {OURS: ours, "scikit-learn": scikit},
        quality="distance from the clean image",
        runs=5,
        goal=0.1,
        threads=1,
    )


def denoised(image: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    """scikit-learn's example, of an image C x H x W."""
    picture = image.transpose(1, 2, 0)
    patches = extract_patches_2d(picture, (SIZE, SIZE)).reshape(-1, SIZE, SIZE, len(image))
    flat = patches.transpose(0, 3, 1, 2).reshape(len(patches), -1)
    mean = flat.mean(0)
    found = sparse_encode(flat - mean, atoms, algorithm="omp", n_nonzero_coefs=2) @ atoms + mean
    found = found.reshape(len(patches), len(image), SIZE, SIZE).transpose(0, 2, 3, 1)
    return reconstruct_from_patches_2d(found, picture.shape).transpose(2, 0, 1)


def _learning(x) -> CoderComparison:
    learned, held_out = (
        drawn_patches(part, SIZE, count, torch.Generator().manual_seed(2))
        for part, count in ((x[::2], 20_000), (x[1::2], 5_000))
    )
    mean = learned.mean(0)
    learned, held_out = learned - mean, held_out - mean

    def reached(dictionary) -> torch.Tensor:
        return torch.tensor([relative_residual(dictionary, held_out, 2)])

    def scikit() -> torch.Tensor:
        model = MiniBatchDictionaryLearning(
            ATOMS,
            batch_size=256,
            max_iter=1,
            transform_algorithm="omp",
            transform_n_nonzero_coefs=2,
            random_state=0,
        )
        return reached(torch.from_numpy(model.fit(learned.numpy()).components_.T.copy()))

    return CoderComparison(
        "Dictionary learning",
        f"{ATOMS} atoms from 20,000 grey patches of {SIZE} x {SIZE}: four passes of MOD with 2 "
        "atoms, and one of `MiniBatchDictionaryLearning` with batches of 256 (its LASSO), one "
        "thread; measured by what 2 atoms leave of 5,000 patches of other photographs",
        {OURS: lambda: reached(DictionaryLearning(atoms=ATOMS, passes=4).learn(learned).dictionary),
         "scikit-learn": scikit},
        quality="relative residual",
        runs=3,
        goal=0.2,
        threads=1,
    )  # fmt: skip
