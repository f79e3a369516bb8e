"""Defences through the whole pipeline: learned, put to classifiers, attacked, counted, rerun."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from test_build import results

from advsparse.artifacts import Slices, read_arrays, read_rows
from advsparse.data._io import load_dataset
from advsparse.lazy import torch
from advsparse.models._io import classes_of, excesses, load_classifier
from project import Project, copy_sources

PLACES = {"retrained": "tvm", "in_front": "jpeg", "ensemble": "crops", "inside": "sap",
          "beside": "magnet"}  # fmt: skip
ADAPTIVE = "{kind: adaptive, attack: {kind: pgd, eps: 0.03, steps: 5}, samples: 2}"
CONFIGURATION = """
settings:
  frecon2021:
    images:
      clean: {split: train, count: 40}
    defenses:
      tvm: {method: {kind: tvm, iterations: 5}, dataset: cifar10}
      jpeg: {method: {kind: jpeg}, dataset: cifar10}
      crops: {method: {kind: crop_ensemble, draws: 3, fraction: 0.8}, dataset: cifar10}
      sap: {method: {kind: sap}, dataset: cifar10}
      magnet:
        method: {kind: reconstruction_error, epochs: 2, rate: 0.1}
        dataset: cifar10
        learn_from: clean
    models:
      plain: &plain {dataset: cifar10, architecture: {kind: lenet}, training: {epochs: 2}}
      retrained: {<<: *plain, defense: tvm}
      in_front: {dataset: cifar10, weights_of: plain, defense: jpeg}
      ensemble: {dataset: cifar10, weights_of: plain, defense: crops}
      inside: {dataset: cifar10, weights_of: plain, defense: sap}
      beside: {dataset: cifar10, weights_of: plain, defense: magnet}
    attacks:
      static: {method: {kind: pgd, eps: 0.03, steps: 5}, model: plain, images: unseen}
"""
for _name in PLACES:
    CONFIGURATION += f"      on_{_name}: {{method: {ADAPTIVE}, model: {_name}, images: unseen}}\n"
CONFIGURATION += f"""\
      universal:
        method: {ADAPTIVE.replace("pgd, eps: 0.03, steps: 5", "uap, eps: 1.0, passes: 1")}
        model: inside
        learn_from: learning
        images: unseen
    experiments:
      static: {{attacks: [static], models: [plain, {", ".join(PLACES)}]}}
      adapted: [{", ".join(f"on_{name}" for name in PLACES)}, universal]
"""
ROWS = [f"results/test/frecon2021/rows/{name}.csv" for name in ("static", "adapted")]


@pytest.fixture(scope="module")
def defended(tmp_path_factory) -> Project:
    """Defences of each kind, built. Not to be changed."""
    project = copy_sources(tmp_path_factory.mktemp("defended"))
    project.configure(CONFIGURATION)
    project.snakemake(*ROWS)
    return project


def rows_of(project, experiment):
    return read_rows(results(project) / f"frecon2021/rows/{experiment}.csv", stage="rows")[0]


def value(rows, **which) -> float:
    for column, wanted in which.items():
        rows = rows[rows[column] == wanted]
    (found,) = rows["value"]
    return found


def test_rows_name_the_defence_and_count_as_its_place_has_it(defended):
    folder = results(defended) / "frecon2021"
    data = load_dataset(results(defended) / "datasets/photos.safetensors")
    rows, labels = rows_of(defended, "static"), data.labels("test")
    for model, defense in {"plain": "none", **PLACES}.items():
        assert set(rows[rows["model"] == model]["defense"]) == {defense}
        network, _ = load_classifier(folder / f"classifiers/{model}.safetensors")
        right = classes_of(network, data.x_test) == labels
        excess = excesses(network, data.x_test)
        assert (excess is not None) == (model == "beside")
        if excess is not None:
            right &= excess <= 0
            refused = value(rows, model=model, attack="none", metric="refused")
            assert refused == np.mean(excess > 0)
        assert value(rows, model=model, attack="none", metric="accuracy") == np.mean(right)
    # Of attacked images, those that are refused count as right.
    attacked, _ = read_arrays(folder / "attacks/on_beside.npz", stage="attack")
    network, _ = load_classifier(folder / "classifiers/beside.safetensors")
    excess = excesses(network, attacked["x_adv"])
    held = (classes_of(network, attacked["x_adv"]) == attacked["label"]) | (excess > 0)
    adapted = rows_of(defended, "adapted")
    assert value(adapted, attack="on_beside", metric="accuracy") == np.mean(held)
    assert 0 <= value(adapted, attack="on_beside", metric="auc") <= 1
    assert set(adapted[adapted["attack"] == "universal"]["metric"]) >= {"fooling_rate", "rmse"}


def test_networks_are_those_of_others_or_trained_on_what_the_defence_makes_of_images(defended):
    folder = results(defended) / "frecon2021"
    plain = load_classifier(folder / "classifiers/plain.safetensors")[0].state_dict()
    for model in PLACES:
        network, metadata = load_classifier(folder / f"classifiers/{model}.safetensors")
        weights = network.model.state_dict()
        same = all(torch.equal(tensor, weights[name]) for name, tensor in plain.items())
        assert same == (model != "retrained")
        assert metadata.extra["defense"]["name"] == PLACES[model]
    stored = Slices(folder / "transformed/tvm.safetensors", "transformed")
    images = load_dataset(results(defended) / "datasets/photos.safetensors").x_train
    assert stored["x_train"].shape == images.shape
    assert stored.metadata.extra["stored"] == "uint8"
    assert not np.array_equal(stored["x_train"][:], images[:])
    assert not (folder.parent / "checkpoints/frecon2021/transformed/tvm").exists()


def test_a_change_of_a_defence_reruns_what_is_made_of_it_alone(defended, tmp_path):
    assert defended.jobs("--", *ROWS) == set()
    project = Project(tmp_path / "project")
    shutil.copytree(defended.path, project.path, symlinks=True)
    configuration = project.path / "config.yaml"
    text = configuration.read_text()
    configuration.write_text(text.replace("{kind: jpeg}", "{kind: jpeg, quality: 30}"))
    evaluated = {"evaluate_attacks static", "evaluate_attacks adapted"}
    assert project.jobs("--", *ROWS) == evaluated | {
        "fit_defense jpeg",
        "train_classifier in_front",
        "run_attack on_in_front",
    }
    configuration.write_text(text.replace("iterations: 5", "iterations: 6"))
    assert project.jobs("--", *ROWS) == evaluated | {
        "fit_defense tvm",
        "transform_images tvm",
        "train_classifier retrained",
        "run_attack on_retrained",
    }


def test_a_defence_of_ones_own_is_one_module(sources):
    levels = sources.path / "workflow/advsparse/defenses/levels.py"
    levels.write_text(
        '"""Pixels rounded to a few levels."""\n\n'
        "from advsparse.defenses._base import Transformation\n"
        "from advsparse.settings import PositiveInt, settings\n\n\n"
        "@settings\nclass Levels(Transformation):\n"
        '    """t(x) is the multiple of 1 / steps that is nearest to x."""\n\n'
        '    backward = "identity"\n    steps: PositiveInt = 15\n\n'
        "    def transformation(self, learned):\n"
        "        return lambda x: (x * self.steps).round() / self.steps\n"
    )
    sources.configure("""
settings:
  frecon2021:
    defenses: {levels: {method: {kind: levels, steps: 3}, dataset: cifar10}}
    models: {own: {dataset: cifar10, weights_of: lenet, defense: levels}}
""")
    target = "results/test/frecon2021/classifiers/own.safetensors"
    sources.snakemake(target)
    model, _ = load_classifier_of(sources, target)
    assert model == {"kind": "levels", "steps": 3}


def load_classifier_of(project, target):
    """What an artifact says of its defence: its module is not in this process's library."""
    from advsparse.artifacts import read_tensors

    tensors, metadata = read_tensors(project.path / target, stage="classifier")
    assert all(name.startswith("network.") for name in tensors)
    return metadata.extra["defense"]["method"], metadata
