"""Classifiers that are trained on images which an attack has made beforehand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_training_scripts import TRAINING, dataset, run  # noqa: F401 - a fixture

from advsparse.artifacts import make_metadata, write_arrays
from advsparse.config.loading import load
from advsparse.config.plan import Plan
from advsparse.errors import ConfigError
from advsparse.models._io import classes_of, load_classifier
from advsparse.stages._graph import Graph
from advsparse.stages._stage import Job

IN = "{papers: [frecon2021], settings: {frecon2021: {%s}}}"
SEEN = (
    "images: {seen: {split: train, count: 9}}, "
    "defenses: {jpeg: {method: {kind: jpeg}, dataset: cifar10}}"
)
ATTACK = "attacks: {a: {method: {kind: fgsm, eps: 0.1}, model: %s, images: %s}}"
MODEL = "models: {own: {dataset: %s, %s}}"
TAUGHT = "architecture: {kind: lenet}, adversarial_set: a"


@pytest.fixture
def plan(tmp_path):
    def plan(*parts):
        path = tmp_path / "config.yaml"
        path.write_text(IN % ", ".join((SEEN, *parts)))
        return Plan(load([path]))

    return plan


def test_it_reads_the_images_of_the_attack_and_runs_none_of_its_code(plan):
    graph = Graph(plan(ATTACK % ("lenet", "seen"), MODEL % ("cifar10", TAUGHT)))
    job = Job("classifier", "own", "frecon2021")
    assert graph.needs(job) == {
        "dataset": Job("dataset", "photos"),
        "adversarial_set": Job("attack", "a", "frecon2021"),
    }
    before = graph.before(job)
    assert before.index(Job("classifier", "lenet", "frecon2021")) < before.index(job)
    assert "advsparse.attacks.fgsm" not in graph.modules(job)


@pytest.mark.parametrize(
    ("attack", "model", "said"),
    [
        (("lenet", "unseen"), ("cifar10", TAUGHT), "which a classifier is not to have seen"),
        (("lenet", "seen"), ("mnist", TAUGHT), "'a' is of other images"),
        (("lenet", "seen, grid: {eps: [0.1, 0.2]}"), ("cifar10", TAUGHT), "is a grid: a class"),
        (("own", "seen"), ("cifar10", TAUGHT), "'a' is made of 'own' itself"),
        (
            ("lenet", "seen"),
            ("cifar10", f"{TAUGHT}, defense: jpeg"),
            "is of images as 'jpeg' does not let them pass",
        ),
        (
            ("lenet", "seen"),
            ("cifar10", "weights_of: lenet, defense: jpeg, adversarial_set: a"),
            "adversarial_set: is that of the classifier whose weights it takes",
        ),
        (
            ("lenet", "seen"),
            ("cifar10", TAUGHT + ", weights: {path: w.npz}"),
            "adversarial_set: weights are given, so that nothing is trained",
        ),
        (("lenet", "seen"), ("cifar10", TAUGHT + "b"), "no attack 'ab'"),
    ],
)
def test_what_does_not_fit_is_named(plan, attack, model, said):
    with pytest.raises(ConfigError) as caught:
        plan(ATTACK % attack, MODEL % model)
    assert "models.own" in str(caught.value) and said in str(caught.value), caught.value


def test_a_way_round_is_found_however_long_it_is(plan):
    models = (
        "models: {own: {dataset: cifar10, %s}, "
        "next: {dataset: cifar10, architecture: {kind: lenet}, starts_from: own}, "
        "last: {dataset: cifar10, architecture: {kind: lenet}, starts_from: next}}"
    )
    with pytest.raises(ConfigError, match=r"own\.adversarial_set: 'a' is made of 'own'"):
        plan(ATTACK % ("last", "seen"), models % TAUGHT)
    carried = (
        "attacks: {a: {method: {kind: uap, eps: 0.1}, model: lenet, surrogate: last, "
        "images: seen, learn_from: unseen}}"
    )
    with pytest.raises(ConfigError, match=r"own\.adversarial_set: 'a' is made of 'own'"):
        plan(carried, models % TAUGHT)
    assert plan(ATTACK % ("lenet", "seen"), models % TAUGHT)


def test_a_network_learns_from_both_sets(dataset, tmp_path):  # noqa: F811
    path, splits = dataset
    # Lit from below, as no image of the dataset is.
    x = np.full((60, 1, 8, 8), 0.9, dtype=np.float32)
    x[:, :, :4] = np.random.default_rng(1).random((60, 1, 4, 8), dtype=np.float32) / 5
    arrays = {"x_adv": x[:50], "label": np.ones(50, dtype=np.int64)}
    made = tmp_path / "attack.npz"
    write_arrays(made, arrays, make_metadata("attack", params={}, code="", seed=0))
    settings = {"training": TRAINING | {"epochs": 12, "examples": 110}, "seed": 1, "threads": 1}
    settings["architecture"] = {"kind": "wideresnet", "depth": 10, "width": 1}
    models = {}
    for name, inputs in {"plain": {}, "taught": {"adversarial_set": made}}.items():
        output = tmp_path / f"{name}.safetensors"
        run("train_classifier.py", output, settings, dataset=path, **inputs)
        models[name], _ = load_classifier(output)
        assert (classes_of(models[name], splits.x_test) == splits.y_test).mean() > 0.9
    with torch.no_grad():
        sure = {name: model(torch.from_numpy(x[50:])).softmax(1)[:, 1].mean()
                for name, model in models.items()}  # fmt: skip
    assert sure["taught"] > 0.9 and sure["plain"] < 0.5
    # The images are normalised by those of the dataset.
    assert torch.equal(models["plain"].normalise.mean, models["taught"].normalise.mean)
