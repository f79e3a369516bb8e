"""Defences through the whole pipeline: learned, put to classifiers, attacked, counted, rerun."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from test_build import results

from advsparse.artifacts import Slices, read_arrays, read_rows
from advsparse.data._io import load_dataset
from advsparse.lazy import torch
from advsparse.models._io import classes_of, excesses, load_classifier
from project import Project, copy_sources

PLACES = ("tvm", "jpeg", "crops", "pruned", "detector")
CONFIGURATION = """
settings:
  matrix:
    attacks:
      universal:
        method: {kind: adaptive, attack: {kind: uap, norm: l2, eps: 1.0, passes: 1}, samples: 2}
        model: pruned
        learn_from: clean
        images: attacked
    experiments:
      learned: [universal]
"""
ROWS = [f"results/test/matrix/rows/{name}.csv" for name in ("static", "adapted")]
LEARNED, TABLE = "results/test/matrix/rows/learned.csv", "results/test/matrix/tables/defenses.csv"


@pytest.fixture(scope="module")
def defended(tmp_path_factory) -> Project:
    """Defences of each kind, and the table of them, built. Not to be changed."""
    project = copy_sources(tmp_path_factory.mktemp("defended"), "matrix")
    project.configure(CONFIGURATION)
    project.snakemake(TABLE, LEARNED)
    return project


def rows_of(project, experiment):
    return read_rows(results(project) / f"matrix/rows/{experiment}.csv", stage="rows")[0]


def value(rows, **which) -> float:
    for column, wanted in which.items():
        rows = rows[rows[column] == wanted]
    (found,) = rows["value"]
    return found


def test_rows_name_the_defence_and_count_as_its_place_has_it(defended):
    folder = results(defended) / "matrix"
    data = load_dataset(results(defended) / "datasets/photos.safetensors")
    rows, labels = rows_of(defended, "static"), data.labels("test")
    for model in ("plain", "again", "adversarial", *PLACES):
        defense = model if model in PLACES else "none"
        assert set(rows[rows["model"] == model]["defense"]) == {defense}
        network, _ = load_classifier(folder / f"classifiers/{model}.safetensors")
        right = classes_of(network, data.x_test) == labels
        excess = excesses(network, data.x_test)
        assert (excess is not None) == (model == "detector")
        if excess is not None:
            right &= excess <= 0
            refused = value(rows, model=model, attack="none", metric="refused")
            assert refused == np.mean(excess > 0)
        assert value(rows, model=model, attack="none", metric="accuracy") == np.mean(right)
    # Of attacked images, those that are refused count as right.
    attacked, _ = read_arrays(folder / "attacks/pgd_detector.npz", stage="attack")
    network, _ = load_classifier(folder / "classifiers/detector.safetensors")
    excess = excesses(network, attacked["x_adv"])
    held = (classes_of(network, attacked["x_adv"]) == attacked["label"]) | (excess > 0)
    adapted = rows_of(defended, "adapted")
    assert value(adapted, attack="pgd_detector", metric="accuracy") == np.mean(held)
    assert 0 <= value(adapted, attack="pgd_detector", metric="auc") <= 1
    assert set(rows_of(defended, "learned")["metric"]) >= {"fooling_rate", "rmse"}


def test_networks_are_those_of_others_or_trained_on_what_the_defence_makes_of_images(defended):
    folder = results(defended) / "matrix"
    plain = load_classifier(folder / "classifiers/plain.safetensors")[0].state_dict()
    for model in PLACES:
        network, metadata = load_classifier(folder / f"classifiers/{model}.safetensors")
        weights = network.model.state_dict()
        same = all(torch.equal(tensor, weights[name]) for name, tensor in plain.items())
        assert same == (model != "tvm")
        assert metadata.extra["defense"]["name"] == model
    stored = Slices(folder / "transformed/tvm.safetensors", "transformed")
    images = load_dataset(results(defended) / "datasets/photos.safetensors").x_train
    assert stored["x_train"].shape == images.shape
    assert stored.metadata.extra["stored"] == "uint8"
    assert not np.array_equal(stored["x_train"][:], images[:])
    assert not (folder.parent / "checkpoints/matrix/transformed/tvm").exists()


def test_a_change_of_a_defence_reruns_what_is_made_of_it_alone(defended, tmp_path):
    assert defended.jobs("--", *ROWS) == set()
    project = Project(tmp_path / "project")
    shutil.copytree(defended.path, project.path, symlinks=True)
    configuration = project.path / "config.yaml"
    text = configuration.read_text()
    change = "settings:\n  matrix:\n    defenses: {%s: {method: {%s}}}\n"
    evaluated = {"evaluate_attacks static", "evaluate_attacks adapted"}
    configuration.write_text(
        text.replace("settings:\n  matrix:\n", change % ("jpeg", "quality: 30"))
    )
    assert project.jobs("--", *ROWS) == evaluated | {
        "fit_defense jpeg",
        "train_classifier jpeg",
        "run_attack fgsm_jpeg",
        "run_attack pgd_jpeg",
    }
    change = change % ("tvm", "iterations: 6")
    configuration.write_text(text.replace("settings:\n  matrix:\n", change))
    assert project.jobs("--", *ROWS) == evaluated | {
        "fit_defense tvm",
        "transform_images tvm",
        "train_classifier tvm",
        "run_attack fgsm_tvm",
        "run_attack pgd_tvm",
    }


def test_the_table_shows_each_defence_against_each_attack(defended):
    frame = pd.read_csv(defended.path / TABLE)
    shown = yaml.safe_load((defended.path / "workflow/papers/matrix/paper.yaml").read_text())
    assert list(frame["defence"]) == list(shown["tables"]["defenses"]["options"]["shown"].values())
    assert set(frame["images"]) == {8}
    static, adapted = rows_of(defended, "static"), rows_of(defended, "adapted")
    of_tvm = frame.iloc[2]
    assert of_tvm["PGD, static"] == value(static, model="tvm", attack="pgd", metric="accuracy")
    assert of_tvm["PGD, adaptive"] == value(adapted, attack="pgd_tvm", metric="accuracy")
    against = frame[[column for column in frame.columns if "," in column]].min(axis=1)
    assert (frame["against all"] <= against).all() and (frame["ci_low"] < frame["ci_high"]).all()


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
