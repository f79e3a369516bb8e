"""SADiL, the stochastic scheme of SCADA: its steps against hand-computed ones, and its results."""

from __future__ import annotations

import pytest
import torch
from models_for_tests import affine, batch_sizes, small_images, small_network

from advsparse.attacks._dictionary_problem import Problem, project_atoms
from advsparse.attacks._stochastic_dictionary import learn
from advsparse.attacks.scada import SCADA

GAMMA, RATIO = 0.2, 0.5


def network_problem(lambda1=0.02, lambda2=0.1, count=6):
    x = small_images(count, torch.float64)
    model = small_network(x).eval().requires_grad_(False)
    target = model(x).topk(2, dim=1).indices[:, 1]
    return model, Problem(lambda z, rows=None: model(z), x, target, lambda1, lambda2)


def first_dictionary(atoms=3, size=192):
    generator = torch.Generator().manual_seed(0)
    return project_atoms(torch.randn((size, atoms), generator=generator, dtype=torch.float64))


def generator():
    return torch.Generator().manual_seed(5)


def learned(problem, *, iterations, batch_size, decay=0.0, d=None):
    return learn(
        problem,
        first_dictionary() if d is None else d,
        iterations=iterations,
        batch_size=batch_size,
        initial_step=GAMMA,
        dictionary_step=RATIO,
        decay=decay,
        generator=generator(),
    )


def smooth(model, problem, d, v, rows):
    """F over some images, codes in the rows of ``v``."""
    e = v @ d.T
    log_p = model(problem.x[rows] + e.reshape(-1, 3, 8, 8)).log_softmax(1)
    entropy = -log_p[torch.arange(len(rows)), problem.target[rows]]
    return problem.lambda2 * (e**2).sum() + entropy.sum()


def plain_scheme(model, problem, d, *, iterations, batch_size, decay=0.0):
    """The slide's two lines, with each gradient computed afresh, in D and in V directly."""
    n, order = len(problem.x), generator()
    v = torch.zeros(n, d.shape[1], dtype=d.dtype)
    losses = []
    for k in range(iterations):
        gamma = GAMMA / (1 + k) ** decay
        for rows in torch.randperm(n, generator=order).split(batch_size):
            variable = d.clone().requires_grad_()
            f = n / len(rows) * smooth(model, problem, variable, v[rows], rows)
            d = d - RATIO * gamma * torch.autograd.grad(f, variable)[0]
            d = torch.stack([a / max(1, a.norm()) for a in d.T], dim=1)
            codes = v.clone().requires_grad_()
            f = n / len(rows) * smooth(model, problem, d, codes[rows], rows)
            moved = v - gamma * torch.autograd.grad(f, codes)[0]
            v = moved.sign() * torch.relu(moved.abs() - gamma * problem.lambda1)
        everyone = torch.arange(n)
        f = smooth(model, problem, d, v, everyone) + problem.lambda1 * v.abs().sum()
        losses.append(float(f))
    return d, v, losses


@pytest.mark.parametrize("scheme", ["stochastic", "joint"])
def test_gradients_of_each_image_are_counted(scheme, monkeypatch):
    taken = []

    def slope(graph, plain=Problem.slope):
        taken.append(len(graph[0]))
        return plain(graph)

    monkeypatch.setattr(Problem, "slope", staticmethod(slope))
    model = small_network(small_images(6)).eval()
    x = small_images(6)
    attack = SCADA(
        lambda1=0.01, lambda2=0.01, atoms=3, iterations=7, scheme=scheme, batch_size=4, tolerance=0
    )
    found = attack.fit(model, x, model(x).argmax(1)).arrays
    assert len(found["gradients"]) == len(found["loss"]) == 8
    assert found["gradients"][-1] * 6 == sum(taken) == 6 * 7 * (1 + (scheme == "stochastic"))


@pytest.mark.parametrize(
    ("iterations", "batch_size", "decay"), [(1, 6, 0.0), (3, 6, 0.5), (3, 2, 0.0), (2, 4, 1.0)]
)
def test_steps_are_those_of_the_slide(iterations, batch_size, decay):
    model, problem = network_problem()
    options = {"iterations": iterations, "batch_size": batch_size, "decay": decay}
    d, v, history, dead = learned(problem, **options)
    plain_d, plain_v, losses = plain_scheme(model, problem, first_dictionary(), **options)
    torch.testing.assert_close(d, plain_d, rtol=0, atol=1e-10)
    torch.testing.assert_close(v, plain_v, rtol=0, atol=1e-10)
    assert history.loss[1:] == pytest.approx(losses, rel=1e-10)
    assert history.step == pytest.approx([GAMMA / (1 + k) ** decay for k in range(iterations)])
    assert v.any() and not dead
    assert iterations == 1 or not torch.equal(d, first_dictionary())


def test_one_alternation_by_hand():
    # Logits (u, 0) of one pixel u, of which the target is class 0: H = log(1 + exp(-u)).
    model = affine(torch.tensor([[1.0], [0.0]]).double(), torch.zeros(2).double())
    x = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    problem = Problem(lambda z, rows=None: model(z), x, torch.tensor([0]), 0.1, 0.3)
    d = torch.tensor([[0.8]], dtype=torch.float64)
    d, v, history, _ = learned(problem, iterations=1, batch_size=1, d=d)
    # V = 0: no gradient in D; dH/dv = -0.8 / 2; v = Soft(0.2 * 0.4, 0.2 * 0.1) = 0.06.
    assert d.item() == pytest.approx(0.8) and v.item() == pytest.approx(0.06)
    e = 0.8 * 0.06
    expected = 0.1 * 0.06 + 0.3 * e**2 + torch.tensor(-e).double().exp().log1p().item()
    assert history.loss == pytest.approx([0.6931471805599453, expected])


def test_only_a_mini_batch_is_ever_in_the_network(lenet):
    attack = SCADA(scheme="stochastic", batch_size=5, iterations=2)
    with batch_sizes(lenet.model) as seen:
        fit = attack.fit(lenet.model, lenet.x[:24], lenet.y[:24])
    assert max(seen) == 5
    assert fit.arrays["codes"].shape == (24, 8)


@pytest.fixture(scope="module")
def both(lenet):
    """What the two schemes learn from the same 64 images in as many iterations."""
    settings = {"iterations": 80}
    schemes = (SCADA(**settings), SCADA(scheme="stochastic", batch_size=16, **settings))
    x, y = lenet.x[:64], lenet.y[:64]
    return [(attack, attack.fit(lenet.model, x, y)) for attack in schemes]


def test_reaches_a_loss_like_that_of_the_joint_scheme(both):
    joint, stochastic = (fit.arrays["loss"] for _, fit in both)
    assert stochastic[0] == pytest.approx(float(joint[0]), rel=1e-6)
    assert len(stochastic) == 81 and stochastic.dtype == torch.float64
    assert stochastic[-1] < 0.5 * stochastic[0]
    assert stochastic[-1] <= 1.25 * joint[-1]
    arrays = both[1][1].arrays
    assert arrays["atoms"].flatten(1).norm(dim=1).max() <= 1 + 1e-6
    assert len(arrays["step"]) == len(arrays["backtracks"]) == 80
    assert not arrays["backtracks"].any() and not arrays["dead_start"]
    assert 0 < (arrays["codes"] == 0).double().mean() < 1


def test_fools_unseen_images_like_the_joint_scheme(both, lenet):
    x, y = lenet.x[64:124], lenet.y[64:124]
    joint, stochastic = (
        attack(lenet.model, x, y, fit=fit).success.double().mean() for attack, fit in both
    )
    assert stochastic > 0.7 and stochastic >= joint - 0.1


def test_seed_decides(lenet):
    attack = SCADA(scheme="stochastic", batch_size=4, iterations=4)
    x, y = lenet.x[:12], lenet.y[:12]
    one, again, other = (attack.fit(lenet.model, x, y, rng=s).arrays for s in (0, 0, 1))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["atoms"], other["atoms"])


def test_a_dead_start_is_reported(lenet):
    attack = SCADA(scheme="stochastic", batch_size=4, iterations=2, lambda1=1e4)
    arrays = attack.fit(lenet.model, lenet.x[:8], lenet.y[:8]).arrays
    assert arrays["dead_start"] and not arrays["codes"].any()
    assert (arrays["loss"] == arrays["loss"][0]).all()
