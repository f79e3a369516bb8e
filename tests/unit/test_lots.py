"""Parts of whole lots: what they are, and that jobs of many parts make what one alone would."""

from __future__ import annotations

import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from advsparse import lots, registry
from advsparse.artifacts import (
    Joined,
    Slices,
    make_metadata,
    read_arrays,
    write_arrays,
    write_slices,
    write_tensors,
)
from advsparse.attacks._stage import AttackStage, joined
from advsparse.data._base import Splits
from advsparse.data._io import save_dataset
from advsparse.defenses import _transformed
from advsparse.defenses._transformed import Transformed
from advsparse.defenses.tvm import TVM
from advsparse.lots import rows_of

LENET = {"kind": "lenet"}
ATTACKS = {
    "pgd": {"kind": "pgd", "norm": "l2", "eps": 0.5, "steps": 3},
    "square": {"kind": "square", "eps": 0.05, "queries": 20},
    # It leaves a trace, of the images that it is needed for.
    "cw": {"kind": "cw", "search_steps": 2, "iterations": 5},
    # Its warning is of all images together.
    "autoattack": {"kind": "autoattack", "eps": 0.05, "queries": 20, "steps": 3},
    "adaptive": {
        "kind": "adaptive",
        "attack": {"kind": "autoattack", "eps": 0.05, "queries": 20, "steps": 3},
    },
    "uap": {"kind": "uap", "eps": 0.5, "passes": 1},
}
IMAGES = {"split": "test", "start": 0, "count": 30, "order": 3}


@pytest.mark.parametrize("lot", [1, 4, 64])
@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 1000])
def test_parts_are_whole_lots_one_after_the_other_and_alike_in_size(count, lot):
    assert rows_of(count, lot) == slice(0, count)
    for n in (1, 2, 3, 7, 50):
        parts = [rows_of(count, lot, (i, n)) for i in range(1, n + 1)]
        assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
        assert parts[-1].stop == count
        assert all(part.start % lot == 0 or part.start == count for part in parts)
        sizes = [-(-(part.stop - part.start) // lot) for part in parts]
        assert max(sizes) - min(sizes) <= 1


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A dataset of as many test images as make six lots and a half of four, and a classifier."""
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    sets = [
        (rng.integers(0, 256, (26, 1, 28, 28), dtype=np.uint8), rng.integers(0, 5, 26))
        for _ in range(2)
    ]
    paths = {"dataset": folder / "data.safetensors", "model": folder / "model.safetensors"}
    described = make_metadata("dataset", params={}, code="", seed=0)
    save_dataset(paths["dataset"], Splits(*sets[0], *sets[1], ("a", "b", "c", "d", "e")), described)
    torch.manual_seed(0)
    model = registry.from_spec("models", LENET).build((1, 28, 28), 5)
    extra = {"shape": [1, 28, 28], "classes": 5}
    made = make_metadata("classifier", params={"architecture": LENET}, code="", seed=0, extra=extra)
    write_tensors(paths["model"], model.state_dict(), made)
    return paths


def run(files, method, **settings):
    told = {"method": method, "images": IMAGES, "seed": 11, "against": "label", "target": "none"}
    job = SimpleNamespace(settings=told | settings, device="cpu")
    return AttackStage(job, files["dataset"], files["model"])


def learned(files, method, path):
    """The artifact of what a universal attack learns; none of one that learns nothing."""
    if not registry.from_spec("attacks", method).universal:
        return None
    arrays, noted = run(files, method, images=IMAGES | {"split": "train", "count": 8}).fit()
    write_arrays(path, arrays, make_metadata("fit", params={}, code="", seed=0, extra=noted))
    return path


def in_parts(files, method, fit, folder, n):
    """The joined result of ``n`` parts, each of them an artifact."""
    paths = []
    for i in range(1, n + 1):
        stage = run(files, method, part=[i, n], target="runner_up")
        arrays, noted = stage.attack_part(fit)
        paths.append(folder / f"{i}-of-{n}.npz")
        made = make_metadata("attack_part", params={}, code="", seed=0, extra=noted)
        write_arrays(paths[-1], arrays, made)
    return joined(stage.settings, paths, fit)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_in_parts_makes_what_it_makes_at_once(files, tmp_path, monkeypatch, name):
    monkeypatch.setattr(lots, "ATTACKED", 4)
    method = ATTACKS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = learned(files, method, tmp_path / "fit.npz")
        whole, noted = run(files, method, target="runner_up").attack(fit)
        assert len(whole["index"]) == 26
        for n in (1, 3, 7):
            arrays, told = in_parts(files, method, fit, tmp_path, n)
            assert list(arrays) == list(whole)
            for key, array in whole.items():
                assert array.dtype == arrays[key].dtype and array.tobytes() == arrays[key].tobytes()
            assert told["warnings"] == noted["warnings"] and told["seconds"] > 0


def test_warnings_are_of_all_images_together(files, tmp_path, monkeypatch):
    monkeypatch.setattr(lots, "ATTACKED", 4)
    # An untrained network's logits are too small for it, of which it warns.
    method = {"kind": "scada", "atoms": 2, "iterations": 2, "coding_iterations": 2}
    with pytest.warns(UserWarning, match="of 8 images"):
        fit = learned(files, method, tmp_path / "fit.npz")
    with pytest.warns(UserWarning, match="the logits of 26 of 26 images"):
        _, noted = in_parts(files, method, fit, tmp_path, 3)
    of_fit = read_arrays(fit)[1].extra["warnings"]
    learning, (applied,) = noted["warnings"][:-1], noted["warnings"][-1:]
    assert learning == [f"while learning: {sentence}" for sentence in of_fit] and of_fit
    assert applied.startswith("the logits of 26 of 26 images")


@pytest.mark.parametrize("name", ["autoattack", "adaptive"])
def test_what_an_attack_alone_suspects_is_said_of_all_parts(files, name):
    method = registry.from_spec("attacks", ATTACKS[name])
    stage = run(files, ATTACKS[name])
    found = method(stage.model, stage.x, stage.label)
    assert not found.warnings
    won = torch.arange(26) % 2 == 0
    suspect = replace(found, trace=found.trace | {"black_box_won": won})
    with pytest.warns(UserWarning, match="26 of 52"):
        result = method.joined([suspect, suspect])
    assert len(result.warnings) == 1 and len(result.x) == 52


def test_a_part_may_be_without_images(files, tmp_path, monkeypatch):
    """As many lots as were asked for, and fewer that are there."""
    monkeypatch.setattr(lots, "ATTACKED", 13)
    method = ATTACKS["pgd"]
    arrays, _ = run(files, method, part=[1, 3]).attack_part(None)
    assert list(arrays) == ["index"] and not len(arrays["index"])
    whole, _ = run(files, method, target="runner_up").attack(None)
    found, _ = in_parts(files, method, None, tmp_path, 3)
    assert found["x_adv"].tobytes() == whole["x_adv"].tobytes()


@pytest.mark.parametrize("count", [5, 150])
def test_images_transformed_in_parts_are_those_transformed_at_once(tmp_path, monkeypatch, count):
    monkeypatch.setattr(_transformed, "TRANSFORMED", 8)
    images = np.random.default_rng(0).integers(0, 256, (count, 3, 12, 12), dtype=np.uint8)
    defense = TVM(iterations=2)

    def transformed(**more):
        options = {"seed": 3, "device": "cpu", "parts": tmp_path / "kept"} | more
        identity = str(more)
        return Transformed(
            images, defense, defense.transformation({}), identity=identity, **options
        )

    whole = transformed()[0:count]
    made = make_metadata("transformed", params={}, code="", seed=0)
    files = {}
    for n in (1, 3, 7):
        parts = []
        for i in range(1, n + 1):
            path = tmp_path / f"{i}-of-{n}.safetensors"
            write_slices(path, {"x_train": transformed(part=[i, n])}, made)
            parts.append(Slices(path)["x_train"])
        files[n] = tmp_path / f"{n}.safetensors"
        joined_rows = Joined(parts)
        assert len(joined_rows) == count
        write_slices(files[n], {"x_train": joined_rows}, made)
        assert np.array_equal(Slices(files[n])["x_train"][:], whole)
        assert np.array_equal(joined_rows[3:5], whole[3:5])
    assert files[1].read_bytes() == files[3].read_bytes() == files[7].read_bytes()
