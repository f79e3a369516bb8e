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
from advsparse.data._selection import choose
from advsparse.lazy import torch
from advsparse.models._io import classes_of, excesses, load_classifier
from project import Project, copy_sources

PLACES = ("tvm", "jpeg", "crops", "pruned", "detector")
SMALL = ("small", "small_adversarial")
"""Networks that certificates are made for."""
KINDS, BUDGETS = ("fgsm", "pgd"), ("0.00784314", "0.0156863")
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
ROWS = [
    f"results/test/matrix/rows/{how}_{model}.csv"
    for model in ("plain", "again", "adversarial", *PLACES, *SMALL)
    for how in ("adapted", "carried")
]
LEARNED, TABLE = "results/test/matrix/rows/learned.csv", "results/test/matrix/tables/matrix.csv"


@pytest.fixture(scope="module")
def defended(tmp_path_factory) -> Project:
    """Defences of each kind, and the table of them, built. Not to be changed."""
    project = copy_sources(tmp_path_factory.mktemp("defended"), "matrix")
    project.configure(CONFIGURATION)
    project.snakemake(TABLE, LEARNED)
    return project


def rows_of(project, experiment):
    return read_rows(results(project) / f"matrix/rows/{experiment}.csv", stage="rows")[0]


def judged_images(project, count):
    """The places of the test images that clean accuracy is measured on."""
    _, metadata = read_rows(results(project) / "matrix/rows/adapted_plain.csv", stage="rows")
    return choose(count, **metadata.params["clean"]["photos"])


def value(rows, **which) -> float:
    for column, wanted in which.items():
        rows = rows[rows[column] == wanted]
    (found,) = rows["value"]
    return found


def test_rows_name_the_defence_and_count_as_its_place_has_it(defended):
    folder = results(defended) / "matrix"
    data = load_dataset(results(defended) / "datasets/photos.safetensors")
    chosen = judged_images(defended, len(data.labels("test")))
    labels = data.labels("test")[chosen]
    images = data.x_test[chosen]
    for model in ("plain", "again", "adversarial", *PLACES):
        rows = rows_of(defended, f"adapted_{model}")
        defense = model if model in PLACES else "none"
        assert set(rows[rows["model"] == model]["defense"]) == {defense}
        network, _ = load_classifier(folder / f"classifiers/{model}.safetensors")
        right = classes_of(network, images) == labels
        excess = excesses(network, images)
        assert (excess is not None) == (model == "detector")
        if excess is not None:
            right &= excess <= 0
            refused = value(rows, model=model, attack="none", metric="refused")
            assert refused == np.mean(excess > 0)
        assert value(rows, model=model, attack="none", metric="accuracy") == np.mean(right)
    # Of attacked images, those that are refused count as right.
    id = "pgd_linf_for_detector/eps=0.0156863"
    attacked, _ = read_arrays(folder / f"attacks/{id}.npz", stage="attack")
    network, _ = load_classifier(folder / "classifiers/detector.safetensors")
    excess = excesses(network, attacked["x_adv"])
    held = (classes_of(network, attacked["x_adv"]) == attacked["label"]) | (excess > 0)
    adapted = rows_of(defended, "adapted_detector")
    assert value(adapted, attack=id, metric="accuracy") == np.mean(held)
    assert 0 <= value(adapted, attack=id, metric="auc") <= 1
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

    def made_of(model):
        attacks = [f"{kind}_linf_for_{model}/eps={e}" for kind in KINDS for e in BUDGETS]
        return {
            f"fit_defense {model}",
            f"train_classifier {model}",
            *(f"run_attack {id}" for id in [*attacks, f"fmn_l2_for_{model}"]),
            *(f"evaluate_attacks {how}_{model}" for how in ("adapted", "carried")),
        }

    configuration.write_text(
        text.replace("settings:\n  matrix:\n", change % ("jpeg", "quality: 30"))
    )
    assert project.jobs("--", *ROWS) == made_of("jpeg")
    change = change % ("tvm", "iterations: 6")
    configuration.write_text(text.replace("settings:\n  matrix:\n", change))
    assert project.jobs("--", *ROWS) == made_of("tvm") | {"transform_images tvm"}


def test_one_more_attack_builds_its_own_jobs_alone(defended, tmp_path):
    project = Project(tmp_path / "project")
    shutil.copytree(defended.path, project.path, symlinks=True)
    own = """
      "quiet_for_{model}":
        for_each: {model: [plain, jpeg]}
        method: {kind: adaptive, attack: {kind: noise, norm: linf, eps: 0.02}}
        model: "{model}"
        images: attacked
    experiments:
      own: [quiet_for_plain, quiet_for_jpeg]
"""
    configuration = project.path / "config.yaml"
    text = configuration.read_text()
    before, after = text.split("    experiments:\n")
    configuration.write_text(before.rstrip() + own + after)
    assert project.jobs("--", TABLE) == {
        "run_attack quiet_for_plain",
        "run_attack quiet_for_jpeg",
        "evaluate_attacks own",
        "make_table matrix",
    }


def test_the_table_shows_each_defence_against_each_attack(defended):
    frame = pd.read_csv(defended.path / TABLE)
    shown = yaml.safe_load((defended.path / "workflow/papers/matrix/paper.yaml").read_text())
    names = shown["tables"]["matrix"]["options"]["shown"]
    built = [names[model] for model in ("plain", "again", "adversarial", *PLACES, *SMALL)]
    assert list(dict.fromkeys(frame["defence"])) == built
    linf = frame[frame["norm"] == "linf"]
    assert set(linf["images"]) == {8} and len(linf) == 2 * len(built)
    of_tvm = linf[linf["defence"] == names["tvm"]].set_index("budget")
    adapted, carried = (rows_of(defended, f"{how}_tvm") for how in ("adapted", "carried"))
    id = "pgd_linf_for_{}/eps=0.0156863"
    most = of_tvm.index.max()
    assert of_tvm.loc[most, "PGD"] == value(adapted, attack=id.format("tvm"), metric="accuracy")
    ignored = value(carried, attack=id.format("plain"), metric="accuracy")
    assert of_tvm.loc[most, "static"] <= ignored
    against = linf[["static", "transferred", "FGSM", "PGD"]].min(axis=1)
    assert (linf["against all"] <= against).all() and (linf["ci_low"] < linf["ci_high"]).all()
    # What is certified of a network is the share of its own images, of which there are two here.
    certified = frame[frame["certified"].notna()]
    assert set(certified["defence"]) == {names[model] for model in SMALL}
    assert set(certified["norm"]) == {"linf"} and set(certified["certified"]) <= {0.0, 0.5, 1.0}
    for model in SMALL:
        proofs, _ = read_arrays(results(defended) / f"matrix/certificates/{model}.npz")
        right = proofs["prediction"] == proofs["label"]
        row = certified[certified["defence"] == names[model]].set_index("budget")["certified"]
        for budget, share in row.items():
            assert share == np.mean(right & (proofs["lower"] > budget))
    assert not frame["warnings"].fillna("").str.contains("proven not to be there").any()


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
