"""Residual networks: those of their papers, at any width."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision

import advsparse
from advsparse.artifacts import make_metadata, write_tensors
from advsparse.errors import ArchitectureError
from advsparse.models._io import load_classifier
from advsparse.models._residual import Pointwise
from advsparse.models._training import Training, train
from advsparse.models.resnet18 import ResNet18
from advsparse.models.resnet50 import ResNet50
from advsparse.models.wideresnet import WideResNet
from advsparse.registry import spec_of

SMALL = {
    "resnet18": ResNet18(width=4),
    "resnet50": ResNet50(width=4, blocks=[1, 1, 1, 1]),
    "wideresnet": WideResNet(depth=10, width=1),
}
each = pytest.mark.parametrize("architecture", SMALL.values(), ids=SMALL)


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_pointwise_convolution_is_torchs(stride):
    torch.manual_seed(0)
    ours = Pointwise(3, 5, 1, stride).double()
    theirs = torch.nn.Conv2d(3, 5, 1, stride).double()
    theirs.load_state_dict(ours.state_dict())
    x = random(2, 3, 7, 8).double()
    one, other = (x.clone().requires_grad_() for _ in range(2))
    found, expected = ours(one), theirs(other)
    assert torch.allclose(found, expected)
    found.square().sum().backward(), expected.square().sum().backward()
    assert torch.allclose(one.grad, other.grad)
    assert torch.allclose(ours.weight.grad, theirs.weight.grad)


def test_a_narrow_network_of_larger_images_is_trained_without_a_crash():
    """In a process of its own: what torch writes beyond its memory ends it, here or later."""
    code = (
        "import torch; from advsparse.models.resnet18 import ResNet18\n"
        "torch.set_num_threads(1); m = ResNet18(width=8).build((3, 64, 64), 10)\n"
        "for _ in range(6): m(torch.rand(16, 3, 64, 64)).square().sum().backward()"
    )
    source = str(Path(advsparse.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": source, "MALLOC_CHECK_": "3"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def parameters(model) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("architecture", "shape", "classes", "count"),
    [
        (ResNet18(), (3, 32, 32), 10, 11_173_962),
        (WideResNet(), (3, 32, 32), 10, 36_479_194),
        (WideResNet(depth=16, width=8), (3, 32, 32), 10, 10_961_370),
        (ResNet50(), (3, 64, 64), 1000, 25_557_032),
    ],
    ids=["resnet18", "wrn-28-10", "wrn-16-8", "resnet50"],
)
def test_number_of_parameters(architecture, shape, classes, count):
    with torch.device("meta"):
        layers = architecture.layers(shape, classes)
    assert parameters(layers) == count


def peer_of(kind):
    """torchvision's network, with the stem of ours."""
    if kind == "resnet18":
        peer = torchvision.models.resnet18(num_classes=7)
        peer.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
    else:
        peer = torchvision.models.resnet50(num_classes=7)
    peer.maxpool = torch.nn.Identity()
    return peer


@pytest.mark.parametrize("kind", ["resnet18", "resnet50"])
def test_network_computes_what_that_of_torchvision_does(kind):
    peer = peer_of(kind)
    ours = {"resnet18": ResNet18, "resnet50": ResNet50}[kind]().build((3, 32, 32), 7)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in peer.state_dict().values():
            if tensor.ndim == 1:  # of the normalisations, which would change nothing
                tensor += 0.5 * torch.rand(tensor.shape, generator=generator)
    values = peer.state_dict().values()
    layers = ours.layers.state_dict()
    ours.layers.load_state_dict(dict(zip(layers, values, strict=True)))
    x = random(2, 3, 32, 32)
    for model in (ours, peer):
        model.eval()
    with torch.no_grad():
        torch.testing.assert_close(ours(x), peer(x), rtol=1e-3, atol=1e-4)


def test_preactivated_block_against_its_definition():
    model = WideResNet(depth=10, width=2).build((1, 8, 8), 3)
    unlike = next(m for m in model.layers if hasattr(m, "activation"))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 16, 8, 8, generator=generator)
    norm, relu = unlike.activation
    conv1, norm2, _, conv2 = unlike.branch
    active = relu(norm(x))
    expected = conv2(relu(norm2(conv1(active)))) + unlike.shortcut(active)
    torch.testing.assert_close(unlike(x), expected)
    like = WideResNet(depth=10, width=1).build((1, 8, 8), 3).layers[1]
    assert like.shortcut is None
    torch.testing.assert_close(like(x) - like.branch(like.activation(x)), x, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("architecture", "shape"),
    [
        (architecture, shape)
        for kind, architecture in SMALL.items()
        for shape in [(1, 28, 28), (3, 32, 32), (3, 64, 64)]
        if kind != "resnet50" or shape[1] >= 32
    ],
)
def test_logits_of_images_of_any_size(architecture, shape):
    model = architecture.build(shape, 5)
    assert model(random(2, *shape)).shape == (2, 5)
    # A single image has more than one position left in the last stage, for normalisation.
    assert model(random(1, *shape)).isfinite().all()


@each
def test_smallest_image_is_enough_for_normalisation_and_smaller_ones_are_refused(architecture):
    least = {ResNet18: 16, ResNet50: 32, WideResNet: 8}[type(architecture)]
    model = architecture.build((1, least, least), 2)
    assert model(random(1, 1, least, least)).isfinite().all()
    with pytest.raises(ArchitectureError, match=f"not {least}x{least - 1}"):
        architecture.build((1, least, least - 1), 2)


def test_convolutions_start_as_he_et_al_say():
    model = WideResNet(depth=10, width=10).build((3, 32, 32), 10)
    weight = next(m for m in model.layers if hasattr(m, "branch")).branch[0].weight.detach()
    assert float(weight.std()) == pytest.approx((2 / (9 * 160)) ** 0.5, rel=0.02)
    assert abs(float(weight.mean())) < 1e-3


@pytest.mark.parametrize("depth", [4, 8, 27, 29])
def test_wideresnet_refuses_other_depths(depth):
    with pytest.raises(ValueError, match=f"depth must be .* got {depth}"):
        WideResNet(depth=depth)


@pytest.mark.parametrize("blocks", [[1, 1, 1], [1, 1, 1, 1, 1], [1, 0, 1, 1]])
def test_resnet50_refuses_other_stages(blocks):
    with pytest.raises(ValueError, match="blocks"):
        ResNet50(blocks=blocks)


# What training keeps.


@each
def test_resumed_training_restores_the_statistics_of_normalisation(architecture, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    x, y = random(20, 1, 32, 32), torch.arange(20) % 3

    def trained(epochs, **options):
        model = architecture.build((1, 32, 32), 3, seed=1)
        train(Training(epochs=epochs, batch_size=8), model, x, y, seed=2, **options)
        return model

    path = tmp_path / "checkpoint.safetensors"
    trained(1, checkpoint=path)
    resumed = trained(2, checkpoint=path)
    assert "after epoch 1" in caplog.text
    ours, theirs = resumed.state_dict(), trained(2).state_dict()
    assert any("running_var" in name for name in ours)
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


@each
def test_artifact_gives_the_same_network(architecture, tmp_path):
    model = architecture.build((1, 32, 32), 3, seed=1)
    x = random(8, 1, 32, 32)
    model(x)  # in training mode: the statistics move
    path = tmp_path / "classifier.safetensors"
    metadata = make_metadata(
        "classifier",
        params={"architecture": spec_of(architecture)},
        code="",
        seed=1,
        extra={"shape": [1, 32, 32], "classes": 3},
    )
    write_tensors(path, model.state_dict(), metadata)
    loaded, _ = load_classifier(path)
    with torch.no_grad():
        assert torch.equal(loaded(x), model.eval()(x))
