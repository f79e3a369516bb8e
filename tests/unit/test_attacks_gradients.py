"""Models without gradients: refused in one sentence, and attacked by what needs none."""

from __future__ import annotations

import pytest
import torch
from models_for_tests import CASES, Function, build, learned, run, setting

from advsparse.attacks.adaptive import Adaptive
from advsparse.attacks.deepfool import DeepFool
from advsparse.attacks.fgsm import FGSM
from advsparse.attacks.pgd import PGD
from advsparse.defenses._defended import Defended

BLIND = ("noise", "square")
"""Attacks that take no gradient."""

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
    network, x, y = setting(torch.float32)
    model, fit = WITHOUT[how](network.eval()), learned(kind, norm)
    if fit is not None and kind != "dict_attack":
        for options in SCADAS if kind == "scada" else [{}]:
            with pytest.raises(ValueError, match=NO_GRADIENT):
                build(kind, norm, **options).fit(model, x, y)
    if kind in BLIND or (fit is not None and kind != "scada"):
        run(build(kind, norm), model, x, y, fit=fit)
    else:
        with pytest.raises(ValueError, match=NO_GRADIENT):
            run(build(kind, norm), model, x, y, fit=fit)
    assert torch.is_grad_enabled()


def test_random_defences_without_gradients_are_refused():
    network, x, y = setting(torch.float32)
    model = Function(network, after=torch.Tensor.detach)
    noisy = Defended(model, lambda x, rng: x + 0.1 * rng.normal_like(x), stochastic=True)
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
