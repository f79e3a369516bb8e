"""Networks for ImageNet, and the weights that torchvision publishes for them."""

import hashlib
import json
import subprocess
import sys

import pytest
import torch
import torchvision

from advsparse import published_weights, registry
from advsparse.artifacts import read_tensors
from advsparse.errors import ArchitectureError, DataError
from advsparse.models._weights import WeightsFile, give
from advsparse.models.resnet50 import ResNet50
from advsparse.models.vgg16 import VGG16
from advsparse.published_weights import PUBLISHED, converted, main

PEERS = {
    "resnet50-0676ba61.pth": torchvision.models.resnet50,
    "resnet50-11ad3fa6.pth": torchvision.models.resnet50,
    "vgg16-397923af.pth": torchvision.models.vgg16,
    "vgg16_bn-6c64b313.pth": torchvision.models.vgg16_bn,
}


def parameters(model) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("architecture", "shape", "classes", "count"),
    [
        (VGG16(), (3, 32, 32), 10, 14_728_266),  # kuangliu/pytorch-cifar's
        (VGG16(head="imagenet"), (3, 224, 224), 1000, 138_365_992),
        (VGG16(head="imagenet", batch_norm=False), (3, 224, 224), 1000, 138_357_544),
        (ResNet50(stem="imagenet"), (3, 224, 224), 1000, 25_557_032),
    ],
)
def test_number_of_parameters(architecture, shape, classes, count):
    with torch.device("meta"):
        assert parameters(architecture.layers(shape, classes)) == count


@pytest.mark.parametrize("size", [32, 64, 128, 224])
def test_a_narrow_vgg_classifies_images_of_any_size(size):
    model = VGG16(width=4).build((3, size, size), 5)
    found = model(torch.rand(2, 3, size, size))
    assert found.shape == (2, 5) and found.isfinite().all()


def test_vgg_refuses_what_its_layers_leave_nothing_of_or_its_head_does_not_fit():
    with pytest.raises(ArchitectureError, match="at least 32x32 pixels, not 31x32"):
        VGG16(width=1).build((3, 31, 32), 2)
    with pytest.raises(ArchitectureError, match="takes images of 224x224 pixels, not 64x64"):
        VGG16(width=1, head="imagenet").build((3, 64, 64), 2)


def test_layers_start_as_their_papers_say():
    model = VGG16(width=32).build((3, 32, 32), 200)
    convolution = model.layers[-6]
    assert isinstance(convolution, torch.nn.Conv2d) and convolution.in_channels == 256
    expected = (2 / (9 * 256)) ** 0.5
    assert float(convolution.weight.detach().std()) == pytest.approx(expected, rel=0.02)
    linear = model.layers[-1]
    assert float(linear.weight.detach().std()) == pytest.approx(0.01, rel=0.02)
    assert not linear.bias.any()


@pytest.fixture
def small(monkeypatch):
    """Published files and networks with few classes and units, as full ones take half a GB."""

    def small(name):
        peer = PEERS[name]
        if "vgg" in name:
            model = peer(num_classes=1, dropout=0.0)
            model.classifier = torch.nn.Sequential(
                *(torch.nn.Linear(512 * 49, 8), torch.nn.ReLU(), torch.nn.Dropout()),
                *(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Dropout()),
                torch.nn.Linear(8, 5),
            )
        else:
            model = peer(num_classes=5)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for tensor in model.state_dict().values():
                if tensor.is_floating_point() and tensor.ndim == 1:
                    tensor += 0.5 * torch.rand(tensor.shape, generator=generator)
        return model.eval()

    monkeypatch.setattr(published_weights, "_CLASSES", 5)
    for name, spec in PUBLISHED.items():
        units = {"units": 8} if "vgg" in name else {}
        monkeypatch.setitem(PUBLISHED, name, spec | units)
    return small


def published(model, folder, name, monkeypatch, **changes):
    """A file as it is published, whose digest is its name's."""
    torch.save(model.state_dict() | changes, folder / "made.pth")
    digest = hashlib.sha256((folder / "made.pth").read_bytes()).hexdigest()
    path = folder / f"{name.rpartition('-')[0]}-{digest[:8]}.pth"
    (folder / "made.pth").rename(path)
    monkeypatch.setitem(PUBLISHED, path.name, PUBLISHED[name])
    return path


@pytest.mark.parametrize("name", PEERS)
def test_converted_networks_compute_what_torchvisions_do(name, small, tmp_path, monkeypatch):
    peer = small(name)
    source = published(peer, tmp_path, name, monkeypatch)
    target = tmp_path / "w.safetensors"
    assert main([str(source), str(target)]) == 0
    ours = registry.from_spec("models", PUBLISHED[name]).build((3, 224, 224), 5)
    give(ours, WeightsFile(path=target.name).read(tmp_path), target.name)
    x = torch.rand((1, 3, 224, 224), generator=torch.Generator().manual_seed(1))
    normalise = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(x), peer(normalise(x)), rtol=1e-3, atol=1e-4)
    assert read_tensors(target, "weights")[1].params == {"source": source.name}


def test_the_files_are_those_that_torchvision_fetches():
    urls = {
        weights.url.rpartition("/")[2]
        for kind in ("resnet50", "vgg16", "vgg16_bn")
        for weights in torchvision.models.get_model_weights(kind)
    }
    assert urls - PUBLISHED.keys() == {"vgg16_features-amdegroot-88682ab5.pth"}
    assert PUBLISHED.keys() <= urls


def test_another_file_is_refused_by_name_and_by_digest(tmp_path):
    for name, said in {
        "mine.pth": "no file of these is known by that name: resnet50-0676ba61.pth, ",
        "resnet50-0676ba61.pth": "SHA-256 begins with 9a129038, not 0676ba61: get it again",
    }.items():
        path = tmp_path / name
        path.write_bytes(b"weights")
        with pytest.raises(DataError, match=f"{name}: {said}"):
            converted(path)
        assert said in str(main([str(path), str(tmp_path / "w.safetensors")]))
    assert not (tmp_path / "w.safetensors").exists()


def test_nothing_but_tensors_is_loaded(tmp_path, monkeypatch):
    class Bomb:
        def __reduce__(self):
            return print, ("loaded",)

    torch.save({"conv1.weight": Bomb()}, tmp_path / "made.pth")
    digest = hashlib.sha256((tmp_path / "made.pth").read_bytes()).hexdigest()
    path = tmp_path / f"resnet50-{digest[:8]}.pth"
    (tmp_path / "made.pth").rename(path)
    monkeypatch.setitem(PUBLISHED, path.name, PUBLISHED["resnet50-0676ba61.pth"])
    with pytest.raises(DataError, match="cannot be read"):
        converted(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"more": torch.zeros(3)}, r"tensors are there, of a network that has"),
        ({"fc.bias": torch.zeros(3)}, r"fc\.bias, \(3,\), stands where \d+\.bias of ours does"),
    ],
)
def test_weights_of_another_network_are_refused(small, tmp_path, monkeypatch, changes, said):
    name = "resnet50-0676ba61.pth"
    path = published(small(name), tmp_path, name, monkeypatch, **changes)
    with pytest.raises(DataError, match=said):
        converted(path)


def test_the_command_says_what_it_takes():
    done = subprocess.run(
        [sys.executable, "-m", "advsparse.published_weights"], capture_output=True, text=True
    )
    assert done.returncode == 1 and "vgg16_bn-6c64b313.pth" in done.stderr


# What a network is given.


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("weight"), "has no weight, which the network has"),
        (lambda t: t.update(more=t["bias"]), "has more, which the network has not"),
        (lambda t: t.update(bias=torch.zeros(3)), r"bias is of shape \(3,\), in .* of \(2,\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(change, said):
    model = torch.nn.Linear(4, 2)
    tensors = dict(torch.nn.Linear(4, 2).state_dict())
    change(tensors)
    before = json.dumps(model.weight.tolist())
    with pytest.raises(DataError, match=f"^file: {said}"):
        give(model, tensors, "file")
    assert json.dumps(model.weight.tolist()) == before


def test_a_file_of_weights_is_checked_and_told_apart(tmp_path):
    from safetensors.torch import save_file

    tensors = torch.nn.Linear(4, 2).state_dict()
    save_file(tensors, tmp_path / "w.safetensors")
    digest = hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest()
    pinned = WeightsFile(path="w.safetensors", sha256=digest)
    assert torch.equal(pinned.read(tmp_path)["bias"], tensors["bias"])
    assert pinned.contents(tmp_path) is None
    wrong = WeightsFile(path="w.safetensors", sha256=digest[::-1])
    with pytest.raises(DataError, match="correct sha256 in the configuration, or the file"):
        wrong.read(tmp_path)
    free = WeightsFile(path="w.safetensors")
    first = free.contents(tmp_path)
    (tmp_path / "w.safetensors").write_bytes(b"x")
    assert first != free.contents(tmp_path)
    with pytest.raises(DataError, match=r"w\.safetensors: cannot be read"):
        free.read(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        WeightsFile(path="none").read(tmp_path)
    assert WeightsFile(path="none").contents(tmp_path) is None
