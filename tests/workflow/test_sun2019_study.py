"""A part of sun2019 through the pipeline: networks retrained behind defences, and beside them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from test_build import results

from advsparse.artifacts import Slices, read_arrays
from advsparse.data._io import load_dataset
from advsparse.data._selection import choose
from advsparse.defenses._io import load_defense
from advsparse.models._io import load_classifier, predict
from papers.sun2019.found import DEFENSES
from project import Project, copy_sources

FOLDER = "results/test/sun2019"
TARGETS = [
    *(f"{FOLDER}/tables/{name}.csv" for name in ("retrained_cifar10", "behind_cifar10")),
    *(f"{FOLDER}/figures/{name}.csv" for name in ("reconstructions_cifar10", "penalties")),
    *(f"{FOLDER}/figures/{name}.csv" for name in ("pipeline", "clusters", "filters_by_size")),
]


@pytest.fixture(scope="module")
def studied(tmp_path_factory) -> Project:
    """Tables 1 and 5, and figures 2, 4, 5, 9 and 10, built. Not to be changed."""
    project = copy_sources(tmp_path_factory.mktemp("sun"), "sun2019")
    project.snakemake(*TARGETS)
    return project


def table(project, name) -> pd.DataFrame:
    return pd.read_csv(results(project) / f"sun2019/tables/{name}.csv").set_index("defence")


def test_retrained_networks_judge_what_was_made_on_the_undefended_one(studied):
    folder = results(studied) / "sun2019"
    attacked, _ = read_arrays(folder / "attacks/bim_cifar10.npz", stage="attack")
    x, label = (torch.from_numpy(attacked[name]) for name in ("x_adv", "label"))
    found = table(studied, "retrained_cifar10")
    for name in ("vgg", "stl", "magnet", "stl_cluster"):
        model, _ = load_classifier(folder / f"classifiers/{name}_cifar10.safetensors")
        right = (predict(model, x) == label).float().mean().item()
        called = DEFENSES["none" if name == "vgg" else name]
        assert found["BIM-0.03"][called] == pytest.approx(right)
    adaptive = found["adaptive"].dropna()
    assert set(adaptive.index) == set(found.index)
    assert (found["FGSM-0.08, paper"].dropna().index == list(map(DEFENSES.get, SHOWN))).all()


SHOWN = ("none", "magnet", "pixel_defend", "stl", "stl_cluster")


def test_networks_learn_from_some_transformed_images(studied):
    folder = results(studied) / "sun2019"
    rows = Slices(folder / "transformed/stl_cifar10.safetensors", stage="transformed")
    data = load_dataset(results(studied) / "datasets/photos.safetensors")
    chosen = rows.metadata.params["images"]
    assert len(rows["x_train"]) == chosen["count"] == 32
    index = choose(len(data.labels("train")), **chosen)
    defense, learned, _ = load_defense(folder / "defenses/stl_cifar10.npz")
    with torch.no_grad():
        x = torch.from_numpy(data.images("train", index[:3]))
        expected = (defense.transformation(learned)(x) * 255).round().numpy()
    assert np.abs(rows["x_train"][:3].astype(int) - expected).max() <= 1


def test_transformations_stand_in_front_of_the_undefended_network(studied):
    folder = results(studied) / "sun2019"
    arrays, _ = read_arrays(folder / "analyses/transformations_cifar10.npz", stage="analysis")
    found = table(studied, "behind_cifar10")
    model, _ = load_classifier(folder / "classifiers/vgg_cifar10.safetensors")
    attacked, _ = read_arrays(folder / "attacks/bim_cifar10.npz", stage="attack")
    defense, learned, _ = load_defense(folder / "defenses/magnet_cifar10.npz")
    with torch.no_grad():
        made = defense.transformation(learned)(torch.from_numpy(attacked["x_adv"]))
    right = (predict(model, made).numpy() == attacked["label"]).mean()
    assert found["BIM-0.03"]["MagNet"] == pytest.approx(right)
    assert set(map(str, arrays["sources"])) == {
        "clean",
        "bim_cifar10",
        *(f"fgsm_cifar10/eps={eps}" for eps in (0.08, 0.04, 0.12, 0.2)),
        *(f"{kind}_cifar10/extended={e}" for kind in ("deepfool", "cw") for e in (False, True)),
    }


def test_figures_say_what_they_show(studied):
    folder = results(studied) / "sun2019/figures"
    shown = pd.read_csv(folder / "reconstructions_cifar10.csv")
    assert set(shown["defence"]) == {"adversarial", "MagNet", "PixelDefend", "STL (cluster)"}
    weights = pd.read_csv(folder / "penalties.csv")
    assert set(weights["weight"]) == {0.0, 0.1, 0.3}
    assert weights["accuracy"].between(0, 1).all()
    clusters = pd.read_csv(folder / "clusters.csv")
    assert clusters["images"].sum() == 4
    sizes = pd.read_csv(folder / "filters_by_size.csv")
    assert set(sizes["filters"]) == {"size_4", "stl", "size_12"}
    for name in ("pipeline", "clusters", "penalties"):
        assert (folder / f"{name}.png").stat().st_size > 5000
