"""Dict-Attack: its directions beside the dense solution, and what it does with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from models_for_tests import (
    ALREADY,
    CLASSES,
    SHAPE,
    SparseCodeClassifier,
    filters,
    measured,
    predictions,
    setting,
)

from advsparse.attacks import _dict_directions as directions
from advsparse.attacks.dict_attack import DictAttack
from advsparse.coding import _maps
from advsparse.coding._convolution_map import Convolution
from advsparse.coding._maps import Matrix


def normal(*shape, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


MAPS = {
    "wide": Matrix(normal(12, 30)),
    "tall": Matrix(normal(30, 12)),
    "of rank 5": Matrix(normal(12, 5) @ normal(5, 30, seed=4)),
    "ill-conditioned": Matrix(normal(12, 30) * torch.logspace(0, -4, 12)[:, None]),
    "with a zero column": Matrix(normal(12, 30) * (torch.arange(30) != 4)),
    "convolution": Convolution(filters(8, 3, 5).double(), (12, 12)),
    "convolution in float32": Convolution(filters(4, 1), (5, 8)),
    "convolution of few filters": Convolution(filters(1, 2).double(), (5, 6)),
}
each_map = pytest.mark.parametrize("synthesis", MAPS.values(), ids=MAPS)


def dense(synthesis) -> np.ndarray:
    """D, column by column."""
    synthesis = synthesis.to(torch.float64)
    basis = torch.eye(synthesis.atoms, dtype=torch.float64)
    with torch.no_grad():
        return synthesis.forward(basis.reshape(-1, *synthesis.code_shape)).flatten(1).T.numpy()


def svd(synthesis):
    """Left vectors and the singular values that are not 0."""
    u, s, vh = np.linalg.svd(dense(synthesis), full_matrices=False)
    kept = s > s[0] * 1e-10
    return u[:, kept], s[kept], vh[kept]


def cosine(a, b) -> float:
    a, b = np.ravel(a), np.ravel(b)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@each_map
def test_universal_direction_is_the_last_left_singular_vector(synthesis):
    u, s, _ = svd(synthesis)
    found = directions.Spectrum(synthesis)
    np.testing.assert_allclose(found.values, s[::-1], rtol=1e-6)
    vector = found.smallest()
    assert vector.shape == synthesis.signal_shape and vector.dtype == torch.float64
    assert abs(cosine(vector, u[:, -1])) >= 1 - 1e-8
    assert abs(float(vector.norm()) - 1) <= 1e-6
    assert vector.flatten()[vector.abs().argmax()] > 0


@each_map
def test_no_code_is_longer_for_its_image_than_the_universal_one(synthesis):
    d, (_, s, vh) = dense(synthesis), svd(synthesis)
    best = np.linalg.lstsq(d, directions.Spectrum(synthesis).smallest().flatten().numpy())[0]
    assert abs(np.linalg.norm(best) * s[-1] - 1) <= 1e-6
    codes = np.random.default_rng(0).standard_normal((500, len(vh))) @ vh
    codes = np.concatenate([codes, best + 1e-2 * np.linalg.norm(best) * codes])
    ratio = np.linalg.norm(codes, axis=1) / np.linalg.norm(codes @ d.T, axis=1)
    assert ratio.max() <= np.linalg.norm(best) * (1 + 1e-9)


@each_map
def test_pairs_are_the_least_squares_solutions(synthesis):
    g = normal(5, *synthesis.code_shape, seed=8)
    found = directions.Spectrum(synthesis).dual(g)
    expected = np.linalg.lstsq(dense(synthesis).T, g.flatten(1).numpy().T, rcond=1e-10)[0].T
    assert found.shape == (5, *synthesis.signal_shape) and found.dtype == torch.float64
    for one, other in zip(found.flatten(1).numpy(), expected, strict=True):
        assert cosine(one, other) >= 1 - 1e-8
        assert abs(np.linalg.norm(one) / np.linalg.norm(other) - 1) <= 1e-6


@each_map
def test_no_feasible_code_beats_that_of_a_pair(synthesis):
    d, (_, _, vh) = dense(synthesis), svd(synthesis)
    w = normal(2, *synthesis.code_shape, seed=8)
    g = (w[1] - w[0]).flatten().numpy()
    classes = directions.Spectrum(synthesis).dual(w)
    step = directions.between(classes, torch.tensor([0]), torch.tensor([1]))
    best = np.linalg.lstsq(d, step.flatten().numpy(), rcond=1e-10)[0]
    assert abs(np.linalg.norm(d @ best) - 1) <= 1e-6
    rng = np.random.default_rng(0)
    others = rng.standard_normal((500, len(vh))) @ vh
    others = np.concatenate([others, best + 1e-2 * np.linalg.norm(best) * others])
    others /= np.linalg.norm(others @ d.T, axis=1, keepdims=True)
    assert best @ g > 0 and (others @ g).max() <= best @ g * (1 + 1e-9)


@each_map
def test_authors_constraint_is_met_by_its_maximiser(synthesis):
    d = dense(synthesis)
    squares = (d**2).sum(0)
    g = normal(1, *synthesis.code_shape, seed=8)
    kept = squares > 0
    best = np.where(kept, g.flatten().numpy() / np.where(kept, squares, 1), 0)
    found = directions.by_column_norms(synthesis, g)
    assert cosine(found, d @ best) >= 1 - 1e-8
    best /= np.sqrt(squares @ best**2)
    others = np.random.default_rng(0).standard_normal((500, len(best))) * kept
    others = np.concatenate([others, best + 0.01 * others])
    others /= np.sqrt((others**2) @ squares)[:, None]
    assert (others @ g.flatten().numpy()).max() <= best @ g.flatten().numpy() * (1 + 1e-9)


def test_constraints_agree_for_orthogonal_atoms_and_only_there():
    orthogonal = Matrix(torch.linalg.qr(normal(12, 12)).Q * torch.linspace(1, 2, 12))
    for synthesis, least, most in ((orthogonal, 1 - 1e-8, 1 + 1e-8), (MAPS["wide"], 0.2, 0.999)):
        g = normal(3, *synthesis.code_shape)
        exact = directions.Spectrum(synthesis).dual(g)
        by_norms = directions.by_column_norms(synthesis, g)
        for one, other in zip(exact, by_norms, strict=True):
            assert least <= cosine(one, other) <= most


@each_map
def test_gram_is_that_of_the_dense_dictionary(synthesis):
    d = dense(synthesis)
    found = synthesis.to(torch.float64).gram().numpy()
    np.testing.assert_allclose(found, d @ d.T, rtol=0, atol=1e-12 * np.abs(d @ d.T).max())


def test_blocks_of_basis_images_make_no_difference(monkeypatch):
    whole = MAPS["wide"].gram()
    monkeypatch.setattr(_maps, "_BLOCK", 7)
    torch.testing.assert_close(MAPS["wide"].gram(), whole)


def test_a_dictionary_of_zeros_is_refused():
    with pytest.raises(ValueError, match=r"^synthesis: .*is 0"):
        directions.Spectrum(Matrix(torch.zeros(3, 4)))


# The attack.


@pytest.fixture(scope="module")
def surrogate():
    return SparseCodeClassifier(filters(), SHAPE[1:]).double()


@pytest.fixture(scope="module")
def images():
    """A network, images away from the bounds, and what it predicts for them."""
    model, x, _ = setting(torch.float64)
    x = 0.3 + 0.4 * x
    return model, x, predictions(model, x)


def test_each_image_is_led_from_its_label_to_its_target(surrogate, images):
    model, x, y = images
    attack = DictAttack(eps=0.1)
    fit = attack.fit(surrogate, x, y)
    assert {name: value.shape for name, value in fit.arrays.items()} == {
        "universal": (1, *SHAPE),
        "classes": (CLASSES, *SHAPE),
    }
    target = (y + 1 + torch.arange(len(y)) % 3) % CLASSES
    result = attack(model, x, y, towards=target, fit=fit)
    w = surrogate.weights.detach().flatten(1).numpy()
    d = dense(surrogate.synthesis)
    for i, (source, goal) in enumerate(zip(y.tolist(), target.tolist(), strict=True)):
        step = np.linalg.lstsq(d.T, w[goal] - w[source])[0]
        moved = (result.x - x)[i].numpy()
        assert cosine(moved, step) >= 1 - 1e-8
        assert abs(np.linalg.norm(moved) / 0.1 - 1) <= 1e-6
    assert torch.equal(result.success, predictions(model, result.x) != y), "untargeted"
    torch.testing.assert_close(result.trace["unclipped_l2"], torch.full((len(x),), 0.1).double())


@pytest.mark.parametrize(
    "options", [{"direction": "universal"}, {}, {"constraint": "column_norms"}]
)
def test_steps_are_proportional_to_eps(surrogate, images, options):
    model, x, y = images
    target = (y + 1) % CLASSES
    fit = DictAttack(eps=1.0, **options).fit(surrogate, x, y)
    one, four = (
        DictAttack(eps=eps, **options)(model, x, y, towards=target, fit=fit).x - x
        for eps in (0.05, 0.2)
    )
    torch.testing.assert_close(4 * one, four, rtol=0, atol=1e-15)
    assert torch.allclose(one.flatten(1).norm(dim=1), torch.tensor(0.05).double())


def test_universal_step_is_that_of_all_images_and_needs_no_target(surrogate, images):
    model, x, y = images
    attack = DictAttack(eps=0.1, direction="universal")
    result = attack(model, x, y, fit=attack.fit(surrogate, x, y))
    u, _, _ = svd(surrogate.synthesis)
    for moved in (result.x - x).numpy():
        assert abs(cosine(moved, u[:, -1])) >= 1 - 1e-8


def test_a_target_that_is_the_label_moves_nothing(surrogate, images):
    model, x, y = images
    attack = DictAttack(eps=0.1)
    result = attack(model, x, y, towards=y, fit=attack.fit(surrogate, x, y))
    assert torch.equal(result.x, x) and result.x.isfinite().all()


def test_misclassified_images_are_left_and_targets_given_as_such_count(surrogate):
    model, x, y = setting(torch.float64)
    target = (y + 1) % CLASSES
    attack = DictAttack(eps=1.0)
    fit = attack.fit(surrogate, x, y)
    led = attack(model, x, y, towards=target, fit=fit)
    assert torch.equal(led.x[ALREADY], x[ALREADY]) and led.success[ALREADY]
    counted = attack(model, x, y, target, fit=fit)
    assert torch.equal(counted.success, predictions(model, counted.x) == target)
    stand = predictions(model, x) == y
    assert torch.equal(counted.x[stand], led.x[stand])


def test_float32_gives_float32_close_to_float64(surrogate):
    model, x, y = setting(torch.float32)
    attack = DictAttack(eps=1.0, clamp=False)
    target = (y + 1) % CLASSES
    small = SparseCodeClassifier(filters(), SHAPE[1:])
    single = attack(model, x, y, towards=target, fit=attack.fit(small, x, y))
    model, x, y = setting(torch.float64)
    double = attack(model, x, y, towards=target, fit=attack.fit(surrogate, x, y))
    assert single.x.dtype == torch.float32
    torch.testing.assert_close(single.x.double(), double.x, rtol=0, atol=1e-5)
    distance = measured(double.x, x, "l2")
    assert (distance[distance > 0] - 1).abs().max() <= 1e-6


def test_pairs_need_targets(surrogate, images):
    model, x, y = images
    attack = DictAttack(eps=0.1)
    with pytest.raises(ValueError, match=r"^target: .*give target or towards"):
        attack(model, x, y, fit=attack.fit(surrogate, x, y))


def test_only_constraint_is_learned():
    assert DictAttack(eps=1.0).learner() == DictAttack(eps=3.0, direction="universal").learner()
    assert DictAttack(eps=2.0, clamp=False).learner() == DictAttack(eps=3.0).learner()
    assert DictAttack(eps=2.0, constraint="column_norms").learner() != DictAttack(eps=2.0).learner()


def test_what_is_no_classifier_of_sparse_codes_of_such_images_is_refused(surrogate):
    model, x, y = setting(torch.float64)
    attack = DictAttack(eps=1.0)
    with pytest.raises(ValueError, match=r"^model: .*both a synthesis and weights"):
        attack.fit(model, x, y)
    other = SparseCodeClassifier(filters().double(), (6, 6)).double()
    other.forward = lambda x: x.flatten(1)[:, :CLASSES]
    with pytest.raises(ValueError, match=r"^model: .*\(3, 6, 6\).*\(3, 8, 8\)"):
        attack.fit(other, x, y)
    other = SparseCodeClassifier(filters().double(), SHAPE[1:]).double()
    other.weights = torch.nn.Parameter(torch.zeros(CLASSES, 7))
    other.forward = lambda x: x.flatten(1)[:, :CLASSES]
    with pytest.raises(ValueError, match=r"^model: .*\(3, 8, 8\).*\(4, 7\)"):
        attack.fit(other, x, y)


def test_layers_behind_others_are_found(surrogate):
    _, x, y = setting(torch.float64)
    behind = torch.nn.Sequential()
    behind.add_module("normalise", torch.nn.Identity())
    behind.add_module("layers", surrogate)
    one, other = (DictAttack(eps=1.0).fit(model, x, y).arrays for model in (surrogate, behind))
    assert all(torch.equal(one[name], other[name]) for name in one)
