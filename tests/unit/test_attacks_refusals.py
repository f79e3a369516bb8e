"""What attacks refuse, and that they say what they expect."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from models_for_tests import (
    CASES,
    CLASSES,
    Function,
    assert_same,
    build,
    evaluated,
    learned,
    run,
    setting,
    small_images,
    small_network,
)

from advsparse.attacks._fitting import Fit
from advsparse.defenses._defended import InFront
from advsparse.seeding import Random

EXACT = {"rtol": 0, "atol": 0}

X, Y = torch.full((2, 3, 8, 8), 0.5), torch.tensor([0, 1])


class Returns(torch.nn.Module):
    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, x):
        return self.change(torch.zeros(len(x), CLASSES))


WRONG = {
    "function as model": ({"model": lambda x: x}, r"^model: .*torch\.nn\.Module.*function"),
    "no model": ({"model": None}, r"^model: .*torch\.nn\.Module.*None"),
    "tuple": ({"model": Returns(lambda z: (z, z))}, "^model: .*N x K.*tuple"),
    "dictionary": ({"model": Returns(lambda z: {"logits": z})}, "^model: .*N x K.*dict"),
    "array of logits": ({"model": Returns(lambda z: z.numpy())}, r"^model: .*numpy\.ndarray"),
    "nothing": ({"model": Returns(lambda z: None)}, "^model: .*N x K.*None"),
    "predictions": ({"model": Returns(lambda z: z.argmax(1))}, r"^model: .*N x K.*\(1,\)"),
    "whole numbers": ({"model": Returns(lambda z: z.long())}, "^model: .*floating.*int64"),
    "a single class": ({"model": Returns(lambda z: z[:, :1])}, r"at least 2 classes.*\(1, 1\)"),
    "batch of another size": ({"model": Returns(lambda z: z.repeat(3, 1))}, r"1 x K.*\(3, 4\)"),
    "array of images": ({"x": X.numpy()}, r"^x: .*torch\.Tensor.*numpy\.ndarray"),
    "list of images": ({"x": [*X]}, r"^x: .*torch\.Tensor.*list"),
    "no images": ({"x": None}, r"^x: .*torch\.Tensor.*None"),
    "half precision": ({"x": X.half()}, r"^x: .*float32 or float64.*float16"),
    "no pixels": ({"x": X[:, :, :0]}, r"^x: .*N x C x H x W.*\(2, 3, 0, 8\)"),
    "empty batch": ({"x": X[:0]}, r"^x: .*N x C x H x W.*\(0, 3, 8, 8\)"),
    "sparse images": ({"x": X.to_sparse()}, "^x: .*dense.*sparse_coo"),
    "meta images": ({"x": X.to("meta")}, "^x: .*dense.*meta"),
    "array of labels": ({"y": Y.numpy()}, r"^y: .*torch\.Tensor.*numpy\.ndarray"),
    "list of labels": ({"y": [0, 1]}, r"^y: .*torch\.Tensor.*list"),
    "no labels": ({"y": None}, r"^y: .*torch\.Tensor.*None"),
    "list of targets": ({"target": [0, 1]}, r"^target: .*torch\.Tensor.*list"),
    "number as target": ({"target": 1}, r"^target: .*torch\.Tensor.*int"),
    "label out of range": ({"y": Y + 5}, r"^y: .*0\.\.3.*5 to 6"),
    "labels elsewhere": ({"y": Y.to("meta")}, "^y: .*cpu.*meta"),
    "no seed": ({"rng": None}, "^rng: .*int.*None"),
    "torch's generator": ({"rng": torch.Generator()}, r"^rng: .*int.*Generator"),
    "fractional seed": ({"rng": 0.5}, "^rng: .*int.*float"),
    "text as seed": ({"rng": "0"}, "^rng: .*int.*str"),
    "memory in words": ({"memory": "2 GB"}, "^memory: .*int.*str"),
    "no memory": ({"memory": None}, "^memory: .*int.*None"),
    "a bit above 1": ({"x": torch.nextafter(X + 0.5, X + 1)}, r"^x: .*1\.0000001 to 1\.0000001"),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize(("kind", "norm"), [("fgsm", "linf"), ("scada", "l2"), ("adaptive", "l2")])
def test_what_is_given_is_named_with_what_is_expected(kind, norm, what):
    changed, message = WRONG[what]
    given = {"model": small_network(small_images(4)), "x": X, "y": Y} | changed
    attack, fit = build(kind, norm), learned(kind, norm)
    options = {} if fit is None else {"fit": fit}
    with pytest.raises((ValueError, TypeError), match=message):
        attack(**given, **options)
    if fit is not None:
        with pytest.raises((ValueError, TypeError), match=message):
            attack.fit(**given)


LATER = {
    "tuple": (lambda z: (z, z), TypeError, "logits N x K, a torch.Tensor, got tuple"),
    "nothing": (lambda z: None, TypeError, "logits N x K, a torch.Tensor, got None"),
    "mean": (lambda z: z.mean(0, keepdim=True), ValueError, r"7 x K.*\(1, 4\)"),
    "repeated": (lambda z: z.repeat(2, 1), ValueError, r"x K.*\(\d+, 4\)"),
    "whole numbers": (lambda z: z.long(), ValueError, "floating.*int64"),
    "one axis": (lambda z: z.amax(1), ValueError, r"x K.*\(\d,\)"),
}
"""What a model may return, if not for the first image."""


@pytest.mark.parametrize("how", LATER)
@pytest.mark.parametrize(("kind", "norm"), CASES)
def test_every_pass_is_checked(kind, norm, how):
    network, x, y = evaluated()
    fit = learned(kind, norm)
    change, error, message = LATER[how]
    conditions = [lambda x: len(x) == 7]
    if how != "mean" and build(kind, norm).follows_gradients:
        conditions.append(lambda x: x.requires_grad)
    for condition in conditions:
        model = Function(before=lambda x: (change if condition(x) else lambda z: z)(network(x)))  # noqa: B023
        with pytest.raises(error, match=f"^model: expected .*{message}"):
            run(build(kind, norm), model, x, y, fit=fit)


@pytest.mark.parametrize("fit", [None, {"atoms": X}, X])
def test_a_fit_is_asked_for(fit):
    with pytest.raises(TypeError, match=r"^fit: expected what fit\(\) returns"):
        build("uap", "l2")(small_network(small_images(4)), X, Y, fit=fit)


TRANSFORMED = {
    "array": (lambda x: x.numpy(), TypeError, "torch.Tensor, got numpy.ndarray"),
    "nothing": (lambda x: None, TypeError, "torch.Tensor, got None"),
    "one image": (lambda x: x[:1], ValueError, r"\(2, 3, 8, 8\) 2 x .*\(1, 3, 8, 8\)"),
    "a number": (lambda x: x.sum(), ValueError, r"got \(\)"),
}


@pytest.mark.parametrize("what", TRANSFORMED)
def test_what_a_transformation_is_to_give_is_said(what):
    transformation, error, message = TRANSFORMED[what]
    network = small_network(small_images(4)).eval()
    with pytest.raises(error, match=f"^transformation: expected .*{message}"):
        InFront(network, transformation)(X)
    with pytest.raises(TypeError, match=r"^transformation: expected a module or .*None"):
        InFront(network, None)


def test_what_a_defence_is_given_is_checked():
    network = small_network(small_images(4)).eval()
    noisy = InFront(network, lambda x, rng: x + rng.normal_like(x), stochastic=True)
    for defended in (noisy, InFront(network, torch.clone)):
        with pytest.raises(TypeError, match=r"^x: expected a torch\.Tensor, got numpy\.ndarray"):
            defended(X.numpy())
        for rng in (0, 3, torch.Generator()):
            with pytest.raises(TypeError, match=r"^rng: expected an advsparse\.seeding\.Random"):
                defended(X, rng)
    assert torch.equal(noisy(X), noisy(X)) and not torch.equal(noisy(X), noisy(X, Random(1)))


UNIVERSAL = ("scada", "uap", "targeted_uap", "dict_attack")


@pytest.mark.parametrize("kind", UNIVERSAL)
def test_what_was_learned_is_checked(kind):
    network, x, y = setting(torch.float32)
    attack, fit = build(kind, "l2"), learned(kind, "l2")
    for other in UNIVERSAL:
        found = learned(other, "l2")
        name, *_ = attack.perturbations
        if name not in found.arrays:
            with pytest.raises(ValueError, match=f"^fit: expected .*{name}, got "):
                attack(network, x, y, fit=found)
    arrays = Fit({name: values.numpy() for name, values in fit.arrays.items()})
    with pytest.raises(TypeError, match=r"^fit: expected .*torch\.Tensor, got numpy\.ndarray"):
        attack(network, x, y, fit=arrays)
    wider = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(8), network)
    with pytest.raises(ValueError, match=r"^fit: expected .*\(3, 10, 10\), got .*\(3, 8, 8\)"):
        attack(wider, torch.rand(7, 3, 10, 10), y, fit=fit)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[0], r"N x C x H x W.*\(3, 8, 8\)"),
        (lambda x: (x * 255).long(), "float32 or float64.*int64"),
        (lambda x: x.half(), "float32 or float64.*float16"),
        (lambda x: x + 0.6, r"\[0, 1\], found 1.1 to 1.1"),
        (lambda x: x * torch.nan, r"\[0, 1\], found nan"),
    ],
)
def test_maximise_says_what_images_it_expects(change, message):
    network = small_network(small_images(4))
    with pytest.raises(ValueError, match=f"^x: .*{message}"):
        build("fgsm", "linf").maximise(network, lambda x: network(x).sum(1), change(X))


def test_whole_numbers_of_any_kind_are_seeds():
    model, x, y = setting(torch.float32)
    expected = run(build("pgd", "linf"), model, x, y, rng=3)
    for seed in (np.int64(3), torch.tensor(3), Random(3)):
        assert_same(run(build("pgd", "linf"), model, x, y, rng=seed), expected, **EXACT)


@pytest.mark.parametrize(
    ("dtype", "above", "below"),
    [
        (torch.float32, "1.0000001", "-1e-45"),
        (torch.float64, "1.0000000000000002", "-5e-324"),
    ],
)
def test_pixels_a_bit_outside_are_told_from_those_within(dtype, above, below):
    model, x, y = setting(dtype)
    x = x.clamp(0.25, 0.75)
    x[1, 0, 0, 0] = torch.nextafter(torch.tensor(1, dtype=dtype), torch.tensor(2, dtype=dtype))
    with pytest.raises(ValueError, match=f"found 0.25 to {above}$"):
        run(build("fgsm", "linf"), model, x, y)
    x[1, 0, 0, 0] = torch.nextafter(torch.tensor(0, dtype=dtype), torch.tensor(-1, dtype=dtype))
    with pytest.raises(ValueError, match=f"found {below} to 0.75$"):
        run(build("fgsm", "linf"), model, x, y)
