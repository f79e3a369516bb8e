"""LS-PGA against autograd, against the best of all choices, and in training behind a code."""

from __future__ import annotations

import pytest
import torch
from models_for_tests import predictions, small_images, small_network
from sklearn.datasets import load_digits

from advsparse.attacks.adaptive import Adaptive
from advsparse.attacks.ls_pga import LSPGA
from advsparse.attacks.pgd import PGD
from advsparse.defenses.jpeg import JPEG
from advsparse.defenses.thermometer import Thermometer
from advsparse.models._adversarial import Adversarial
from advsparse.models._training import Training, train
from advsparse.seeding import Random

X = small_images(30, torch.float64)
CODE = Thermometer()


@pytest.fixture(scope="module")
def network():
    return small_network(CODE.transformation({})(X)).eval()


def by_autograd(network, code, x, y, attack, seed=0):
    """What the attack returns, with the gradient in the logits from autograd."""
    offsets = torch.linspace(-1, 1, attack.values).double()
    values = (x[:, None] + attack.eps * offsets[:, None, None, None]).clamp(0, 1)
    codes = torch.stack([code(one) for one in values.unbind(1)], 1)
    codes = codes.unflatten(2, (x.shape[1], -1))  # N x V x C x L x H x W
    u = torch.stack([Random(seed).normal_like(x, j) for j in range(attack.values)], 1)
    for j in range(attack.values):
        for i in range(j):
            u[:, j][(codes[:, i] == codes[:, j]).all(2)] = -torch.inf
    for step in range(attack.steps):
        u = u.detach().requires_grad_()
        p = (u * attack.annealing**step).softmax(1)
        logits = network((p[:, :, :, None] * codes).sum(1).flatten(1, 2))
        loss = torch.nn.functional.cross_entropy(logits, y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, u)
        u = u + attack.step * torch.where(u.isinf(), 0.0, gradient).sign()
    return values.gather(1, u.argmax(1, keepdim=True))[:, 0]


@pytest.mark.parametrize("values", [2, 3, 5])
def test_steps_are_those_of_autograd(network, values):
    defended = CODE.wrap(network)
    attack = LSPGA(eps=0.1, steps=5, step=0.5, values=values)
    y = predictions(defended, X)
    found = attack(defended, X, y).x
    expected = by_autograd(network, CODE.transformation({}), X, y, attack)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
    plain = small_network(X).eval()
    y = predictions(plain, X)
    expected = by_autograd(plain, lambda x: x, X, y, attack)
    torch.testing.assert_close(attack(plain, X, y).x, expected, rtol=0, atol=1e-9)


def test_the_best_of_all_choices_is_found_where_one_entry_does_not_feel_the_others():
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn((2, 48, 2, 2), generator=generator, dtype=torch.float64)
    layer = torch.nn.Linear(192, 2, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(weights.flatten(1))
        layer.bias.copy_(torch.tensor([40.0, 0.0]))
    network = torch.nn.Sequential(torch.nn.Flatten(), layer)
    x = X[:, :, :2, :2].contiguous()
    defended, y = CODE.wrap(network), torch.zeros(30, dtype=torch.int64)
    assert not predictions(defended, x).any()
    found = LSPGA(eps=0.1, steps=60, step=1.0, values=5)(defended, x, y).x
    t = CODE.transformation({})
    rising = (weights[1] - weights[0]).unflatten(0, (3, 16))

    def gain(image):
        return (t(image).unflatten(1, (3, 16)) * rising).sum(2)

    choices = [(x + 0.1 * offset).clamp(0, 1) for offset in (-1, -0.5, 0, 0.5, 1)]
    best = torch.stack([gain(choice) for choice in choices]).amax(0)
    torch.testing.assert_close(gain(found), best)
    assert (gain(found) > gain(x)).float().mean() > 0.5


def test_with_the_published_step_the_start_decides(network):
    defended = CODE.wrap(network)
    y = predictions(defended, X)
    short, long = (LSPGA(eps=0.1, step=step)(defended, X, y) for step in (0.01, 1.0))
    moved = (short.x != LSPGA(eps=0.1, step=1e-9)(defended, X, y).x).float().mean()
    assert moved < 0.1
    assert long.success.float().mean() > short.success.float().mean() + 0.3


def test_codes_are_fooled_without_a_function_that_stands_for_their_derivative(network):
    defended = CODE.wrap(network)
    y = predictions(defended, X)
    found = LSPGA(eps=0.1, steps=10, step=1.0)(defended, X, y)
    assert found.success.float().mean() > 0.8
    assert torch.equal(found.success, predictions(defended, found.x) != y)
    assert found.queries.max() == 2 * 10 + 2 and found.steps.tolist() == [10] * 30
    same = Adaptive(attack=LSPGA(eps=0.1, steps=10, step=1.0))(defended, X, y)
    assert torch.equal(same.x, found.x)


def test_other_defences_are_attacked_as_they_are():
    model = small_network(X).eval()
    defended = JPEG().wrap(model)
    y = predictions(defended, X)
    found = Adaptive(attack=LSPGA(eps=0.2, steps=10, step=1.0))(defended, X, y)
    assert found.success.any()


@pytest.mark.filterwarnings("ignore::advsparse.attacks._checks.AttackWarning")
@pytest.mark.parametrize(
    "attack", [LSPGA(eps=0.15, step=1.0), Adaptive(attack=PGD(eps=0.15, steps=7))],
    ids=["ls_pga", "pgd"],
)  # fmt: skip
def test_a_network_behind_a_code_is_trained_on_attacks_on_pixels(attack):
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    y = torch.tensor(digits.target)

    def robust(adversarial=None):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            nn = torch.nn
            layers = nn.Linear(16 * 64, 128), nn.ReLU(), nn.Linear(128, 10)
            defended = CODE.wrap(nn.Sequential(nn.Flatten(), *layers))
        training = Training(epochs=8, batch_size=50, learning_rate=0.003)
        train(training, defended, x[:1000], y[:1000], adversarial=adversarial, seed=0)
        judge = Adaptive(attack=PGD(eps=0.15, steps=20))
        return float((~judge(defended, x[1000:1300], y[1000:1300]).success).float().mean())

    assert robust(Adversarial(attack=attack)) > robust() + 0.15
