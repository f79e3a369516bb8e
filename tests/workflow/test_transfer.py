"""Images made on one classifier and judged by others: their rows, and a judge that fails."""

from __future__ import annotations

import numpy as np
import pytest
from test_build import results

from advsparse.artifacts import read_arrays, read_rows
from advsparse.data._io import load_dataset
from advsparse.lazy import torch
from advsparse.models._io import load_classifier, predict
from project import Project

CONFIGURATION = """
settings:
  frecon2021:
    models:
      other: {dataset: cifar10, architecture: {kind: lenet}, training: {epochs: 3}}
    experiments:
      carried: {attacks: [deepfool, fgsm], models: [lenet, other]}
"""
FGSM = "fgsm/eps=0.0156863"


@pytest.fixture
def transferred(project) -> Project:
    project.configure(CONFIGURATION)
    return project


def rows_of(project):
    rows, _ = read_rows(results(project) / "frecon2021/rows/carried.csv", stage="rows")
    return rows


def test_rows_name_the_attacked_and_the_judging_model(transferred):
    before, _ = read_rows(results(transferred) / "frecon2021/rows/tradeoff.csv", stage="rows")
    transferred.snakemake("results/test/frecon2021/rows/carried.csv")
    rows = rows_of(transferred)
    made = rows[rows["attack"] != "none"]
    assert set(made["attacked"]) == {"lenet"} and set(rows["model"]) == {"lenet", "other"}
    # On its own network an attack is measured as ever.
    own = rows[(rows["model"] == "lenet") & (rows["attack"] == "deepfool")]
    known = before[before["attack"] == "deepfool"]
    assert dict(zip(own["metric"], own["value"], strict=True)) == dict(
        zip(known["metric"], known["value"], strict=True)
    )
    # On another one, as predictions of that network say.
    folder = results(transferred) / "frecon2021"
    model, _ = load_classifier(folder / "classifiers/other.safetensors")
    attacked, metadata = read_arrays(folder / f"attacks/{FGSM}.npz", stage="attack")
    data = load_dataset(results(transferred) / "datasets/photos.safetensors")
    clean = data.images(metadata.params["images"]["split"], attacked["index"])
    says = [predict(model, torch.from_numpy(x)).numpy() for x in (clean, attacked["x_adv"])]
    carried = rows[(rows["model"] == "other") & (rows["attack"] == FGSM)].set_index("metric")
    assert carried.at["fooling_rate", "value"] == np.mean(says[0] != says[1])
    assert carried.at["accuracy", "value"] == np.mean(says[1] == attacked["label"])
    # What an attack reached and cost is its own network's affair.
    assert not {"success_rate", "queries"} & set(carried.index)
    assert {"rmse", "rmse_returned", "warnings"} <= set(carried.index)


def test_a_judge_that_fails_leaves_gaps_of_its_own(transferred):
    text = (transferred.path / "config.yaml").read_text()
    untrainable = "{epochs: 3, optimizer: sgd, learning_rate: 1.0e+9}"
    (transferred.path / "config.yaml").write_text(text.replace("{epochs: 3}", untrainable))
    target = "results/test/frecon2021/rows/carried.csv"
    done = transferred.snakemake("--keep-going", target, check=False)
    assert done.returncode == 1
    rows = rows_of(transferred)
    failed = rows[rows["metric"] == "failed"]
    assert set(failed["model"]) == {"other"} and set(failed["attack"]) == {"deepfool", FGSM}
    assert failed["note"].str.startswith("because classifier other failed: the training").all()
    assert set(rows[rows["model"] == "other"]["metric"]) == {"failed"}
    assert "accuracy" in set(rows[rows["model"] == "lenet"]["metric"])
