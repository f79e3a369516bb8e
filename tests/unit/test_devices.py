"""What runs on GPUs and no contract's tests put there: coders, trainings, random numbers.

``pytest --device cuda -m gpu`` runs these on a card, with the contracts of attacks and defences.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from models_for_tests import small_images, small_network
from sklearn.decomposition import sparse_encode
from sklearn.linear_model import orthogonal_mp
from solver_cases import dense, noisy, normal, unit_columns

from advsparse.coding._circular_map import CircularConvolution
from advsparse.coding._maps import Matrix
from advsparse.coding.cbpdn import CBPDN
from advsparse.coding.lasso import Lasso
from advsparse.coding.omp import OMP
from advsparse.models._training import Training, train
from advsparse.seeding import Random


def test_omp_is_as_scikit_learn_has_it(device):
    synthesis = Matrix(unit_columns(50, 100))
    x = noisy(synthesis, 40, 8)
    found = OMP(sparsity=10).solve(Matrix(synthesis.matrix.to(device)), x.to(device)).code
    expected = orthogonal_mp(synthesis.matrix.numpy(), x.numpy().T, n_nonzero_coefs=10).T
    assert found.device.type == device
    np.testing.assert_allclose(found.cpu(), expected, rtol=0, atol=1e-8)


def test_lasso_is_as_scikit_learn_has_it(device):
    synthesis = Matrix(unit_columns(30, 60))
    x = noisy(synthesis, 20, 5)
    coder = Lasso(weight=0.1, gap_tolerance=1e-12)
    found = coder.solve(Matrix(synthesis.matrix.to(device)), x.to(device)).code
    dictionary = synthesis.matrix.numpy().T
    expected = sparse_encode(
        x.numpy(), dictionary, algorithm="lasso_cd", alpha=0.1, max_iter=100000
    )
    np.testing.assert_allclose(found.cpu(), expected, rtol=0, atol=1e-5)


def test_convolutional_codes_are_those_of_the_dense_dictionary(device):
    filters = normal(5, 2, 3, 3)
    synthesis = CircularConvolution(filters, (6, 7))
    x = noisy(synthesis, 4, 5)
    moved = CircularConvolution(filters.to(device), (6, 7))
    found = CBPDN(weight=0.5, gap_tolerance=1e-8).solve(moved, x.to(device))
    dictionary = dense(synthesis).matrix.numpy().T
    signals = x.flatten(1).numpy()
    code = sparse_encode(signals, dictionary, algorithm="lasso_cd", alpha=0.5, max_iter=100000)
    best = ((signals - code @ dictionary) ** 2).sum(1) / 2 + 0.5 * np.abs(code).sum(1)
    np.testing.assert_allclose(found.objective.cpu(), best, rtol=1e-4)


def test_a_training_comes_to_the_same(device):
    """In double precision, where a few steps amplify rounding to far less than what is allowed."""
    x = small_images(64, torch.float64)
    generator = torch.Generator().manual_seed(3)
    y = torch.randint(4, (64,), generator=generator)
    weights = []
    for where in ("cpu", device):
        model = small_network(x).to(where)
        model[6].p = 0.0  # devices have generators of their own for what layers draw
        training = Training(epochs=2, batch_size=16, learning_rate=0.01, optimizer="sgd")
        train(training, model, x.to(where), y.to(where), seed=0)
        weights.append(torch.cat([p.detach().cpu().flatten() for p in model.parameters()]))
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-8, atol=1e-8)
    assert not torch.equal(weights[0], torch.zeros_like(weights[0]))


@pytest.mark.parametrize("draw", ["normal_like", "uniform_like", "uniform"])
def test_random_numbers_are_the_same_on_every_device(device, draw):
    x = small_images(5)
    one, other = (getattr(Random(3), draw)(images) for images in (x, x.to(device)))
    assert other.device.type == device
    assert torch.equal(one, other.cpu())
    assert not torch.equal(one, getattr(Random(4), draw)(x))
