"""Models without gradients: refused in one sentence, and attacked by what needs none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from models_for_tests import (
    BLIND,
    CASES,
    Function,
    assert_same,
    build,
    evaluated,
    learned,
    run,
    setting,
)

from advsparse.attacks._first_look import bytes_per_image
from advsparse.attacks.adaptive import Adaptive
from advsparse.attacks.deepfool import DeepFool
from advsparse.attacks.fgsm import FGSM
from advsparse.attacks.pgd import PGD
from advsparse.defenses._defended import InFront

each_attack = pytest.mark.parametrize(("kind", "norm"), CASES)

NO_GRADIENT = r"^model: no gradient leads from its logits"


class Unregistered(torch.nn.Module):
    """No gradient leads to its input, and to weights that torch does not know of one does."""

    def __init__(self, network):
        super().__init__()
        self.kept = [network]
        self.scale = torch.ones((), requires_grad=True)

    def forward(self, x):
        return self.scale * self.kept[0](x.detach())


class Quantiser(torch.autograd.Function):
    """A layer that has left its derivative out."""

    @staticmethod
    def forward(ctx, x):
        return (x * 63).round() / 63

    @staticmethod
    def backward(ctx, slope):
        return None


def switched_off(x):
    torch.set_grad_enabled(False)
    return x


WITHOUT = {
    "no_grad": lambda network: Function(before=torch.no_grad()(lambda x: network(x))),
    "detached": lambda network: Function(network, after=torch.Tensor.detach),
    "unregistered weights": Unregistered,
    "no derivative": lambda network: Function(network, before=Quantiser.apply),
    "switched off at first": lambda network: Function(network, before=switched_off),
    "switched off at last": lambda network: Function(network, after=switched_off),
}
"""Models without gradients, made of a network."""

SCADAS = [{"coding": "unsupervised"}, {"scheme": "stochastic"}, {"lambda2": 0.0}]


@pytest.mark.parametrize("how", WITHOUT)
@each_attack
def test_models_without_gradients_are_refused(kind, norm, how):
    network, x, y = evaluated()
    model, fit = WITHOUT[how](network), learned(kind, norm)
    if fit is not None and kind != "dict_attack":
        for options in SCADAS if kind == "scada" else [{}]:
            with pytest.raises(ValueError, match=NO_GRADIENT):
                build(kind, norm, **options).fit(model, x, y)
    if not build(kind, norm).follows_gradients:
        run(build(kind, norm), model, x, y, fit=fit)
    else:
        with pytest.raises(ValueError, match=NO_GRADIENT):
            run(build(kind, norm), model, x, y, fit=fit)
    assert torch.is_grad_enabled()


def leaves_torch(network):
    """A model that knows images as arrays, and refuses those that require a gradient."""
    return Function(before=lambda x: network(torch.from_numpy(x.numpy() * np.float32(1))))


ALL = [
    *((kind, norm, {}) for kind, norm in CASES),
    ("scada", "l2", {"coding": "unsupervised", "draws": 6}),
]


@pytest.mark.parametrize(("kind", "norm", "options"), ALL)
def test_what_follows_no_gradient_asks_for_none(kind, norm, options):
    network, x, y = evaluated()
    fit, attack = learned(kind, norm), build(kind, norm, **options)
    learnt = ("uap", "targeted_uap", "dict_attack")
    assert attack.follows_gradients == (kind not in BLIND + learnt and not options)
    if attack.follows_gradients:
        with pytest.raises(RuntimeError, match="requires grad"):
            run(attack, leaves_torch(network), x, y, fit=fit)
        return
    expected = run(attack, network, x, y, fit=fit)
    assert_same(run(attack, leaves_torch(network), x, y, fit=fit), expected, rtol=0, atol=0)


@pytest.mark.parametrize("attack", ["noise", "square"])
def test_adaptive_asks_for_no_more_than_what_it_wraps(attack):
    network, x, y = evaluated()
    wrapped = Adaptive(attack=build(attack, "linf"))
    assert not wrapped.follows_gradients
    result = wrapped(leaves_torch(network), x, y)
    assert_same(result, build(attack, "linf")(network, x, y), rtol=0, atol=0)


def test_memory_is_counted_without_gradients_too():
    x = torch.rand(1, 3, 8, 8)
    layer = torch.nn.Conv2d(3, 5, 3, padding=1)
    flat = torch.nn.Sequential(layer, torch.nn.ReLU(inplace=True), torch.nn.Flatten())
    # The copies of what the model is given and returns, and the convolution; a view writes nothing.
    written = x.nbytes + 2 * (5 * 8 * 8 * 4)
    assert bytes_per_image(flat, x, gradients=False) == x.nbytes + written // 2


def test_random_defences_without_gradients_are_refused():
    network, x, y = setting(torch.float32)
    model = Function(network, after=torch.Tensor.detach)
    noisy = InFront(model, lambda x, rng: x + 0.1 * rng.normal_like(x), stochastic=True)
    for inner in (PGD(eps=0.1), DeepFool(), build("cw", "l2")):
        with pytest.raises(ValueError, match=NO_GRADIENT):
            Adaptive(attack=inner, samples=2)(noisy, x, y)


@pytest.mark.parametrize(
    "constant",
    [lambda x: x.detach(), lambda x: x.detach() * torch.ones((), requires_grad=True), switched_off],
)
def test_objectives_without_gradients_are_refused(constant):
    network, x, _ = setting(torch.float32)
    with pytest.raises(ValueError, match=r"^objective: no gradient leads from its values"):
        FGSM(eps=0.1).maximise(network, lambda x: network(constant(x)).sum(1), x)
