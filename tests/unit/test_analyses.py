"""Analyses: numbers that figures show, against the dense way and against cases done by hand."""

import numpy as np
import pytest
import torch

from advsparse.analyses._axes import CONDITIONS, GROUPS, PARTS
from advsparse.analyses._base import Attacked, Given, noise_like
from advsparse.analyses.atom_correlation import AtomCorrelation, atom_columns, correlation_halves
from advsparse.analyses.budgets import Budgets
from advsparse.analyses.code_change import CodeChange
from advsparse.analyses.signal_attacks import SignalAttacks, error_parts
from advsparse.coding._convolution_map import Convolution
from advsparse.coding._signals import Signals
from advsparse.coding.lista import LISTA
from advsparse.errors import AnalysisError
from advsparse.seeding import Random

IMAGE = (3, 9, 8)


def attacked(x, shift, label=None):
    label = torch.zeros(len(x), dtype=torch.int64) if label is None else label
    return Attacked(x, x + shift, label, np.arange(len(x)))


@pytest.fixture
def x():
    return torch.rand(5, *IMAGE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def shift(x):
    return 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))


class Coder:
    """Codes in a convolutional dictionary by its adjoint alone."""

    def __init__(self):
        filters = torch.randn(4, 3, 3, 5, generator=torch.Generator().manual_seed(2))
        self.synthesis = Convolution(filters, IMAGE[1:])

    def encode(self, x):
        return self.synthesis.adjoint(x)


def dense(synthesis):
    """D as a matrix, P x atoms, from the images of unit codes."""
    codes = torch.eye(synthesis.atoms).reshape(-1, *synthesis.code_shape)
    return synthesis.forward(codes).flatten(1).T.double().numpy()


def test_noise_may_have_the_spectrum_of_each_perturbation(shift):
    shift = shift + 0.3  # no frequency is left out, the mean neither
    noise = noise_like(shift, Random(0), "spectrum")
    there, here = (torch.fft.fft2(z.double()).abs() for z in (noise, shift))
    torch.testing.assert_close(there, here, rtol=1e-4, atol=1e-4)
    assert (noise - shift).flatten(1).norm(dim=1).min() > 0.1
    assert not torch.allclose(noise, noise_like(shift, Random(1), "spectrum"))
    # Phases are turned alike in all channels: grey stays grey.
    grey = noise_like(shift[:, :1].expand(-1, 3, -1, -1), Random(0), "spectrum")
    torch.testing.assert_close(grey[:, 0], grey[:, 2])


@pytest.mark.parametrize("law", ["gaussian", "sign", "spectrum"])
def test_noise_has_the_norm_of_each_perturbation(shift, law):
    noise = noise_like(shift, Random(0), law)
    torch.testing.assert_close(noise.flatten(1).norm(dim=1), shift.flatten(1).norm(dim=1))
    sizes = noise.flatten(1).abs()
    assert (sizes.amax(1) / sizes.amin(1) < 1.0001).all() == (law == "sign")


def test_the_correlation_density_is_that_of_the_dense_dictionary(shift):
    atoms = Coder().synthesis
    d = shift.flatten(1).double().numpy()
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    matrix = dense(atoms)
    expected = np.abs(d @ (matrix / np.linalg.norm(matrix, axis=0))).sum(0)
    halves = correlation_halves(atoms, shift, batch=2).numpy()
    np.testing.assert_allclose(halves.sum(0), expected, rtol=1e-5)
    own = np.abs(d[::2] @ (matrix / np.linalg.norm(matrix, axis=0))).sum(0)
    np.testing.assert_allclose(halves[0], own, rtol=1e-5)


def test_the_covariance_of_two_halves_is_free_of_the_chance_among_images(x):
    """Of noise, whose density is even, it is about 0 where the variance is not."""
    coder = Coder()
    noise = torch.randn(200, *IMAGE, generator=torch.Generator().manual_seed(5))
    images = x[:1].expand(200, -1, -1, -1)
    given = Given(Random(0), {"c": coder}, {"a": attacked(images, noise)})
    found = AtomCorrelation(submatrices=1, columns=2, extremes=4).run(given)
    density = found["density.learned.attack"].astype(float)
    variance = np.var(density * len(density))
    assert abs(found["covariance.learned.attack"]) < 0.2 * variance
    halves = correlation_halves(coder.synthesis, noise).numpy()
    first, second = (half / half.mean() for half in halves)
    assert found["covariance.learned.attack"] == pytest.approx(np.cov(first, second, ddof=0)[0, 1])
    # Of one perturbation over and over, both halves are the density itself.
    same = noise[:1].expand(200, -1, -1, -1)
    given = Given(Random(0), {"c": coder}, {"a": attacked(images, same)})
    found = AtomCorrelation(submatrices=1, columns=2, extremes=4).run(given)
    density = found["density.random.attack"].astype(float)
    assert found["covariance.random.attack"] == pytest.approx(
        np.var(density * len(density)), rel=1e-4
    )


def test_atom_columns_are_those_of_the_dense_dictionary():
    atoms, index = Coder().synthesis, torch.tensor([0, 17, 200])
    expected = dense(atoms)[:, index.numpy()]
    found = atom_columns(atoms, index).numpy()
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected, axis=0), atol=1e-6)


def test_sub_matrices_come_from_their_group(x):
    """Of a perturbation that is an atom itself, the most correlated atoms are its neighbours."""
    coder = Coder()
    code = torch.zeros(5, *coder.synthesis.code_shape)
    code[:, 1, 4, 4] = 1
    given = Given(Random(0), {"c": coder}, {"a": attacked(x, coder.synthesis.forward(code))})
    found = AtomCorrelation(submatrices=3, columns=4, extremes=5).run(given)
    assert found["singular_values.learned"].shape == (len(GROUPS), 3, 4)
    assert found["singular_values.random"].shape == (len(GROUPS), 3, 4)
    density = found["density.learned.attack"]
    assert density.argmax() == 1 * 72 + 4 * 8 + 4
    # Every column is normalised: squared singular values sum to their number.
    np.testing.assert_allclose((found["singular_values.learned"] ** 2).sum(-1), 4, rtol=1e-6)


def test_more_columns_than_extremes_are_refused():
    with pytest.raises(ValueError, match="columns: at most the 5 of extremes"):
        AtomCorrelation(columns=6, extremes=5)


def test_what_no_attack_has_perturbed_is_not_analysed(x, shift):
    moved, still = shift.clone(), torch.zeros_like(shift)
    moved[1] = 0
    given = Given(Random(0), {}, {"a": attacked(x, moved), "b": attacked(x, shift)})
    assert given.perturbed()["b"].index.tolist() == [0, 2, 3, 4]
    with pytest.raises(AnalysisError, match="no image was perturbed by a"):
        Given(Random(0), {}, {"a": attacked(x, still)}).perturbed()


def test_the_change_of_linear_codes_is_the_code_of_the_perturbation(x, shift):
    coder = Coder()

    def classifier(images):  # takes all images for class 0, but for those of the attack
        return torch.stack([torch.zeros(len(images)), (images - 0.5).flatten(1).sum(1)], 1)

    given = Given(Random(0), {"c": coder}, {"pgd": attacked(x, shift)}, classifier)
    found = CodeChange().run(given)
    expected = coder.encode(shift).abs().flatten(1)
    np.testing.assert_allclose(found["mean.pgd"], expected.double().mean(1), rtol=1e-4)
    example = int(found["example"])
    np.testing.assert_allclose(found["change.pgd"], expected[example], atol=1e-5)
    assert found["excess.pgd"].max() == 0  # a linear code has no coefficient at 0
    np.testing.assert_array_equal(found["support.pgd"], found["mean.pgd"])
    assert found["mean.pgd.noise"].shape == found["mean.pgd"].shape
    turned = noise_like(given.attacks["pgd"].perturbation, Random(0), "spectrum", 0)
    expected = coder.encode(turned).abs().flatten(1).double().mean(1)
    np.testing.assert_allclose(found["mean.pgd.spectrum"], expected, rtol=1e-4)


def test_changes_are_told_apart_by_where_the_clean_code_is_0(x, shift):
    class Sparse(Coder):
        def encode(self, x):
            code = super().encode(x)
            return torch.where(code.abs() > 1, code, 0.0)

    coder = Sparse()
    given = Given(Random(0), {"c": coder}, {"a": attacked(x, shift)}, lambda z: z.flatten(1)[:, :2])
    found = CodeChange().run(given)
    clean, moved = coder.encode(x), coder.encode(x + shift)
    change = (moved - clean).abs()
    for part, where in (("excess", clean == 0), ("support", clean != 0)):
        expected = (change * where).flatten(1).double().mean(1)
        assert expected.min() > 0
        np.testing.assert_allclose(found[f"{part}.a"], expected, rtol=1e-5)
    whole = found["excess.a"] + found["support.a"]
    np.testing.assert_allclose(whole, found["mean.a"], rtol=1e-6)


def test_accuracies_at_budgets_are_those_of_scaled_perturbations():
    """A classifier that looks at the first pixel alone, and a perturbation of that pixel."""
    x = torch.full((3, 1, 2, 2), 0.5)
    x[:, 0, 0, 0] = torch.tensor([0.1, 0.5, 0.9])
    shift = torch.zeros_like(x)
    shift[:, 0, 0, 0] = 10.0

    def classifier(images):  # class 1 above 1.2: out of reach for an image in [0, 1]
        first = images[:, 0, 0, 0]
        return torch.stack([torch.full_like(first, 1.2), first], 1)

    given = Given(Random(0), {}, {"a": attacked(x, shift)}, classifier)
    found = Budgets(budgets=[0.5, 1.0, 2.0]).run(given)
    assert found["clean"].all()
    plain, clamped = found["correct"][0]
    np.testing.assert_array_equal(plain.sum(1), [2, 1, 0])
    assert clamped.all() and "crossed" not in found
    # Other classifiers judge the same images, as they are.
    judges = (classifier, lambda images: -classifier(images))
    given = Given(Random(0), {}, {"a": attacked(x, shift)}, classifier, judges)
    found = Budgets(budgets=[0.5, 1.0, 2.0]).run(given)
    np.testing.assert_array_equal(found["crossed"][0, 0], plain)
    np.testing.assert_array_equal(found["crossed"][1, 0], ~plain)


def test_the_parts_of_an_error_make_up_the_whole():
    code = torch.tensor([[0.0, 2.0, -1.0, 0.0]])
    found = torch.tensor([[0.5, 1.5, 0.0, 0.0]])
    parts = error_parts(found, code)
    np.testing.assert_allclose(parts[:, 0], [0.25, 1.0, 0.25])
    assert len(parts) == len(PARTS)


def test_signals_are_attacked_at_one_norm_and_pgd_finds_more_error_than_noise():
    signals = Signals(size=20, atoms=40, sparsity=4)
    dictionary = signals.dictionary(0)
    method = LISTA(layers=4)
    networks = {name: method.build((20,), seed, dictionary) for name, seed in (("a", 0), ("b", 1))}
    analysis = SignalAttacks(count=30, sparsity=4, steps=20, step=0.05)
    x, code = signals.draw(30, dictionary, torch.Generator().manual_seed(0))
    moved = analysis._perturbations(networks["a"], x, code, Random(0))
    for name in CONDITIONS[1:]:
        norms = moved[name].norm(dim=1)
        assert (norms <= analysis.eps * (1 + 1e-5)).all()
        if name != "pgd":
            assert (norms >= analysis.eps * (1 - 1e-5)).all()
    u, _, _ = np.linalg.svd(dictionary.double().numpy())
    cosine = moved["da"][0].double().numpy() @ u[:, -1] / analysis.eps
    assert abs(cosine) == pytest.approx(1, abs=1e-6)
    found = analysis.run(Given(Random(0), networks, signals=signals))
    assert found["errors"].shape == (len(found["coders"]), len(CONDITIONS), len(PARTS), 30)
    total = dict(zip(CONDITIONS, found["errors"][0].sum(1).mean(1), strict=True))
    assert total["pgd"] > total["noise"]
    assert found["code_pgd"].shape == (30, 40)
