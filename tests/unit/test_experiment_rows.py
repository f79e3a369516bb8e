"""The rows of an experiment: who judges which images, and what is said of what failed.

The classifiers here call an image of one grey bright, class 1, above a level of their own.
"""

from __future__ import annotations

import logging
from functools import cache
from math import nan

import numpy as np
import pandas as pd
import pytest
import torch

from advsparse import registry
from advsparse.artifacts import ROW_COLUMNS, make_metadata, write_arrays, write_tensors
from advsparse.data._base import Splits
from advsparse.data._io import save_dataset
from advsparse.errors import ArtifactError
from advsparse.evaluate import experiment
from advsparse.evaluate.attacked import predictions
from advsparse.evaluate.experiment import experiment_rows
from advsparse.evaluate.statistics import mean, number, proportion

LENET = {"kind": "lenet"}
BRIGHT = {"dim": 100.5, "lit": 140.5}
DEFENSES = {"dim": "jpeg"}
"""The classifiers, and what they call bright."""

TRAIN = np.array([10, 60, 110, 160, 210, 30, 90, 240])
TEST = {"greys": np.array([50, 150, 170, 120, 80, 200, 130, 20]), "darks": np.array([5, 250])}
LABELS = {"greys": np.array([0, 1, 0, 1, 0, 1, 0, 0]), "darks": np.array([0, 1])}
"""Grey levels of the images of two data sets, and their labels."""

UP = {"id": "up", "model": "dim", "dataset": "greys"}
DOWN = {"id": "down", "model": "lit", "dataset": "greys"}
NIGHT = {"id": "night", "model": "lit", "dataset": "darks"}

# The attack "up" on "dim", image by image.
INDEX = np.array([3, 0, 1, 2, 4, 7, 5, 6])
X = np.array([120, 50, 150, 170, 80, 20, 200, 130])
X_ADV = np.array([90, 130, 110, 190, 97, 160, 141, 100])
LABEL = np.array([1, 0, 1, 0, 0, 0, 1, 0])
ON_DIM = {
    "fooling_rate": [1, 1, 0, 0, 0, 1, 0, 1],
    "accuracy": [0, 0, 1, 0, 1, 0, 1, 1],
}
ON_LIT = {
    "fooling_rate": [0, 0, 1, 0, 0, 1, 0, 0],
    "accuracy": [0, 1, 0, 0, 1, 0, 1, 1],
}
SUCCESS, QUERIES = [1, 1, 0, 0, 0, 1, 0, 0], [3, 5, 17, 10, 9, 31, 2, 40]


def greys(levels) -> np.ndarray:
    """Images of one grey each."""
    return np.broadcast_to(np.reshape(levels, (-1, 1, 1, 1)), (len(levels), 1, 28, 28))


@cache
def weights(bright: float) -> dict[str, torch.Tensor]:
    """Of a LeNet that hands the grey of a pixel on, and compares it in the end."""
    model = registry.from_spec("models", LENET).build((1, 28, 28), 2)
    with torch.no_grad():
        for module in model.layers:
            for parameter in module.parameters():
                parameter.zero_()
            if isinstance(module, torch.nn.Conv2d):
                module.weight[0, 0, 2, 2] = 1
            elif isinstance(module, torch.nn.Linear):
                module.weight[0, 0] = 1
        module.weight[:, 0] = torch.tensor([0.0, 255.0])
        module.bias[1] = -bright
    return model.state_dict()


def described(stage, params=None, **extra):
    return make_metadata(stage, params=params or {}, code="", seed=0, extra=extra)


@pytest.fixture
def files(tmp_path):
    """The files of both classifiers and both data sets, by name."""
    paths = {}
    for name, bright in BRIGHT.items():
        paths[name] = tmp_path / f"{name}.safetensors"
        made = described("classifier", {"architecture": LENET}, shape=[1, 28, 28], classes=2)
        write_tensors(paths[name], weights(bright), made)
    train = greys(TRAIN).astype(np.uint8), np.arange(8) % 2
    for name, levels in TEST.items():
        paths[name] = tmp_path / f"{name}.npz"
        test = greys(levels).astype(np.uint8), LABELS[name]
        save_dataset(paths[name], Splits(*train, *test, ("dark", "bright")), described("dataset"))
    return paths


def attacked(path, x, index, *, split="test", warnings=(), stage="attack", **more):
    """An attack's artifact: images of the greys ``x`` in place of those at ``index``."""
    count = len(x)
    arrays = {
        "index": np.array(index),
        "label": np.zeros(count, np.int64),
        "clean_prediction": np.zeros(count, np.int64),
        "x_adv": greys(x).astype(np.float32) / np.float32(255),
        "success": np.zeros(count, bool),
        "distance": np.full(count, np.inf),
        "queries": np.ones(count, np.int64),
    }
    made = described(stage, {"images": {"split": split}}, warnings=list(warnings))
    write_arrays(path, arrays | more, made)
    return path


def up(folder, **more):
    results = {
        "label": LABEL,
        "clean_prediction": (BRIGHT["dim"] < X).astype(np.int64),
        "success": np.array(SUCCESS, bool),
        "distance": np.arange(len(SUCCESS)) / 4,
        "queries": np.array(QUERIES),
    }
    return attacked(folder / "up.npz", X_ADV, INDEX, **results | more)


def rows(files, *arguments, **options):
    """The frame of rows alone."""
    return evaluated(files, *arguments, **options)[0]


def evaluated(files, entries, attacks, judges=(), failures=None, classifiers=tuple(BRIGHT), **more):
    return experiment_rows(
        {
            "attacks": entries,
            "judges": list(judges),
            "defenses": DEFENSES,
            "seed": 7,
            "repetition": 2,
        },
        paper="a2020",
        experiment="tradeoff",
        attacks=attacks,
        classifiers=[files[name] for name in classifiers],
        datasets=[files[name] for name in TEST],
        failures=failures,
        **more,
    )


def test_clean_accuracy_of_chosen_images(files, tmp_path):
    chosen = {"split": "test", "start": 2, "count": 3, "order": 6}
    index = np.random.default_rng(6).permutation(8)[2:5]
    settings = {"attacks": [UP], "judges": ["lit"], "defenses": {}, "seed": 7, "repetition": 0}
    frame, samples, seconds = experiment_rows(
        settings | {"clean": {"greys": chosen}},
        paper="a2020",
        experiment="tradeoff",
        attacks=[up(tmp_path)],
        classifiers=[files["lit"]],
        datasets=[files["greys"]],
    )
    assert seconds.keys() == {"lit"} and 0 < seconds["lit"] < 60
    right = (TEST["greys"][index] > BRIGHT["lit"]) == LABELS["greys"][index]
    clean = frame[frame["attack"] == "none"].iloc[0]
    assert (clean["value"], clean["n"]) == (pytest.approx(right.mean()), 3)
    assert np.array_equal(samples["lit:none:accuracy"], right)
    assert np.array_equal(samples["lit:none:image"], index)
    assert frame[frame["attack"] == "up"]["n"].max() == len(X)


def test_what_it_says_of_tested_images_is_asked_once(files, tmp_path, monkeypatch):
    asked = []

    def ask(model, x):
        asked.append(len(x))
        return predictions(model, x)

    monkeypatch.setattr(experiment, "predictions", ask)
    whole = rows(files, [UP], [up(tmp_path)], judges=["lit"])
    assert asked == []
    # Of those that were not: of the training split, and where other images were tested.
    other = attacked(tmp_path / "other.npz", TRAIN[:3], [0, 1, 2], split="train")
    rows(files, [UP | {"id": "other"}], [other], judges=["lit"])
    assert asked == [3]
    settings = {"attacks": [UP], "judges": ["lit"], "defenses": DEFENSES, "seed": 7}
    chosen = {"split": "test", "start": 0, "count": 3, "order": 6}
    part, _, _ = experiment_rows(
        settings | {"repetition": 2, "clean": {"greys": chosen}},
        paper="a2020",
        experiment="tradeoff",
        attacks=[up(tmp_path)],
        classifiers=[files["lit"]],
        datasets=[files["greys"]],
    )
    assert asked == [3, len(INDEX)]
    rest = [table[table["attack"] == "up"].reset_index(drop=True) for table in (part, whole)]
    pd.testing.assert_frame_equal(*rest)


def sizes():
    """Of the perturbations of "up": the squared ratios of their greys."""
    estimate = mean((X_ADV - X) ** 2 / X**2, 7)
    return [("rmse", estimate), ("rmse_returned", estimate)]


def judged(hits, suffixes=("",)):
    """What is expected of predictions."""
    return [
        (f"{name}{suffix}", proportion(np.array(values)))
        for suffix in suffixes
        for name, values in hits.items()
    ]


def clean(model, dataset="greys"):
    found = proportion((TEST[dataset] > BRIGHT[model]) == LABELS[dataset])
    return {"model": model, "attacked": "", "attack": "none"}, [("accuracy", found)]


def frame(*parts, note="", dataset="greys"):
    """The rows that are expected: whose they are, and their estimates."""
    common = {"paper": "a2020", "experiment": "tradeoff", "dataset": dataset}
    common |= {"seed": 7, "repetition": 2}
    found = [
        common
        | whose
        | {"defense": DEFENSES.get(whose["model"], "none")}
        | dict(zip(("value", "n", "ci_low", "ci_high"), estimate, strict=True))
        | {"metric": name, "note": note if name in ("warnings", "failed") else ""}
        for whose, estimates in parts
        for name, estimate in estimates
    ]
    return pd.DataFrame(found)[list(ROW_COLUMNS)]


def same(found, expected):
    pd.testing.assert_frame_equal(found, expected, rtol=1e-5)


def told(found, *columns):
    return list(found[list(columns)].drop_duplicates().itertuples(index=False, name=None))


def test_the_attacked_network_judges_where_no_other_is_named(files, tmp_path):
    path = up(tmp_path, warnings=["gradients vanish", "few queries"])
    found = rows(files, [UP], [path])
    distances = (np.arange(len(SUCCESS)) / 4)[np.array(SUCCESS, bool)]
    more = [("success_rate", proportion(np.array(SUCCESS))), ("distance", mean(distances, 7))]
    more += [("queries", mean(QUERIES, 7))]
    # Whole levels stay what they are in 8 bits.
    estimates = judged(ON_DIM, ("", "_8bit")) + sizes() + more + [("warnings", number(2))]
    of_up = {"model": "dim", "attacked": "dim", "attack": "up"}, estimates
    same(found, frame(clean("dim"), of_up, note="gradients vanish; few queries"))


def test_another_network_judges_by_its_own_predictions(files, tmp_path):
    found = rows(files, [UP], [up(tmp_path)], judges=["lit"])
    estimates = judged(ON_LIT) + sizes() + [("warnings", number(0))]
    of_up = {"model": "lit", "attacked": "dim", "attack": "up"}, estimates
    same(found, frame(clean("lit"), of_up))


def test_clean_accuracy_is_that_of_each_networks_test_set(files, tmp_path):
    paths = [up(tmp_path), attacked(tmp_path / "night.npz", [7], [0])]
    found = rows(files, [UP, NIGHT], paths)
    assert told(found, "dataset", "model", "attacked", "attack") == [
        ("greys", "dim", "", "none"),
        ("greys", "dim", "dim", "up"),
        ("darks", "lit", "", "none"),
        ("darks", "lit", "lit", "night"),
    ]
    of_none = found[found["attack"] == "none"]
    assert of_none[["value", "n"]].values.tolist() == [[6 / 8, 8], [2 / 2, 2]]


def test_each_judge_judges_every_attack_on_the_data_of_the_first(files, tmp_path):
    paths = [up(tmp_path), attacked(tmp_path / "down.npz", [100], [1])]
    found = rows(files, [UP, DOWN], paths, judges=["lit", "dim"])
    assert told(found, "dataset", "model", "attacked", "attack") == [
        ("greys", judge, *attack)
        for judge in ("lit", "dim")
        for attack in (("", "none"), ("dim", "up"), ("lit", "down"))
    ]
    own = found[found["metric"] == "queries"]
    assert told(own, "model", "attack") == [("lit", "down"), ("dim", "up")]


@pytest.mark.parametrize(("split", "level"), [("test", 170), ("train", 110)])
def test_sizes_are_relative_to_the_images_of_the_split_that_was_attacked(
    files, tmp_path, split, level
):
    path = attacked(tmp_path / "up.npz", [85], [2], split=split)
    found = rows(files, [UP], [path]).set_index("metric")["value"]
    assert found["rmse"] == pytest.approx((85 / level - 1) ** 2, rel=1e-5)


def test_an_attack_that_failed_has_a_row_that_says_why(files, tmp_path):
    failures = {"attacks": {"up": "RuntimeError: no luck"}}
    path = attacked(tmp_path / "night.npz", [7], [0])
    found = rows(files, [UP, NIGHT], [path], failures=failures)
    failed = {"model": "dim", "attacked": "dim", "attack": "up"}, [("failed", (1.0, 0, nan, nan))]
    same(found[:2], frame(clean("dim"), failed, note="RuntimeError: no luck"))
    assert told(found[2:], "model", "attack") == [("lit", "none"), ("lit", "night")]
    assert set(found["metric"][3:]).isdisjoint({"failed"})


def test_without_its_judge_an_attack_has_failed_too(files, tmp_path):
    failures = {"attacks": {"down": "no time"}, "classifiers": {"lit": "diverged"}}
    found = rows(
        files,
        [UP, DOWN],
        [up(tmp_path)],
        judges=["lit", "dim"],
        failures=failures,
        classifiers=["dim"],
    )
    of_lit = found[found["model"] == "lit"]
    assert told(of_lit, "attack", "metric", "note") == [
        ("up", "failed", "diverged"),
        ("down", "failed", "no time"),
    ]
    of_dim = found[found["model"] == "dim"]
    assert told(of_dim, "attack") == [("none",), ("up",), ("down",)]
    assert told(of_dim[of_dim["metric"] == "failed"], "attack", "note") == [("down", "no time")]


def test_where_all_failed_values_are_numbers_all_the_same(files):
    found = rows(files, [UP], [], failures={"attacks": {"up": "diverged"}}, classifiers=())
    failed = {"model": "dim", "attacked": "dim", "attack": "up"}, [("failed", (1.0, 0, nan, nan))]
    same(found, frame(failed, note="diverged"))
    assert found.dtypes["ci_low"] == found.dtypes["ci_high"] == np.float64


def test_where_there_is_no_attack_the_frame_has_its_columns(files):
    found = rows(files, [], [])
    assert len(found) == 0 and tuple(found) == ROW_COLUMNS


@pytest.mark.parametrize(("count", "word"), [(0, "shorter"), (2, "longer")])
def test_attacks_and_files_are_as_many(files, tmp_path, count, word):
    with pytest.raises(ValueError, match=rf"^zip\(\) argument 2 is {word} than argument 1$"):
        rows(files, [UP], [up(tmp_path)] * count)


def test_what_is_no_attack_is_refused(files, tmp_path):
    with pytest.raises(ArtifactError, match="it was written by stage 'fit', not 'attack'"):
        rows(files, [UP], [up(tmp_path, stage="fit")])


def test_the_log_says_what_is_judged(files, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="advsparse"):
        rows(files, [UP], [up(tmp_path)], judges=["lit"])
    assert caplog.messages == ["up on lit: 8 images"]


def test_networks_judge_on_the_device_that_is_named(files, tmp_path):
    with pytest.raises(RuntimeError, match=r"device string: nowhere$"):
        rows(files, [UP], [up(tmp_path)], device="nowhere")


def test_what_each_image_did_stands_beside_the_rows(files, tmp_path):
    made = [up(tmp_path), attacked(tmp_path / "night.npz", [5, 200], [1, 0])]
    found, samples, _ = evaluated(files, [UP, NIGHT], made, judges=["dim"])
    shown = found[~found["metric"].isin(["failed"])]
    keys = {f"{row.model}:{row.attack}:{row.metric}" for row in shown.itertuples()}
    attacks = {f"dim:{name}:image" for name in ("none", "up", "night")}
    assert set(samples) == keys | attacks
    for name, hits in ON_DIM.items():
        assert samples[f"dim:up:{name}"].tolist() == list(map(bool, hits))
    assert samples["dim:up:image"].tolist() == INDEX.tolist()
    assert samples["dim:night:image"].tolist() == [1, 0]
    assert samples["dim:none:image"].tolist() == [*range(8)]
    assert samples["dim:up:rmse"] == pytest.approx((X_ADV - X) ** 2 / X**2, rel=1e-5)
    assert samples["dim:up:queries"].tolist() == QUERIES
    assert samples["dim:up:warnings"] == 0
    right = (TEST["greys"] > BRIGHT["dim"]) == LABELS["greys"]
    assert samples["dim:none:accuracy"].tolist() == right.tolist()
