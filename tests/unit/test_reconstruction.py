"""Low-pass images against dense least squares; reconstructions and their derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from solver_cases import dense, noisy, normal

from advsparse.coding import _atom_products, _solving
from advsparse.coding._atom_products import AtomProducts, NearInverse
from advsparse.coding._circular_map import CircularConvolution
from advsparse.coding._low_pass import cropped, low_pass, mirrored
from advsparse.coding._reconstruction import projected, reconstructed
from advsparse.coding.cbpdn import CBPDN

# Low-pass images.


@pytest.mark.parametrize("sides", [(5, 4), (3, 7), (1, 2)])
@pytest.mark.parametrize("padding", [0, 1, 4, 16])
def test_images_are_mirrored_as_numpy_does(sides, padding):
    x = normal(2, 3, *sides)
    room = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    expected = np.pad(x.numpy(), room, "symmetric")
    assert np.array_equal(mirrored(x, padding).numpy(), expected)
    assert torch.equal(cropped(mirrored(x, padding), padding), x)


@pytest.mark.parametrize(("weight", "padding"), [(5.0, 3), (0.4, 0), (20.0, 6)])
def test_low_pass_minimises_what_it_says(weight, padding):
    x = normal(2, 3, 5, 4)
    room = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    wide = np.pad(x.numpy(), room, "symmetric")
    height, width = wide.shape[2:]
    down = np.kron(np.roll(np.eye(height), 1, axis=1) - np.eye(height), np.eye(width))
    across = np.kron(np.eye(height), np.roll(np.eye(width), 1, axis=1) - np.eye(width))
    system = np.eye(height * width) + weight * (down.T @ down + across.T @ across)
    solved = np.linalg.solve(system, wide.reshape(6, -1).T).T.reshape(wide.shape)
    expected = solved[:, :, padding : height - padding, padding : width - padding]
    np.testing.assert_allclose(low_pass(x, weight, padding).numpy(), expected, atol=1e-12)


def test_low_pass_of_a_flat_image_is_the_image():
    flat = torch.full((1, 3, 6, 9), 0.3)
    torch.testing.assert_close(low_pass(flat), flat)
    x = torch.rand(2, 1, 7, 5).requires_grad_()
    low_pass(x).square().sum().backward()
    assert x.grad.isfinite().all()


# Derivatives.

MAPS = {
    "colour": lambda: CircularConvolution(normal(3, 3, 3, 2), (6, 5)),
    "grey": lambda: CircularConvolution(normal(4, 1, 3, 3), (5, 6)),
    "twice the same filter": lambda: CircularConvolution(
        normal(1, 2, 3, 3).repeat(3, 1, 1, 1), (6, 6)
    ),
}


@pytest.fixture(params=MAPS)
def synthesis(request):
    return MAPS[request.param]()


@pytest.fixture
def tight():
    return CBPDN(weight=0.8, gap_tolerance=1e-14, max_iterations=20_000)


def test_reconstruction_is_the_image_of_the_code(synthesis, tight):
    x = noisy(synthesis, 5, 4)
    found = reconstructed(x, synthesis.filters, tight)
    expected = synthesis.forward(tight.solve(synthesis, x).code)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
    single = reconstructed(x.float(), synthesis.filters, CBPDN(weight=0.8))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), expected, rtol=0, atol=0.05)


@pytest.mark.parametrize("count", [1, 7, 40, 500])
def test_projection_is_that_of_the_matrix(synthesis, count, monkeypatch):
    generator = torch.Generator().manual_seed(3)
    used = torch.zeros(4, synthesis.atoms, dtype=torch.bool)
    places = torch.rand(4, synthesis.atoms, generator=generator).argsort(1)[:, :count]
    used.scatter_(1, places, True)
    used[2] = False
    g, matrix = normal(4, *synthesis.signal_shape), dense(synthesis).matrix
    found = projected(g, synthesis, used.reshape(4, *synthesis.code_shape))
    for one, vector, atoms in zip(found, g, used, strict=True):
        own = matrix[:, atoms]
        expected = own @ torch.linalg.pinv(own, rtol=1e-12) @ vector.flatten()
        torch.testing.assert_close(one.flatten(), expected, rtol=0, atol=1e-6)
    monkeypatch.setattr(_solving, "WORKING_SET", 1)
    alone = projected(g, synthesis, used.reshape(4, *synthesis.code_shape))
    torch.testing.assert_close(alone, found, rtol=0, atol=1e-7)  # as far as either goes


def test_derivative_is_a_projection(synthesis, tight):
    x = noisy(synthesis, 1, 4)
    rows = torch.autograd.functional.jacobian(
        lambda given: reconstructed(given, synthesis.filters, tight), x
    )
    size = synthesis.size
    matrix = rows.reshape(size, size)
    torch.testing.assert_close(matrix, matrix.T, rtol=0, atol=1e-7)
    torch.testing.assert_close(matrix @ matrix, matrix, rtol=0, atol=1e-7)
    assert 0 < round(float(matrix.trace())) < size
    assert float(matrix.trace()) == pytest.approx(round(float(matrix.trace())), abs=1e-6)


def test_derivative_is_that_of_differences_and_of_the_unrolled_steps(synthesis, tight):
    x = noisy(synthesis, 2, 4)
    direction, g = normal(*x.shape, seed=5), normal(*x.shape, seed=6)
    steps = CBPDN(weight=0.8, max_iterations=1500)
    found = {}
    for unrolled, coder in ((False, tight), (True, steps)):
        point = x.clone().requires_grad_()
        t = reconstructed(point, synthesis.filters, coder, unrolled)
        (gradient,) = torch.autograd.grad((t * g).sum(), point)
        found[unrolled] = t.detach(), gradient
    for ours, theirs in zip(found[False], found[True], strict=True):
        torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)
    step = 1e-5
    ahead, behind = (
        reconstructed(x + sign * step * direction, synthesis.filters, tight) for sign in (1, -1)
    )
    expected = ((ahead - behind) / (2 * step) * g).flatten(1).sum(1)
    along = (found[False][1] * direction).flatten(1).sum(1)
    torch.testing.assert_close(along, expected, rtol=1e-4, atol=1e-4)


def test_few_unrolled_steps_are_differentiated_as_they_are(synthesis):
    """Wherever they have come: no entry of q is near to where it is clipped."""
    coder = CBPDN(weight=0.8, max_iterations=6, rho=2.0)
    x = noisy(synthesis, 2, 4).requires_grad_()

    def t(given):
        return reconstructed(given, synthesis.filters, coder, unrolled=True)

    assert torch.autograd.gradcheck(t, x, eps=1e-7, atol=1e-6)
    with torch.no_grad():
        stopped = CBPDN(weight=0.8, max_iterations=6, rho=2.0, gap_tolerance=1e-14)
        expected = reconstructed(x, synthesis.filters, stopped)
    torch.testing.assert_close(t(x), expected, rtol=0, atol=1e-5)


def test_where_nothing_is_coded_the_derivative_is_zero(synthesis):
    x = noisy(synthesis, 2, 4).requires_grad_()
    t = reconstructed(x, synthesis.filters, CBPDN(weight=1e4))
    t.sum().backward()
    assert not t.any() and not x.grad.any()


@pytest.mark.parametrize("size", [(3, 3), (2, 5), (9, 4)])
@pytest.mark.parametrize("image", [(6, 7), (4, 12)])
def test_products_of_atoms_are_those_of_the_matrix(size, image):
    synthesis = CircularConvolution(normal(3, 2, *size), image)
    matrix = dense(synthesis).matrix
    index = torch.randperm(synthesis.atoms, generator=torch.Generator().manual_seed(0))[:50]
    own = matrix[:, index]
    found = AtomProducts(synthesis)(index)
    torch.testing.assert_close(found, own.T @ own, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("together", [1, 8, 50])
def test_tiles_change_how_a_projection_is_found_and_not_what_it_is(together, monkeypatch):
    synthesis = CircularConvolution(normal(4, 2, 3, 3), (8, 9))
    generator = torch.Generator().manual_seed(3)
    used = torch.rand(3, *synthesis.code_shape, generator=generator) < 0.15
    g = normal(3, *synthesis.signal_shape)
    whole = projected(g, synthesis, used)
    monkeypatch.setattr(_atom_products, "_TOGETHER", together)
    torch.testing.assert_close(projected(g, synthesis, used), whole, rtol=0, atol=1e-7)
    tiles = NearInverse(used, AtomProducts(synthesis))._tiles[0]
    assert len(tiles) > 1 or together == 50
    assert sum(len(atoms) for atoms, _ in tiles) == used[0].sum()
