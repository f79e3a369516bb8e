"""A part of mitro2018 through the pipeline: two networks, dictionaries, denoising, maps."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_build import results

from advsparse.artifacts import read_arrays
from advsparse.data._io import load_dataset
from project import Project, copy_sources

FIGURES = ("dictionaries", "distributions", "examples", "maps_convnet_cifar10", "block")
TARGETS = [f"results/test/mitro2018/figures/{name}.csv" for name in FIGURES]


@pytest.fixture(scope="module")
def studied(tmp_path_factory) -> Project:
    """What two networks show, built. Not to be changed."""
    project = copy_sources(tmp_path_factory.mktemp("mitro"), "mitro2018")
    project.snakemake(*TARGETS, "results/test/mitro2018/tables/layers.csv")
    return project


def analysis(project, name):
    return read_arrays(results(project) / f"mitro2018/analyses/{name}.npz", stage="analysis")[0]


def test_fgsm_leaves_the_range_of_images_and_jsma_heads_for_wrong_classes(studied):
    folder = results(studied) / "mitro2018/attacks"
    attacked, metadata = read_arrays(
        folder / "fgsm_convnet_mnist/clamp=False_eps=0.3.npz", stage="attack"
    )
    assert metadata.params["against"] == "prediction"
    assert attacked["x_adv"].min() == pytest.approx(-0.3) and attacked["x_adv"].max() > 1.2
    jsma, _ = read_arrays(folder / "jsma_convnet_mnist/space=probabilities.npz", stage="attack")
    assert (jsma["target"] != jsma["label"]).all() and len(set(jsma["target"])) > 1
    assert np.array_equal(jsma["success"], jsma["prediction"] == jsma["target"])


def test_dictionaries_come_from_clean_and_from_perturbed_training_patches(studied):
    folder = results(studied) / "mitro2018/defenses"
    found = {}
    for name in ("denoiser_mnist", "denoiser_mnist_2", "perturbed_mnist", "denoiser_cifar10"):
        path = folder / f"{name}.npz"
        if path.exists():
            found[name] = read_arrays(path, stage="defense")[0]["dictionary"]
    assert found["denoiser_mnist"].shape == (49, 100)
    assert found["denoiser_cifar10"].shape == (147, 100)
    assert not np.allclose(found["denoiser_mnist"], found["perturbed_mnist"])
    atoms = pd.read_csv(studied.path / TARGETS[0])
    assert atoms["dictionary"].value_counts().to_dict() == {
        "denoiser_mnist": 100, "denoiser_cifar10": 100
    }  # fmt: skip


def test_images_are_denoised_and_measured(studied):
    seen = analysis(studied, "convnet_mnist")
    assert seen["transforms"].tolist() == [
        "none", "denoiser_mnist", *(f"denoiser_mnist:{n}" for n in (1, 2, 4, 8)),
        "perturbed_mnist", "mean_mnist", "median_mnist", "threshold_mnist",
    ]  # fmt: skip
    data = load_dataset(results(studied) / "datasets/digits.safetensors")
    assert np.array_equal(seen["label"], data.labels("test", seen["index"]))
    source = "fgsm_convnet_mnist/clamp=False_eps=0.3"
    # 38 atoms of 49 dimensions give an image back as it is; 2 take noise off.
    psnr = {t: seen[f"psnr:{source}:{t}"].mean() for t in seen["transforms"]}
    assert psnr["denoiser_mnist"] == pytest.approx(psnr["none"], abs=0.5)
    assert psnr["denoiser_mnist:2"] > psnr["none"] + 2
    examples = pd.read_csv(studied.path / TARGETS[2])
    assert set(examples["role"]) == {"MNIST", "CIFAR-10"} and len(examples) == 6


def test_figures_are_drawn(studied):
    for target in TARGETS:
        with Image.open((studied.path / target).with_suffix(".png")) as picture:
            assert np.asarray(picture.convert("L")).std() > 5
    maps = analysis(studied, "maps_convnet_cifar10")
    assert maps["map.attacked"].shape == (4, 32, 32) and maps["map.attacked"].max() <= 1
    layers = pd.read_csv(studied.path / "results/test/mitro2018/tables/layers.csv")
    assert list(layers.columns) == ["MLP", "ConvNet", "AutoEncoder", "ResNet", "HRNN"]
