"""Adversarial training behind a defence: images are attacked, then transformed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from test_training_scripts import run

from advsparse import registry
from advsparse.artifacts import make_metadata, write_arrays
from advsparse.attacks.adaptive import Adaptive
from advsparse.attacks.pgd import PGD
from advsparse.config.loading import load
from advsparse.config.plan import Plan
from advsparse.data._base import Splits
from advsparse.data._io import save_dataset
from advsparse.data._pixels import channel_statistics, floats
from advsparse.defenses._io import seen_by, trained_behind
from advsparse.defenses.jpeg import JPEG
from advsparse.defenses.reconstruction_error import ReconstructionError
from advsparse.defenses.thermometer import Thermometer
from advsparse.defenses.tvm import TVM
from advsparse.models._io import classes_of, load_classifier
from advsparse.stages._graph import Graph
from advsparse.stages._stage import Job

ATTACK = {"kind": "pgd", "norm": "linf", "eps": 0.15, "steps": 5}
CODE = Thermometer(levels=8)


def stored(path, method):
    params = {"method": registry.spec_of(method)}
    write_arrays(path, {}, make_metadata("defense", params=params, code="", seed=0))
    return path


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "digits.safetensors"
    found = load_digits()
    x = np.round(found.images / 16 * 255).astype(np.uint8)[:, None]
    splits = Splits(
        x[:1200], found.target[:1200], x[1200:], found.target[1200:], tuple("0123456789")
    )
    save_dataset(path, splits, make_metadata("dataset", params={}, code="", seed=0))
    return path, splits


def test_images_are_attacked_and_not_their_codes(digits, tmp_path):
    path, splits = digits
    defense = stored(tmp_path / "code.npz", CODE)
    training = {"epochs": 8, "batch_size": 50, "learning_rate": 0.003}
    settings = {"seed": 1, "threads": 1, "defense": "code"}
    settings["architecture"] = {"kind": "feedforward", "hidden": [64]}
    x = floats(torch.from_numpy(splits.x_test[:300]))
    y = torch.from_numpy(splits.y_test[:300])
    judge = Adaptive(attack=PGD(eps=0.15, steps=20))
    robust = {}
    for name, attack in (("plain", {**ATTACK, "eps": 0.0}), ("hardened", ATTACK)):
        adversarial = {"attack": {"kind": "adaptive", "attack": attack}}
        told = settings | {"training": training | {"adversarial": adversarial}}
        output = tmp_path / f"{name}.safetensors"
        run("train_classifier.py", output, told, dataset=path, defense=defense)
        model, metadata = load_classifier(output)
        assert metadata.extra["network"]["shape"] == [8, 8, 8]
        assert (classes_of(model, splits.x_test) == splits.y_test).mean() > 0.85
        robust[name] = float((~judge(model, x, y).success).float().mean())
    assert robust["hardened"] > robust["plain"] + 0.15


def test_the_network_is_normalised_by_what_it_sees(digits):
    _, splits = digits
    network = torch.nn.Identity()
    defended = trained_behind(CODE, network, {}, seed=0, device="cpu")
    found = channel_statistics(seen_by(defended, splits.x_train, "cpu"))
    codes = CODE.transformation({})(floats(torch.from_numpy(splits.x_train))).double()
    np.testing.assert_allclose(found[0], codes.mean((0, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(found[1], codes.std((0, 2, 3), correction=0), atol=1e-6)


def test_what_is_drawn_in_training_is_not_drawn_in_evaluation():
    network, method = torch.nn.Flatten(), TVM(iterations=5)
    x = torch.rand(2, 1, 8, 8)
    trained = trained_behind(method, network, {}, seed=3, device="cpu")
    again = trained_behind(method, network, {}, seed=3, device="cpu")
    assert torch.equal(trained(x), again(x))
    assert not torch.equal(trained(x), method.wrap(network, {}, seed=3)(x))
    assert trained_behind(ReconstructionError(), network, {}, seed=3, device="cpu") is None


def test_no_transformed_images_are_kept_for_it(tmp_path):
    text = (
        "{papers: [frecon2021], settings: {frecon2021: {"
        "defenses: {jpeg: {method: {kind: jpeg}, dataset: cifar10}}, "
        "models: {own: {dataset: cifar10, architecture: {kind: lenet}, defense: jpeg%s}}}}}"
    )
    needs = {}
    for name, more in (
        ("plain", ""),
        ("hardened", ", training: {adversarial: {attack: {kind: fgsm, eps: 0.1}}}"),
    ):
        path = tmp_path / f"{name}.yaml"
        path.write_text(text % more)
        graph = Graph(Plan(load([path])))
        needs[name] = set(graph.needs(Job("classifier", "own", "frecon2021")))
        modules = graph.modules(Job("classifier", "own", "frecon2021"))
        assert registry.module_of(JPEG()) in modules
    assert needs["plain"] == {"dataset", "defense", "transformed"}
    assert needs["hardened"] == {"dataset", "defense"}
