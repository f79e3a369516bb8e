"""Artifacts: what is written is read back, and what was not written is never read."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from advsparse import artifacts
from advsparse.artifacts import (
    ROW_COLUMNS,
    Metadata,
    Slices,
    atomic_path,
    make_metadata,
    read_arrays,
    read_rows,
    read_tensors,
    sidecar_path,
    write_arrays,
    write_rows,
    write_slices,
    write_tensors,
)
from advsparse.errors import ArtifactError

WORKFLOW = Path(artifacts.__file__).parents[2]


def metadata(**changes) -> Metadata:
    made = make_metadata("attack", params={"eps": 0.3, "steps": [1, 2]}, code="c0de", seed=7)
    return dataclasses.replace(made, **changes)


def row(**changes) -> dict:
    texts = dict.fromkeys(ROW_COLUMNS[:8], "x")
    numbers = {"value": 0.1, "n": 100, "ci_low": 0.05, "ci_high": 0.2, "seed": 0, "repetition": 0}
    return texts | numbers | {"note": ""} | changes


def frame(*changes: dict) -> pd.DataFrame:
    return pd.DataFrame([row(**change) for change in changes or ({}, {"value": 1 / 3})])


def read_slices(path, stage=None):
    """All of them; what is read of a file says nothing of the rest."""
    found = Slices(path, stage)
    return {name: array[:] for name, array in found.items()}, found.metadata


# One small artifact of each kind: its name, how to write it, how to read it, and the payload.
ARRAYS = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "ok": np.array(True)}
SLICES = {"x": np.arange(12, dtype=np.uint8).reshape(3, 2, 2), "y": np.arange(3)}
TENSORS = {"w": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([True, False])}
KINDS = {
    "arrays": ("a.npz", write_arrays, read_arrays, ARRAYS),
    "tensors": ("a.safetensors", write_tensors, read_tensors, TENSORS),
    "slices": ("s.safetensors", write_slices, read_slices, SLICES),
    "rows": ("a.csv", write_rows, read_rows, frame()),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def written(kind: str, folder: Path, **changes):
    name, write, read, payload = KINDS[kind]
    path = folder / name
    return path, write(path, payload, metadata(**changes)), read


def same(left, right) -> bool:
    """Equal names, dtypes, shapes and bytes."""
    if isinstance(left, pd.DataFrame):
        return left.equals(right)
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype
        and left[name].shape == right[name].shape
        and np.asarray(left[name]).tobytes() == np.asarray(right[name]).tobytes()
        for name in left
    )


# ---------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize(
    "array",
    [
        np.array([True, False]),
        np.arange(256, dtype=np.uint8).reshape(2, -1),
        np.array([-(2**63), 2**63 - 1]),
        np.array([np.nan, -0.0, np.inf, 1e-45], dtype=np.float32),
        np.array([0.1, 5e-324, -np.inf]),
        np.array(["", "schön", "a\nb"]),
        np.empty((0, 3), dtype=np.float32),
        np.empty(0, dtype="U1"),
        np.array(3.5),
        np.array("text"),
        np.arange(12.0).reshape(3, 4).T,
        np.arange(12.0).reshape(3, 4)[::2, ::-1],
        np.array([1, 2], dtype=">i4"),
        np.array(["2020-01-01"], dtype="M8[D]"),
    ],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
def test_arrays_round_trip(tmp_path, array):
    names = ["a", "file", "layer/0.weight", "x.npy", "größe"]
    done = write_arrays(tmp_path / "a.npz", dict.fromkeys(names, array), metadata())
    found, found_metadata = read_arrays(tmp_path / "a.npz", stage="attack")
    assert list(found) == names
    assert same(found, dict.fromkeys(names, array))
    assert all(array.flags.writeable for array in found.values())
    assert found_metadata == done
    with np.load(tmp_path / "a.npz", allow_pickle=False) as plain:
        assert plain["a"].tobytes() == array.tobytes()
        assert json.loads(plain["__metadata__"].item())["metadata"]["stage"] == "attack"


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor([float("nan"), -0.0, 1e-45]),
        torch.tensor([-(2**63), 2**63 - 1]),
        torch.tensor([[True], [False]]),
        torch.arange(12.0).reshape(3, 4).t(),
        torch.arange(12.0).reshape(3, 4)[::2, 1:],
        torch.tensor(2.5),
        torch.empty(0, 3),
        torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        torch.tensor([1, 2], dtype=torch.uint8),
        torch.nn.Parameter(torch.ones(2)),
    ],
    ids=lambda tensor: f"{tensor.dtype}{tuple(tensor.shape)}",
)
def test_tensors_round_trip(tmp_path, tensor):
    done = write_tensors(tmp_path / "a.safetensors", {"a": tensor, "b": tensor[...]}, metadata())
    found, found_metadata = read_tensors(tmp_path / "a.safetensors", stage="attack")
    assert found.keys() == {"a", "b"}
    for read in found.values():
        assert (read.dtype, read.shape) == (tensor.dtype, tensor.shape)
        bits = [t.detach().contiguous().view(-1).view(torch.uint8) for t in (read, tensor)]
        assert torch.equal(*bits)
    assert found_metadata == done


def test_a_model_with_tied_weights_round_trips(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
    state = model.state_dict() | {"tied": model[0].weight, "row": model[0].weight[1]}
    write_tensors(tmp_path / "m.safetensors", state, metadata())
    found, _ = read_tensors(tmp_path / "m.safetensors")
    assert same(found, {name: tensor.detach() for name, tensor in state.items()})


def test_rows_round_trip(tmp_path):
    values = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0, np.inf, np.nan, 123456789.12345679]
    texts = ["NA", "none", "", "1.0", 'a,"b"', "line\nbreak", "return\r", "ü"]
    pairs = zip(texts, values, strict=True)
    rows = frame(*({"attack": text, "value": value, "ci_low": None} for text, value in pairs))
    rows.index = rows.index[::-1]
    done = write_rows(tmp_path / "r.csv", rows[list(ROW_COLUMNS[::-1])], metadata())
    found, found_metadata = read_rows(tmp_path / "r.csv", stage="attack")
    assert tuple(found.columns) == ROW_COLUMNS
    assert found["attack"].tolist() == texts
    assert found["value"].to_numpy().tobytes() == np.array(values).tobytes()
    assert found["ci_low"].isna().all()
    assert found["n"].dtype == np.int64
    assert found_metadata == done


def test_rows_of_other_columns_round_trip(tmp_path):
    rows = pd.DataFrame(
        {
            "flag": [True, False],
            "count": pd.array([1, None], dtype="Int64"),
            "small": np.array([0.1, 1e-45], dtype=np.float32),
            "kind": pd.Categorical(["a", None]),
            "digits": ["007", "1e3"],
        }
    )
    write_rows(tmp_path / "r.csv", rows, metadata(), columns=tuple(rows.columns))
    found, _ = read_rows(tmp_path / "r.csv")
    numbers = ["flag", "count", "small"]
    pd.testing.assert_frame_equal(found[numbers], rows[numbers], check_exact=True)
    assert found["kind"].tolist() == ["a", ""]
    assert found["digits"].tolist() == ["007", "1e3"]


def test_no_rows_round_trip(tmp_path):
    write_rows(tmp_path / "r.csv", pd.DataFrame(columns=list(ROW_COLUMNS)), metadata())
    found, _ = read_rows(tmp_path / "r.csv")
    assert tuple(found.columns) == ROW_COLUMNS
    assert found.empty


def test_rows_are_stored_as_plain_text(tmp_path):
    write_rows(tmp_path / "r.csv", frame({"value": 0.1, "ci_low": None}), metadata())
    assert (tmp_path / "r.csv").read_bytes() == (
        b"paper,experiment,dataset,model,attacked,attack,defense,metric,"
        b"value,n,ci_low,ci_high,seed,repetition,note\n"
        b"x,x,x,x,x,x,x,x,0.1,100,,0.2,0,0,\n"
    )
    assert sidecar_path(str(tmp_path / "r.csv")) == tmp_path / "r.csv.meta.json"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["r.csv", "r.csv.meta.json"]


# ------------------------------------------------------------------------------------- metadata


def test_make_metadata_is_what_json_returns():
    made = make_metadata(
        "train", params={"shape": (1, 2)}, code="c", seed=np.int64(3), extra={"note": None}
    )
    assert made.params == {"shape": [1, 2]}
    assert made.format_version == artifacts.FORMAT_VERSION
    packages = {"python", "numpy", "torch", "torchvision", "scikit-learn", "scikit-image", "scipy"}
    assert made.versions.keys() == packages
    assert made.versions["numpy"] == np.__version__
    with pytest.raises(ValueError, match="JSON"):
        metadata(params={"eps": float("nan")})
    with pytest.raises(TypeError):
        metadata(params={"eps": np.float32(1)})


@kinds
def test_equal_payloads_have_equal_digests(tmp_path, kind):
    path, first, _ = written(kind, tmp_path)
    data = path.read_bytes()
    _, second, _ = written(kind, tmp_path, wall_seconds=9.0, device="cuda", seed=8)
    assert first.payload_sha256 == second.payload_sha256
    assert first != second
    if kind == "rows":
        assert path.read_bytes() == data
    _, third, _ = written(kind, tmp_path)
    assert (path.read_bytes(), third) == (data, first)


@pytest.mark.parametrize(
    "other",
    [
        {"b": np.zeros(4, np.uint8)},
        {"a": np.zeros(4, np.int8)},
        {"a": np.zeros((2, 2), np.uint8)},
        {"a": np.array([0, 0, 0, 1], np.uint8)},
        {"a": np.zeros(2, np.uint8), "b": np.zeros(2, np.uint8)},
    ],
)
def test_other_payloads_have_other_digests(tmp_path, other):
    path = tmp_path / "a.npz"
    first = write_arrays(path, {"a": np.zeros(4, np.uint8)}, metadata())
    assert write_arrays(path, other, metadata()).payload_sha256 != first.payload_sha256


def test_the_order_and_layout_of_arrays_leave_the_digest_as_it_is(tmp_path):
    one, two = np.arange(6).reshape(2, 3), np.ones(2)
    digests = {
        write_arrays(tmp_path / "a.npz", arrays, metadata()).payload_sha256
        for arrays in ({"a": one, "b": two}, {"b": two, "a": np.asfortranarray(one)})
    }
    assert len(digests) == 1


def test_the_layout_of_an_array_leaves_its_file_as_it_is(tmp_path):
    array = np.arange(6).reshape(2, 3)
    paths = [tmp_path / "rows.npz", tmp_path / "columns.npz"]
    for path, one in zip(paths, (array, np.asfortranarray(array)), strict=True):
        write_arrays(path, {"a": one}, metadata())
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_arrays_may_be_larger_than_what_a_plain_zip_archive_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    arrays = {"a": np.arange(1000.0)}
    write_arrays(tmp_path / "a.npz", arrays, metadata())
    assert same(read_arrays(tmp_path / "a.npz")[0], arrays)


def test_importing_artifacts_loads_neither_torch_nor_pandas():
    code = (
        "import sys, advsparse.artifacts as a; a.make_metadata('s', params={}, code='', seed=0);"
        "sys.exit(bool({'torch', 'pandas'} & sys.modules.keys()))"
    )
    environment = os.environ | {"PYTHONPATH": str(WORKFLOW)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


# --------------------------------------------------------------------------------------- damage


def outcomes(kind: str, path: Path, read, victim: Path, variants) -> int:
    """Read every variant of ``victim``; the number of those refused."""
    payload, original = KINDS[kind][3], read(path)[1]
    refused = 0
    for data in variants:
        victim.write_bytes(data)
        try:
            found, found_metadata = read(path)
        except ArtifactError as error:
            assert "snakemake --cores all --force" in str(error)
            refused += 1
        else:
            assert same(found, payload)
            assert found_metadata == original
    return refused


def victims(kind: str, path: Path) -> list[Path]:
    return [path, sidecar_path(path)] if kind == "rows" else [path]


@kinds
def test_no_flipped_byte_changes_what_is_read(tmp_path, kind):
    path, _, read = written(kind, tmp_path)
    for victim in victims(kind, path):
        data = victim.read_bytes()
        masks = [1, 2, 16, 32, 128, 255]
        flips = (
            data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
            for at in range(len(data))
            for mask in masks
        )
        refused = outcomes(kind, path, read, victim, flips)
        assert refused > len(data) * len(masks) / 2
        victim.write_bytes(data)


@kinds
def test_no_truncation_is_read(tmp_path, kind):
    path, _, read = written(kind, tmp_path)
    for victim in victims(kind, path):
        data = victim.read_bytes()
        refused = outcomes(kind, path, read, victim, (data[:length] for length in range(len(data))))
        # The line end of the sidecar is all that may go missing.
        assert refused == len(data) - (victim != path)
        victim.write_bytes(data)


@kinds
def test_a_missing_file_says_how_to_make_it(tmp_path, kind, monkeypatch):
    path, _, read = written(kind, tmp_path)
    for victim in victims(kind, path)[::-1]:
        victim.unlink()
        with pytest.raises(ArtifactError, match=r"does not exist|is missing") as caught:
            read(path)
        assert str(caught.value).endswith(f"snakemake --cores all --force {path}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtifactError, match=r"--force 'sub folder/a'$"):
        read(tmp_path / "sub folder" / "a")


@kinds
def test_the_artifact_of_another_stage_is_refused(tmp_path, kind):
    path, _, read = written(kind, tmp_path)
    with pytest.raises(ArtifactError, match="stage 'attack', not 'train'"):
        read(path, stage="train")
    read(path, stage="attack")
    read(path)


def rewritten(path: Path, content: dict) -> None:
    """Replace the metadata of the rows at ``path``; its checksum holds."""
    record = {"metadata": content, "dtypes": {}}
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    record["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    sidecar_path(path).write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "has format version 2, not 1"),
        ({"format_version": True}, "has format version True, not 1"),
        ({"format_version": "1"}, "has format version '1', not 1"),
        ({"seed": "7"}, "has a seed of type str"),
        ({"params": []}, "has a params of type list"),
        ({"versions": {"numpy": 2}}, "has a version that is no text"),
        ({"versions": {"numpy": "2", "torch": None}}, "has a version that is no text"),
        ({"mood": "good", "air": "bad"}, "has unknown air, mood"),
        ({"stage": ..., "code": ...}, "lacks code, stage"),
    ],
)
def test_metadata_of_another_shape_is_refused(tmp_path, change, message):
    path, done, _ = written("rows", tmp_path)
    content = dataclasses.asdict(done) | change
    rewritten(path, {name: value for name, value in content.items() if value is not ...})
    with pytest.raises(ArtifactError, match=f": its metadata {re.escape(message)}. Rebuild it"):
        read_rows(path)


@kinds
def test_metadata_that_could_not_be_read_back_is_not_written(tmp_path, kind):
    problems = {
        "has format version 2, not 1": {"format_version": 2},
        "has a seed of type float": {"seed": 1.5},
        "has a code of type NoneType": {"code": None},
    }
    for problem, change in problems.items():
        message = f"^cannot write an artifact: its metadata {problem}$"
        with pytest.raises(ValueError, match=message):
            written(kind, tmp_path, **change)
    assert not list(tmp_path.iterdir())


# -------------------------------------------------------------------------------------- crashes


# Rows replace two files, the sidecar first: the second call is the one for the CSV.
@pytest.mark.parametrize(("kind", "call"), [*((kind, 1) for kind in KINDS), ("rows", 2)])
@pytest.mark.parametrize("function", ["replace", "fsync"])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_crash_leaves_the_old_file(tmp_path, monkeypatch, kind, function, error, call):
    path, _, read = written(kind, tmp_path, seed=1)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    done, real = [], getattr(os, function)

    def crash(*arguments):
        is_folder = function == "fsync" and Path(f"/proc/self/fd/{arguments[0]}").is_dir()
        done.append(arguments) if not is_folder else None
        if len(done) >= call and not is_folder:
            raise error("crash")
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, function, crash)
        with pytest.raises(error, match="crash"):
            written(kind, tmp_path, seed=2)
        with pytest.raises(error, match="crash"):
            written(kind, tmp_path / "new")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()} == before
    assert not list((tmp_path / "new").iterdir())
    assert read(path)[1].seed == 1


def test_atomic_path_replaces_or_leaves(tmp_path):
    path = tmp_path / "deep" / "figure.svg"
    with atomic_path(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == ".svg"
        assert temporary.name.startswith(".")
        temporary.write_text("one")
        assert not path.exists()
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("two")
        raise RuntimeError
    with pytest.raises(ValueError, match="nothing was written"), atomic_path(path):
        pass
    assert path.read_text() == "one"
    assert [file.name for file in path.parent.iterdir()] == ["figure.svg"]


def test_what_a_killed_writer_leaves_is_removed_by_the_next_and_a_live_one_is_left(tmp_path):
    path = tmp_path / "a[1].npz"
    dead = tmp_path / ".a[1].0123456789abcdef.npz"
    others = [tmp_path / name for name in (".a[1].npz", ".a1.0123456789abcdef.npz", "a[1].csv")]
    for file in (dead, *others):
        file.write_bytes(b"half")
    with atomic_path(path) as live:
        assert not dead.exists()
        live.write_text("first")
        with atomic_path(path) as second:
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert sorted(tmp_path.iterdir()) == sorted([path, *others])


def test_a_folder_that_cannot_be_synced_is_no_failure(tmp_path, monkeypatch):
    real = os.fsync

    def refuse_folders(descriptor):
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            raise OSError("a folder")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    path, _, read = written("arrays", tmp_path)
    read(path)
