"""Local intrinsic dimensions against theory, and what published code of the detector does wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from models_for_tests import predictions, small_images, small_network
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from advsparse import registry
from advsparse.attacks.fgsm import FGSM
from advsparse.attacks.pgd import PGD
from advsparse.attacks.uap import UAP
from advsparse.defenses._dimensions import Dimensions, dimension, squared_distances
from advsparse.defenses.jpeg import JPEG
from advsparse.defenses.lid import LID, _regression
from advsparse.seeding import Random

X = small_images(60)
SMALL = LID(attack=FGSM(eps=0.3), reference=15, neighbours=5, rate=0.4)


@pytest.fixture(scope="module")
def network():
    return small_network(X).eval()


@pytest.fixture(scope="module")
def learned(network):
    return SMALL.fit(X, predictions(network, X), model=network, rng=1)


def ball(count, draws, dimensions, seed=0):
    """Points that are uniform in a ball around the origin, draws x count x dimensions."""
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((draws, count, dimensions))
    points /= np.linalg.norm(points, axis=2, keepdims=True)
    return torch.from_numpy(points * rng.random((draws, count, 1)) ** (1 / dimensions))


# The estimate.


@pytest.mark.parametrize("dimensions", [1, 2, 5, 12])
def test_a_uniform_ball_has_as_many_dimensions_as_its_space(dimensions):
    squared = ball(1000, 100, dimensions).square().sum(2)
    found = dimension(squared, 100)
    assert float(found.mean()) == pytest.approx(dimensions, rel=0.1)
    assert float(found.median()) == pytest.approx(dimensions, rel=0.1)


def test_the_estimate_is_distributed_as_theory_says():
    # Less its sign, the sum of the logarithms is Gamma(k - 1) / d.
    k, d, draws = 20, 5, 4000
    found = dimension(ball(100, draws, d, seed=1).square().sum(2), k)
    expected = d * k / (k - 2)
    deviation = d * k / ((k - 2) * (k - 3) ** 0.5)
    assert abs(float(found.mean()) - expected) < 4 * deviation / draws**0.5
    assert float(found.std()) == pytest.approx(deviation, rel=0.15)


def test_an_estimate_is_the_formula_on_the_nearest_that_sklearn_finds():
    rng = np.random.default_rng(0)
    queries, reference = rng.random((7, 30)), rng.random((50, 30))
    far, _ = NearestNeighbors(n_neighbors=9).fit(reference).kneighbors(queries)
    expected = [-9 / sum(np.log(r / one[-1]) for r in one) for one in far]
    squared = squared_distances(torch.from_numpy(queries), torch.from_numpy(reference))
    np.testing.assert_allclose(dimension(squared, 9).numpy(), expected, rtol=1e-9)


def test_the_nearest_is_not_dropped():
    squared = torch.tensor([[1.0, 16.0, 4.0, 100.0]]).double()
    expected = -3 / (np.log(1 / 4) + np.log(2 / 4))
    assert float(dimension(squared, 3)) == pytest.approx(expected)


def test_it_does_not_depend_on_the_unit_of_length():
    squared = ball(50, 3, 4).square().sum(2)
    for factor in (1e-8, 1e8):
        torch.testing.assert_close(dimension(factor * squared, 7), dimension(squared, 7))


def test_places_of_several_and_neighbours_that_are_all_as_far_give_numbers():
    one = torch.rand((4, 6), dtype=torch.float64).requires_grad_()
    same = squared_distances(one, one.detach()[:1].expand(5, 6))
    assert same[0].tolist() == [0.0] * 5
    sphere = torch.full((1, 5), 4.0, dtype=torch.float64)
    mixed = torch.tensor([[0.0, 0.0, 4.0, 9.0, 25.0]], dtype=torch.float64)
    assert dimension(same, 3)[0] == 0
    assert dimension(sphere, 3).tolist() == [1000.0]
    assert 0 < dimension(mixed, 4) < 0.5
    (gradient,) = torch.autograd.grad(dimension(same, 3).sum(), one)
    assert gradient.isfinite().all()


# Layers.


def test_dimensions_are_those_of_input_layers_and_logits(network):
    reference = X[:20]
    for kind, indices in ((torch.nn.ReLU, (3, 5)), (torch.nn.Conv2d, (1, 4))):
        found = Dimensions(network, kind, reference, 5)(X[20:30])
        assert found.shape == (10, 4) and found.dtype == torch.float64
        for column, end in enumerate((0, *indices, len(network))):
            with torch.no_grad():
                here, there = (
                    network[:end](images).flatten(1).double() for images in (X[20:30], reference)
                )
            expected = dimension(torch.cdist(here, there).square(), 5)
            torch.testing.assert_close(found[:, column], expected, rtol=1e-4, atol=0)


def test_a_network_without_such_layers_is_refused(network):
    linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 4))
    with pytest.raises(ValueError, match="no ReLU after which lid could look"):
        SMALL.fit(X, None, model=linear)
    with pytest.raises(ValueError, match="was given none"):
        SMALL.fit(X, None)


def test_layers_that_work_in_place_are_looked_at_before_they_do():
    torch.manual_seed(0)
    nn = torch.nn
    x = torch.rand((30, 1, 4, 4), dtype=torch.float64)

    def said(inplace):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(inplace=inplace), nn.Flatten())
        dimensions = Dimensions(model.double(), nn.Conv2d, x[:10], 4)
        given = x[10:].clone().requires_grad_()
        found = dimensions(given)
        return found, torch.autograd.grad(found.sum(), given)[0]

    for ours, theirs in zip(said(True), said(False), strict=True):
        assert torch.equal(ours, theirs)


def test_what_stands_in_front_of_the_network_is_left_out(network, learned):
    behind = JPEG().wrap(network)
    assert torch.equal(SMALL.score(learned, behind)(X), SMALL.score(learned, network)(X))


# What is learned.


def test_the_regression_is_that_of_sklearn_on_standardised_dimensions():
    generator = torch.Generator().manual_seed(0)
    negative = torch.randn((80, 3), generator=generator).double() * torch.tensor([1.0, 10, 100])
    positive = torch.randn((40, 3), generator=generator).double() + torch.tensor([1.0, 0, 200])
    found = _regression(negative, positive, negative)
    rows, attacked = torch.cat([negative, positive]), [False] * 80 + [True] * 40
    theirs = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows.numpy(), attacked)
    ours = rows @ found["weights"] + found["bias"]
    np.testing.assert_allclose(ours.numpy(), theirs.decision_function(rows.numpy()), atol=1e-6)


def test_no_image_is_in_two_of_reference_threshold_and_regression(network, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        LID, "_examples", lambda self, model, x, y, rng: seen.update(x=x) or (x[:9], x[9:])
    )
    monkeypatch.setattr(
        "advsparse.defenses._threshold.learned_threshold",
        lambda scores, rate: {"scores": scores},
    )
    learned = SMALL.fit(X, None, model=network, rng=1)
    held_out = SMALL.score(learned, network)(X)

    def among(images):
        return {i for i in range(60) if (X[i] == images).flatten(1).all(1).any()}

    used = {
        "reference": among(learned["reference"]),
        "regression": among(seen["x"]),
        "threshold": {
            i for i in range(60) if torch.isclose(held_out[i], learned["scores"], atol=1e-5).any()
        },
    }
    assert [len(used[name]) for name in used] == [15, 39, 6]
    assert len(set.union(*used.values())) == 60


def test_examples_are_of_images_that_the_network_gets_right(network, monkeypatch):
    seen = []
    monkeypatch.setattr(
        LID, "_examples", lambda self, model, x, y, rng: seen.append((x, y)) or (x[:5], x[5:])
    )
    y = predictions(network, X)
    SMALL.fit(X, torch.where(torch.arange(60) % 2 == 0, y, (y + 1) % 4), model=network, rng=1)
    SMALL.fit(X, None, model=network, rng=1)
    (some, labels), (every, _) = seen
    assert torch.equal(labels, predictions(network, some)) and len(every) == 39
    even = [next(i for i in range(60) if torch.equal(X[i], one)) % 2 for one in some]
    assert not any(even) and 10 < len(some) < 30


def test_noise_is_as_long_as_the_perturbation_and_only_what_fools_is_told(network):
    x = 0.3 + 0.4 * X  # where nothing is clipped
    model, attack = small_network(x).eval(), FGSM(eps=0.05, norm="l2")
    y = predictions(model, x)
    negative, positive = LID(attack=attack)._examples(model, x, y, Random(3))
    assert torch.equal(negative[:60], x)
    found = attack(model, x, y)
    assert 0 < len(positive) < 60 and torch.equal(positive, found.x[found.success])
    torch.testing.assert_close(
        (negative[60:] - x).flatten(1).norm(dim=1), (found.x - x).flatten(1).norm(dim=1)
    )
    harmless = LID(attack=FGSM(eps=0.0), reference=15, neighbours=5)
    with pytest.raises(ValueError, match="fools the network at none of the 39 images"):
        harmless.fit(X, None, model=network)


def test_too_few_images_and_what_makes_no_sense_are_refused(network):
    with pytest.raises(ValueError, match="100 images for the reference, 6 for the threshold and"):
        LID(attack=FGSM(eps=0.3)).fit(X, None, model=network)
    with pytest.raises(ValueError, match="a reference of 10 images has no 20"):
        LID(reference=10)
    with pytest.raises(ValueError, match="uap learns from many images"):
        LID(attack=UAP(eps=0.1))


def test_without_an_attack_it_is_pgd_and_a_file_tells_it_whole(network):
    plain, said = (
        LID(reference=15, neighbours=5, attack=attack)
        for attack in (None, PGD(eps=8 / 255, steps=10))
    )
    one, other = (made.fit(X, None, model=network, rng=1) for made in (plain, said))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    for made in (plain, said):
        assert registry.from_spec("defenses", registry.spec_of(made)) == made


# What it says.


def test_an_attacked_image_does_not_meet_its_clean_twin(network, learned):
    score = SMALL.score(learned, network)
    clean = X[40:44]
    attacked = FGSM(eps=0.05)(network, clean, predictions(network, clean)).x
    together = score(torch.cat([attacked, clean]))[:4]
    torch.testing.assert_close(score(attacked), together, rtol=0, atol=1e-5)


def test_an_image_of_the_reference_has_a_score_and_a_derivative(network, learned):
    x = learned["reference"].clone().requires_grad_()
    score = SMALL.score(learned, network)
    (gradient,) = torch.autograd.grad(score(x).sum(), x)
    assert score(x).isfinite().all() and gradient.isfinite().all()
    alone = torch.cat([score(one) for one in x.detach().split(1)])
    torch.testing.assert_close(alone, score(x.detach()), rtol=0, atol=1e-5)


def test_the_derivative_of_a_score_is_that_of_differences(learned):
    network = small_network(X.double()).eval()
    score = SMALL.score(learned, network)
    x = X[50:52].double().requires_grad_()
    assert torch.autograd.gradcheck(score, x, eps=1e-7, rtol=1e-3)


@pytest.mark.filterwarnings("ignore::advsparse.attacks._checks.AttackWarning")
def test_attacked_digits_are_told_from_others_that_it_has_not_seen():
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    y = torch.tensor(digits.target)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        nn = torch.nn
        model = nn.Sequential(
            nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Flatten(),
            nn.Linear(512, 10),
        )  # fmt: skip
        optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
        for _ in range(40):
            loss = nn.functional.cross_entropy(model(x[:1000]), y[:1000])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    attack = PGD(eps=0.3, steps=10)
    detector = LID(attack=attack, rate=0.05)
    beside = detector.wrap(model, detector.fit(x[:1000], y[:1000], model=model, rng=1))
    unseen, labels = x[1000:1400], y[1000:1400]
    found = attack(model, unseen, labels)
    assert found.success.float().mean() > 0.8
    told = torch.cat([beside.excess(images) for images in (unseen, found.x[found.success])])
    attacked = np.arange(len(told)) >= len(unseen)
    assert roc_auc_score(attacked, told.detach().numpy()) > 0.8
    assert float((beside.excess(unseen) > 0).float().mean()) < 0.15
