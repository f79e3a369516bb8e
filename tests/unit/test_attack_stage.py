"""The jobs that learn and that attack: from files to arrays, and what is noted and logged of it."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from advsparse import registry
from advsparse.artifacts import make_metadata, write_arrays, write_tensors
from advsparse.attacks import _stage
from advsparse.attacks._fitting import Fit
from advsparse.attacks._stage import AttackStage
from advsparse.data._base import Splits
from advsparse.data._io import save_dataset
from advsparse.data._selection import choose
from advsparse.errors import ArtifactError
from advsparse.models._io import load_classifier, predict

LENET = {"kind": "lenet"}
IMAGES = {"split": "test", "start": 2, "count": 6, "order": 3}
SCADA = {"kind": "scada", "atoms": 2, "iterations": 3, "coding_iterations": 2, "lambda1": 0.001}
PGD = {"kind": "pgd", "norm": "l2", "eps": 0.5, "steps": 3}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A dataset, whose splits differ, and two classifiers."""
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(0)

    def described(stage, params=None, **extra):
        return make_metadata(stage, params=params or {}, code="", seed=0, extra=extra)

    paths = {"dataset": folder / "data.safetensors"}
    sets = [
        (rng.integers(0, 256, (12, 1, 28, 28), dtype=np.uint8), rng.integers(0, 3, 12))
        for _ in range(2)
    ]
    splits = Splits(*sets[0], *sets[1], ("a", "b", "c"))
    save_dataset(paths["dataset"], splits, described("dataset"))
    for seed, name in enumerate(("model", "other")):
        torch.manual_seed(seed)
        model = registry.from_spec("models", LENET).build((1, 28, 28), 3)
        paths[name] = folder / f"{name}.safetensors"
        made = described("classifier", {"architecture": LENET}, shape=[1, 28, 28], classes=3)
        write_tensors(paths[name], model.state_dict(), made)
    return paths


def stage(files, method, surrogate=None, device="cpu", **settings):
    told = {"method": method, "images": IMAGES, "seed": 11, "against": "label", "target": "none"}
    job = SimpleNamespace(settings=told | settings, device=device)
    chosen = files[surrogate] if surrogate else None
    return AttackStage(job, files["dataset"], files["model"], chosen)


@pytest.fixture
def clock(monkeypatch):
    """A second goes by between one look at it and the next."""
    ticks = iter(range(100, 200))
    monkeypatch.setattr(_stage, "time", SimpleNamespace(monotonic=lambda: next(ticks)))


@pytest.mark.parametrize("split", ["train", "test"])
def test_images_and_labels_are_those_that_the_settings_choose(files, caplog, split):
    with caplog.at_level(logging.INFO):
        made = stage(files, PGD, images=IMAGES | {"split": split})
    stored = load_file(files["dataset"])
    pixels, labels = stored[f"x_{split}"], stored[f"y_{split}"]
    index = choose(12, **IMAGES | {"split": split})
    assert made.index.tolist() == index.tolist() and len(index) == 6
    expected = pixels[index].astype(np.float32) / np.float32(255)
    assert np.array_equal(made.x.numpy(), expected)
    assert made.label.tolist() == labels[index].tolist()
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert said == [("INFO", f"{made.method}, 6 images")]


def test_fewer_images_than_were_asked_for_are_warned_of(files, caplog):
    with caplog.at_level(logging.WARNING):
        stage(files, PGD, images=IMAGES | {"start": 0, "count": 12})
        assert not caplog.records
        made = stage(files, PGD, images=IMAGES | {"count": 50})
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert said == [("WARNING", "50 images were asked for, 10 are there")]
    assert len(made.x) == 10


def test_all_lies_where_the_job_runs(files, monkeypatch):
    devices = []

    def load(path, device):
        devices.append(device)
        return load_classifier(path, "cpu")

    monkeypatch.setattr(_stage, "load_classifier", load)
    made = stage(files, PGD, "other", device="meta")
    assert devices == ["meta", "meta"]
    assert made.x.is_meta and made.label.is_meta


@pytest.mark.parametrize("against", ["label", "prediction"])
def test_an_attack_leads_away_from_what_it_is_to(files, clock, against):
    made = stage(files, PGD, against=against)
    arrays, noted = made.attack(None)
    model, _ = load_classifier(files["model"], "cpu")
    predicted = predict(model, made.x)
    y = {"label": made.label, "prediction": predicted}[against]
    direct = made.method(model, made.x, y, rng=11)
    assert np.array_equal(arrays["x_adv"], direct.x.numpy())
    assert arrays["index"].tolist() == made.index.tolist()
    assert arrays["label"].tolist() == made.label.tolist()
    assert arrays["clean_prediction"].tolist() == predicted.tolist()
    assert arrays["prediction"].tolist() == predict(model, direct.x).tolist()
    for name in ("success", "distance", "queries", "steps"):
        assert np.array_equal(arrays[name], getattr(direct, name).numpy())
    assert noted == {"seconds": 1, "warnings": list(direct.warnings)}
    # Another seed starts elsewhere.
    other, _ = stage(files, PGD | {"norm": "linf", "eps": 0.1}, seed=12).attack(None)
    same, _ = stage(files, PGD | {"norm": "linf", "eps": 0.1}).attack(None)
    assert not np.array_equal(other["x_adv"], same["x_adv"])


def learned_by(files, **settings):
    arrays, noted = stage(files, SCADA, **settings).fit()
    return arrays, noted


def test_what_is_learned_is_learned_on_the_surrogate_with_the_seed(files, clock):
    for surrogate, name in ((None, "model"), ("other", "other")):
        made = stage(files, SCADA, surrogate)
        arrays, noted = made.fit()
        model, _ = load_classifier(files[name], "cpu")
        direct = made.method.fit(model, made.x, made.label, rng=11)
        for key, value in direct.arrays.items():
            assert np.array_equal(arrays[key], value.numpy(), equal_nan=True), key
        assert arrays["index"].tolist() == made.index.tolist()
        assert noted == {"seconds": 1, "warnings": direct.warnings}
    assert set(arrays) == {*direct.arrays, "index"}


def test_a_universal_attack_applies_what_was_learned_and_passes_its_warnings_on(
    files, tmp_path, clock
):
    made = stage(files, SCADA)
    arrays, noted = made.fit()
    path = tmp_path / "fit.npz"
    extra = noted | {"warnings": ["it was hard", "and long"]}
    metadata = make_metadata("fit", params={}, code="", seed=0, extra=extra)
    dead = arrays | {"dead_start": np.array(True)}
    write_arrays(path, dead, metadata)
    found, told = made.attack(path)
    fit = Fit({name: torch.from_numpy(value) for name, value in dead.items()})
    direct = made.method(made.model, made.x, made.label, fit=fit, rng=11)
    assert np.array_equal(found["x_adv"], direct.x.numpy())
    assert found["dead_start"].tolist() is True
    assert {name for name in found if name.startswith("trace.")} == {
        f"trace.{name}" for name in direct.trace
    }
    for name, values in direct.trace.items():
        assert np.array_equal(found[f"trace.{name}"], values.numpy()), name
    sentences = ["while learning: it was hard", "while learning: and long"]
    assert told == {"seconds": 1, "warnings": [*sentences, *direct.warnings]}


def test_what_another_stage_has_learned_is_refused(files, tmp_path):
    path = tmp_path / "attack.npz"
    write_arrays(path, {"x": np.zeros(1)}, make_metadata("attack", params={}, code="", seed=0))
    with pytest.raises(ArtifactError, match="written by stage 'attack', not 'fit'"):
        stage(files, SCADA).attack(path)


def test_without_a_dead_start_none_is_stored(files, tmp_path):
    uap = {"kind": "uap", "norm": "l2", "eps": 0.5, "passes": 1}
    made = stage(files, uap)
    arrays, noted = made.fit()
    path = tmp_path / "fit.npz"
    write_arrays(path, arrays, make_metadata("fit", params={}, code="", seed=0, extra=noted))
    assert "dead_start" not in made.attack(path)[0]
