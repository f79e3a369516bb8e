"""Small classifiers with known properties, and every attack set to take milliseconds."""

from __future__ import annotations

import copy
import zlib
from contextlib import contextmanager
from functools import cache
from typing import get_args

import pytest
import torch

from advsparse import registry
from advsparse.attacks._asking import undisturbed
from advsparse.attacks._base import BudgetAttack
from advsparse.attacks._first_look import bytes_per_image
from advsparse.attacks._fitting import UniversalAttack
from advsparse.coding._convolution_map import Convolution

SHAPE, CLASSES = (3, 8, 8), 4
"""What the small networks take and tell apart."""

EPS = {"linf": 0.1, "l2": 1.0, "relative_l2": 0.1, "l1": 10.0, "l0": 10.0}
"""A radius at which the attacks fool some images of the small network."""

CHEAP: dict[str | tuple[str, str], dict] = {
    "alma": {"steps": 20},
    "ddn": {"steps": 20},
    "nearest": {"total": 90},
    "pdpgd": {"steps": 40, "dual_rate": 0.5},
    "sigma_zero": {"steps": 20},
    "bim": {"steps": 4},
    "apgd": {"steps": 6, "restarts": 2},
    "cw": {"search_steps": 4, "iterations": 30, "learning_rate": 0.05, "initial_weight": 0.1},
    "cw_l0": {
        **{"iterations": 20, "learning_rate": 0.1, "box": "clip"},
        **{"initial_weight": 0.1, "largest_weight": 10.0, "share": 1.0},
    },
    "cw_linf": {"iterations": 20, "learning_rate": 0.02, "box": "clip", "initial_weight": 0.01},
    "autoattack": {"steps": 4, "targets": 2, "queries": 8},
    "deepfool": {"steps": 10},
    "ead": {"search_steps": 4, "iterations": 20, "learning_rate": 0.05, "initial_weight": 0.1},
    "one_pixel": {"pixels": 3, "population": 10, "generations": 2},
    "dict_attack": {"direction": "universal"},  # pairs need targets
    "ls_pga": {"steps": 4, "step": 0.5},
    "lbfgs": {"search_steps": 4, "iterations": 8},
    "fab": {"steps": 6, "targets": 2, "restarts": 2},
    "fmn": {"steps": 20, "restarts": 2},
    ("fmn", "l0"): {"steps": 20},
    "pgd": {"steps": 4, "restarts": 2},
    "minimal_apgd": {"steps": 40, "runs": 8},
    "shrinking_square": {"queries": 15},
    "square": {"queries": 15},
    "scada": {"atoms": 3, "iterations": 15, "coding_iterations": 15},
    "targeted_uap": {"passes": 2, "relative_step": 0.5},
    "uap": {"passes": 2, "inner_steps": 5},
}


BLIND = ("noise", "one_pixel", "random_pixels", "shrinking_square", "square")
"""Attacks that ask for no gradient, whatever they have learned."""

WRAPPED = {"adaptive": "pgd"}
"""What the attacks that wrap another one wrap here."""


def norms_of(kind: str) -> tuple[str, ...]:
    """The norms that an attack declares, or the one that it wraps."""
    kind = WRAPPED.get(kind, kind)
    return get_args(registry.load("attacks", kind).__pydantic_fields__["norm"].annotation)


ATTACKS = registry.kinds("attacks")

CASES = [(kind, norm) for kind in ATTACKS for norm in norms_of(kind)]
"""Every registered attack in each of its norms."""


def in_a_norm(test: str) -> pytest.MarkDecorator:
    """Every registered attack in one of its norms, another for another ``test``: for what
    the norm has no part in."""
    number = zlib.crc32(test.encode())
    chosen = [(kind, (norms := norms_of(kind))[number % len(norms)]) for kind in ATTACKS]
    return pytest.mark.parametrize(("kind", "norm"), chosen)


def is_a(kind: str, base: type) -> bool:
    return issubclass(registry.load("attacks", kind), base)


def build(kind: str, norm: str, **settings):
    """An attack in its cheap setting; one with a budget gets that of EPS unless told otherwise."""
    if kind in WRAPPED:
        return registry.load("attacks", kind)(attack=build(WRAPPED[kind], norm, **settings))
    if is_a(kind, BudgetAttack):
        settings.setdefault("eps", EPS[norm])
    cheap = CHEAP.get((kind, norm), CHEAP.get(kind, {}))
    return registry.load("attacks", kind)(norm=norm, **cheap | settings)


def run(attack, model, x, y, target=None, *, fit=None, rng=0, **options):
    """The attack; one that is universal has learned from the same images, or brings its ``fit``."""
    if isinstance(attack, UniversalAttack):
        if fit is None:
            fit = learn(attack, model, x, y, target, rng=rng)
        options["fit"] = fit
    return attack(model, x, y, target, rng=rng, **options)


def learn(attack, model, x, y, target=None, **options):
    """What a universal attack learns on ``model``; Dict-Attack, which can't, on a classifier of
    sparse codes of such images."""
    if registry.kind_of(attack) == "dict_attack":
        model = SparseCodeClassifier(filters(), x.shape[2:]).to(x)
    return attack.fit(model, x, y, target, **options)


def filters(count: int = 3, channels: int = SHAPE[0], size: int = 3) -> torch.Tensor:
    """Random filters, standard normal."""
    generator = torch.Generator().manual_seed(5)
    return torch.randn((count, channels, size, size), generator=generator)


class Blunt(torch.nn.Module):
    """A network that has no gradient."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x):
        with torch.no_grad():
            return self.network(x)


class SparseCodeClassifier(torch.nn.Module):
    """A linear classifier of the correlations of images with filters, K x C x h x w."""

    def __init__(self, filters: torch.Tensor, image: tuple[int, int], classes: int = CLASSES):
        super().__init__()
        generator = torch.Generator().manual_seed(6)
        shape = (classes, len(filters), *image)
        self.image = tuple(image)
        self.filters = torch.nn.Parameter(filters)
        self.weights = torch.nn.Parameter(torch.randn(shape, generator=generator).to(filters))

    @property
    def synthesis(self) -> Convolution:
        return Convolution(self.filters, self.image)

    def forward(self, x):
        return self.synthesis.adjoint(x).flatten(1) @ self.weights.flatten(1).T


def need(attack, model, x, *, learning: bool = False) -> int:
    """Bytes that an attack on ``model`` takes for each image of ``x``, for CLASSES classes."""
    gradients = learning or attack.follows_gradients
    with undisturbed(model, x.device):
        return attack._need(bytes_per_image(model, x[:1], gradients), x[:1], CLASSES)


class Function(torch.nn.Module):
    """A network that some function comes before or after."""

    def __init__(self, network=None, before=None, after=None):
        super().__init__()
        self.network, self.before, self.after = network, before, after

    def forward(self, x):
        x = self.before(x) if self.before else x
        x = self.network(x) if self.network is not None else x
        return self.after(x) if self.after else x


def affine(weights: torch.Tensor, bias: torch.Tensor) -> torch.nn.Module:
    """f(x) = W x + b, of the dtype of ``weights`` (K x P)."""
    layer = torch.nn.Linear(weights.shape[1], weights.shape[0], dtype=weights.dtype)
    with torch.no_grad():
        layer.weight.copy_(weights)
        layer.bias.copy_(bias)
    return torch.nn.Sequential(torch.nn.Flatten(), layer)


def small_network(x: torch.Tensor, seed: int = 0) -> torch.nn.Module:
    """A random convolutional network with batch norm and dropout, left in training mode.

    Its statistics and last bias are set from ``x``, so that it spreads those images over classes.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        nn = torch.nn
        model = nn.Sequential(
            nn.Conv2d(x.shape[1], 6, 3),
            nn.BatchNorm2d(6, momentum=1.0),
            nn.ReLU(),
            nn.Conv2d(6, 6, 3, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(24, CLASSES),
        ).to(x.dtype)
        with torch.no_grad():
            model(x)
            model[-1].weight.mul_(5)
            model[-1].bias.sub_(model.eval()(x).mean(0))
        # Some modules in training mode and some not: an attack must put each back as it was.
        model.train()
        model[2].eval()
    return model


def small_images(count: int, dtype=torch.float32) -> torch.Tensor:
    """Random images, about a fifth of whose pixels are exactly 0 and a fifth exactly 1."""
    generator = torch.Generator().manual_seed(7)
    x = torch.rand((count, *SHAPE), generator=generator, dtype=torch.float32)
    return (1.6 * x - 0.3).clamp(0, 1).to(dtype)


@torch.no_grad()
def predictions(model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What the model predicts in evaluation mode."""
    modes = [(module, module.training) for module in model.modules()]
    labels = model.eval()(x).argmax(1)
    for module, training in modes:
        module.training = training
    return labels


def measured(x_adv: torch.Tensor, x: torch.Tensor, norm: str) -> torch.Tensor:
    """The distances in float64, by definition and image by image."""
    distances = []
    for one, other in zip(x_adv.double(), x.double(), strict=True):
        d = (one - other).flatten()
        distances.append(
            {
                "linf": lambda d, _: d.abs().max(),
                "l2": lambda d, _: (d * d).sum().sqrt(),
                "relative_l2": lambda d, o: ((d * d).sum() / (o * o).sum()).sqrt(),
                "l1": lambda d, _: d.abs().sum(),
                "l0": lambda d, _: (d != 0).double().sum(),
            }[norm](d, other)
        )
    return torch.stack(distances)


@contextmanager
def batch_sizes(model: torch.nn.Module):
    """The sizes of the batches that the model is given inside the block."""
    seen: list[int] = []
    handle = model.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    try:
        yield seen
    finally:
        handle.remove()


ALREADY = 3
"""The image of ``setting`` that is misclassified from the start."""

# Batches of other sizes use other kernels, whose sums round differently, by about 1e-15 in float64;
# a descent may amplify that a thousandfold. An image that felt its neighbours (an averaged loss, a
# shared step or generator) would move by 1e-4 or more.
ROUNDING = {"rtol": 0, "atol": 1e-9}


DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
        ],
    ),
]


def setting(dtype, device="cpu"):
    """The small network, seven images and their labels, of which one is wrong."""
    return _setting(dtype, device)  # the same objects, however it is called


def evaluated(dtype=torch.float32):
    """That setting with a copy of the network that is in evaluation mode, to be called directly."""
    network, x, y = setting(dtype)
    return copy.deepcopy(network).eval(), x, y


@cache
def _setting(dtype, device):
    x = small_images(7, dtype)
    model = small_network(x)
    y = predictions(model, x)
    y[ALREADY] = (y[ALREADY] + 1) % CLASSES
    found = model.to(device), x.to(device), y.to(device)
    SHARED.append((found, state_of(found)))
    return found


SHARED = []
"""What tests have in common, and what it was when it was made."""


def state_of(shared):
    """All that a test could change of what it shares with others."""
    model, *tensors = shared
    arrays = [*model.state_dict().values(), *tensors]
    flags = [module.training for module in model.modules()]
    return [array.cpu().numpy().tobytes() for array in arrays], flags


@cache
def fitted(kind, norm, dtype, device="cpu"):
    """What a universal attack learns from those images, once for all tests; else nothing."""
    attack = build(kind, norm)
    model, x, y = setting(dtype, device)
    return learn(attack, model, x, y) if attack.universal else None


def learned(kind, norm):
    """What a universal attack learns from a well-behaved model."""
    model, x, y = setting(torch.float32)
    attack = build(kind, norm)
    return learn(attack, model, x, y) if isinstance(attack, UniversalAttack) else None


def attacked(kind, norm, dtype=torch.float64, device="cpu", *, x=None, y=None, **options):
    """The cheap attack at ``setting``, with what it learned there, unless told otherwise."""
    model, images, labels = setting(dtype, device)
    x, y = images if x is None else x, labels if y is None else y
    return run(build(kind, norm), model, x, y, fit=fitted(kind, norm, dtype, device), **options)


def assert_same(one, other, order=slice(None), **tolerance):
    """Two results agree; ``order`` says where the images of ``one`` stand in ``other``."""
    for name in ("x", "distance"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name)[order], **tolerance)
    for name in ("success", "steps", "queries"):
        assert torch.equal(getattr(one, name), getattr(other, name)[order]), name
    assert one.trace.keys() == other.trace.keys()
    for name, values in one.trace.items():
        torch.testing.assert_close(values, other.trace[name][order], **tolerance)


def affine_setting():
    """Twelve images that a classifier of four classes, W (x - 1/2) + b, puts into class 0.

    Their nearest adversarial images lie well within [0, 1].
    """
    generator = torch.Generator().manual_seed(11)
    weights = torch.randn((4, 48), generator=generator, dtype=torch.float64)
    bias = torch.tensor([8.0, 0, 0, 0], dtype=torch.float64) - weights.sum(1) / 2
    x = 0.5 + 0.1 * (torch.rand((12, 3, 4, 4), generator=generator, dtype=torch.float64) - 0.5)
    model = affine(weights, bias)
    y = predictions(model, x)
    assert not y.any()
    return model, x, y


_DUAL = {"l2": 2, "linf": 1, "l1": torch.inf}
"""Order of the norm dual to that of a perturbation."""


def distances_to_boundaries(model, x, norm):
    """The distance of each image (rows) from its boundary with each class (columns), exact."""
    with torch.no_grad():
        gap = model(x)[:, :1] - model(x)
    weights = model[1].weight.detach()
    size = torch.linalg.vector_norm(weights[:1] - weights, ord=_DUAL[norm], dim=1)
    return torch.where(size > 0, gap / size, torch.inf)


def distance_to_class(model, image, target, norm, *, boxed=False):
    """The distance of an image from the polyhedron where ``target`` wins, by cvxpy; if ``boxed``
    from what [0, 1] leaves of it."""
    import cvxpy as cp

    weights, bias = (p.detach().numpy() for p in model[1].parameters())
    d = cp.Variable(image.numel())
    logits = weights @ (image.flatten().numpy() + d) + bias
    length = cp.norm(d, {"l2": 2, "linf": "inf", "l1": 1}[norm])
    pixels = image.flatten().numpy() + d
    box = [pixels >= 0, pixels <= 1] if boxed else []
    problem = cp.Problem(cp.Minimize(length), [logits[target] >= logits, *box])
    return problem.solve(solver=cp.CLARABEL)


def foolbox(attack, model, x, y, eps=None):
    """The images of a foolbox attack and whether each fools."""
    import foolbox as fb

    fmodel = fb.PyTorchModel(model.eval(), bounds=(0, 1), device="cpu")
    _, found, success = attack(fmodel, x, fb.criteria.Misclassification(y), epsilons=eps)
    return found, success
