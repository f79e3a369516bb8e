"""A hundred damaged artifacts of each kind: each is refused by name, or is what was written."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from advsparse import registry
from advsparse.artifacts import (
    ROW_COLUMNS,
    make_metadata,
    metadata,
    read_arrays,
    read_rows,
    read_tensors,
    sidecar_path,
    write_arrays,
    write_rows,
    write_tensors,
)
from advsparse.coding._io import load_coder
from advsparse.coding._signals import Signals
from advsparse.data._base import Splits
from advsparse.data._io import load_dataset, save_dataset
from advsparse.errors import ArtifactError
from advsparse.models._checkpoint import Checkpoint
from advsparse.models._io import load_classifier
from mutations import damaged_bytes

ARCHITECTURE = {"kind": "lenet"}
CODER = {"kind": "lista", "layers": 2}


def described(stage: str, **extra):
    params = {"architecture": ARCHITECTURE, "method": CODER}
    return make_metadata(stage, params=params, code="c", seed=0, extra=extra)


def splits() -> Splits:
    x, y = np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 1, 28, 28), np.array([0, 1])
    return Splits(x, y, x, y, ("cat", "dog"))


def classifier() -> torch.nn.Module:
    return registry.from_spec("models", ARCHITECTURE).build((1, 28, 28), 2, 0)


def write_coder(path: Path) -> None:
    signals = Signals(size=6, atoms=8, sparsity=2)
    network = registry.from_spec("coding", CODER).build((6,), 0, signals.dictionary(0))
    write_tensors(path, network.state_dict(), described("coder", shape=[6]))


def write_some_rows(path: Path) -> None:
    texts = dict.fromkeys(ROW_COLUMNS, "x")
    frame = pd.DataFrame([texts | {"value": value, "n": 3} for value in (0.1, 1 / 3)])
    write_rows(path, frame, described("rows"))


def write_checkpoint(path: Path) -> None:
    model = classifier()
    Checkpoint(path, "mine").save(model, torch.optim.Adam(model.parameters()), 3, 1.0)


def arrays_of(stage: str):
    arrays = {"x_adv": np.arange(6, dtype=np.float32), "index": np.arange(3)}
    return (
        "a.npz",
        lambda path: write_arrays(path, arrays, described(stage)),
        lambda path: read_arrays(path, stage),
    )


def whole(found: Splits) -> dict:
    """A dataset, all images of which are read."""
    arrays = {name: getattr(found, name)[:] for name in ("x_train", "y_train", "x_test", "y_test")}
    return arrays | {"classes": found.classes}


# Of each kind of artifact: a file name, how it is written, and how the stages read it.
KINDS = {
    "dataset": (
        "d.safetensors",
        lambda path: save_dataset(path, splits(), described("dataset")),
        lambda path: whole(load_dataset(path)),
    ),
    "classifier": (
        "c.safetensors",
        lambda path: write_tensors(
            path,
            classifier().state_dict(),
            described("classifier", shape=[1, 28, 28], classes=2),
        ),
        lambda path: load_classifier(path)[0].state_dict(),
    ),
    "coder": ("c.safetensors", write_coder, lambda path: load_coder(path)[0].state_dict()),
    "fit": arrays_of("fit"),
    "attack": arrays_of("attack"),
    "analysis": arrays_of("analysis"),
    "rows": ("r.csv", write_some_rows, lambda path: read_rows(path, "rows")),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def written(kind: str, folder: Path) -> Path:
    path = folder / KINDS[kind][0]
    KINDS[kind][1](path)
    return path


def text(found) -> str:
    """What was read, to be compared: every byte of arrays and tensors is in it."""
    if isinstance(found, dict):
        return json.dumps({name: text(value) for name, value in found.items()}, sort_keys=True)
    if isinstance(found, tuple | list):
        return json.dumps([text(value) for value in found])
    if isinstance(found, pd.DataFrame):
        return found.to_csv()
    if isinstance(found, np.ndarray | torch.Tensor):
        found = np.asarray(found)
        return f"{found.dtype} {found.shape} {found.tobytes().hex()}"
    return repr(found)


@kinds
def test_damage_is_refused_by_name_or_changes_nothing(kind, tmp_path_factory):
    path, read = written(kind, tmp_path_factory.mktemp(kind)), KINDS[kind][2]
    victims = [path, sidecar_path(path)] if kind == "rows" else [path]
    whole, original = {victim: victim.read_bytes() for victim in victims}, text(read(path))
    refused = []

    @settings(max_examples=100, derandomize=True, database=None, deadline=None)
    @given(seed=st.integers(0, 2**32))
    def try_one(seed):
        rng = random.Random(seed)
        victim = rng.choice(victims)
        victim.write_bytes(damaged_bytes(whole[victim], rng))
        try:
            assert text(read(path)) == original
        except ArtifactError as error:
            assert str(error).startswith(f"{path}: ")
            assert "snakemake --cores all --force" in str(error)
            refused.append(seed)
        victim.write_bytes(whole[victim])

    try_one()
    assert len(refused) >= 50


@kinds
def test_an_older_format_is_refused_by_name(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(metadata, "FORMAT_VERSION", 0)
    path = written(kind, tmp_path)
    monkeypatch.undo()
    with pytest.raises(ArtifactError, match=r"has format version 0, not 1\. Rebuild it with: "):
        KINDS[kind][2](path)


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        (kind, other)
        for kind, other in itertools.permutations(KINDS, 2)
        if Path(KINDS[kind][0]).suffix == Path(KINDS[other][0]).suffix
    ],
)
def test_an_artifact_of_another_kind_is_refused_by_name(kind, other, tmp_path):
    path = tmp_path / KINDS[kind][0]
    KINDS[other][1](path)
    with pytest.raises(ArtifactError, match=f"written by stage '{other}', not '{kind}'"):
        KINDS[kind][2](path)


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("classifier", {"params": {"architecture": {"kind": "lenet.os"}}}),
        ("classifier", {"params": {"architecture": {"kind": "_training"}}}),
        ("classifier", {"params": {"architecture": {"kind": "lenet", "depth": 3}}}),
        ("classifier", {"params": {}}),
        ("classifier", {"extra": {"shape": [3, 32, 32], "classes": 10}}),
        ("classifier", {"extra": {"shape": "abc", "classes": None}}),
        ("coder", {"params": {"method": {"kind": "../../os"}}}),
        ("coder", {"extra": {"shape": []}}),
    ],
)
def test_metadata_that_says_something_else_is_refused_by_name(kind, changed, tmp_path):
    """Its checksum is right: somebody else has written it."""
    path = written(kind, tmp_path)
    KINDS[kind][2](path)
    state, made = read_tensors(path, kind)
    write_tensors(path, state, dataclasses.replace(made, **changed))
    with pytest.raises(ArtifactError, match="Rebuild it with"):
        KINDS[kind][2](path)


@pytest.mark.parametrize("damage", ["cut", "flipped", "older"])
def test_a_damaged_checkpoint_is_not_used_and_said(damage, tmp_path, monkeypatch, caplog):
    path = tmp_path / "lenet.safetensors"
    with monkeypatch.context() as patch:
        if damage == "older":
            patch.setattr(metadata, "FORMAT_VERSION", 0)
        write_checkpoint(path)
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[-10] ^= 1
    path.write_bytes(data[:-10] if damage == "cut" else data)
    model = classifier()
    before = text(model.state_dict())
    assert Checkpoint(path, "mine").resume(model, torch.optim.Adam(model.parameters())) == (0, None)
    assert text(model.state_dict()) == before
    assert "training starts afresh" in caplog.text and str(path) in caplog.text
