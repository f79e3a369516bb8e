"""What is said of artifacts that can't be read or written, word for word, and what they promise."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import io
import json
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from advsparse.artifacts import (
    make_metadata,
    read_arrays,
    read_metadata,
    read_rows,
    read_tensors,
    sidecar_path,
    write_arrays,
    write_rows,
    write_tensors,
)
from advsparse.artifacts.atomic import check_writable
from advsparse.artifacts.metadata import check_payload, from_json, to_json
from advsparse.errors import ArtifactError, StorageError

MADE = make_metadata("attack", params={}, code="c0de", seed=7)
TABLE = pd.DataFrame({"name": ["a"], "value": [0.5]})


def said(path: Path, read, **options) -> str:
    """What reading complains about, without the file's name and the command that rebuilds it."""
    with pytest.raises(ArtifactError) as caught:
        read(path, **options)
    message, start = str(caught.value), f"{path}: "
    end = f". Rebuild it with: snakemake --cores all --force {path}"
    assert message.startswith(start) and message.endswith(end)
    return message[len(start) : -len(end)]


def entry(name="x.npy", size=None, **options):
    """Writes an archive of the right metadata whose other entries are as asked for."""

    def write(path: Path) -> None:
        write_arrays(path, {}, MADE)
        array = io.BytesIO()
        np.save(array, np.zeros(3))
        with zipfile.ZipFile(path, "a") as archive:
            for one in [name] if isinstance(name, str) else name:
                archive.writestr(one, array.getvalue(), **options)
                archive.getinfo(one).file_size = size or archive.getinfo(one).file_size

    return write


def sidecar(text: str):
    def write(path: Path) -> None:
        write_rows(path, TABLE, MADE, tuple(TABLE))
        sidecar_path(path).write_text(text)

    return write


def changed_sidecar(path: Path) -> None:
    write_rows(path, TABLE, MADE, tuple(TABLE))
    record = json.loads(sidecar_path(path).read_text())
    record["metadata"]["extra"] = {"mean": float("nan")}
    sidecar_path(path).write_text(json.dumps(record))


def other_tensors(path: Path) -> None:
    write_tensors(path, {"x": torch.ones(2)}, MADE)
    path.write_bytes(path.read_bytes()[:-4] + bytes(4))


def other_rows(path: Path) -> None:
    write_rows(path, TABLE, MADE, tuple(TABLE))
    path.write_bytes(path.read_bytes() + b"b,2\n")


PAYLOAD = "its payload does not match the digest in its metadata"
ALIEN = "its metadata is not that of an advsparse artifact"
NO_METADATA = "it is a zip archive without advsparse metadata"
FOREIGN_FILES = {
    "plain.npz": (lambda path: np.savez(path, x=np.ones(2)), NO_METADATA),
    "packed.npz": (lambda path: np.savez_compressed(path, x=np.ones(2)), NO_METADATA),
    "other.npz": (lambda path: np.savez(path, __metadata__=np.array("[]")), ALIEN),
    "alien.npz": (lambda path: np.savez(path, __metadata__=np.array('{"metadata": {}}')), ALIEN),
    "pickle.npz": (
        lambda path: np.savez(path, __metadata__=np.array([{}], dtype=object)),
        "it is damaged (ValueError: Object arrays cannot be loaded when allow_pickle=False)",
    ),
    "text.npz": (entry("note.txt"), "its entry 'note.txt' was not written by advsparse"),
    "squeezed.npz": (
        entry(compress_type=zipfile.ZIP_DEFLATED),
        "its entry 'x.npy' was not written by advsparse",
    ),
    "greedy.npz": (entry(size=10**9), "its entry 'x.npy' was not written by advsparse"),
    "twice.npz": (entry(["x.npy", "x.npy"]), "its entry 'x.npy' was not written by advsparse"),
    "added.npz": (entry(), PAYLOAD),
    "empty.npz": (Path.touch, "it is damaged (BadZipFile: File is not a zip file)"),
    "plain.safetensors": (
        lambda path: save_file({"x": torch.ones(2)}, path),
        "it is a safetensors file without advsparse metadata",
    ),
    "other.safetensors": (
        lambda path: save_file({"x": torch.ones(2)}, path, metadata={"format": "pt"}),
        "it is a safetensors file without advsparse metadata",
    ),
    "changed.safetensors": (other_tensors, PAYLOAD),
    "empty.safetensors": (
        Path.touch,
        "it is damaged (SafetensorError: Error while deserializing: header too small)",
    ),
    "plain.csv": (
        lambda path: TABLE.to_csv(path),
        "its metadata, the file .meta.json beside it, is missing",
    ),
    "longer.csv": (other_rows, PAYLOAD),
    "no_json.csv": (
        sidecar("{"),
        "its metadata is no JSON (Expecting property name enclosed in double quotes:"
        " line 1 column 2 (char 1))",
    ),
    "list.csv": (sidecar("[]"), ALIEN),
    "other.csv": (sidecar('{"title": "rows"}'), ALIEN),
    "words.csv": (sidecar('{"metadata": "format_version"}'), ALIEN),
    "changed.csv": (changed_sidecar, "its metadata does not match its checksum"),
}
READERS = {".npz": read_arrays, ".safetensors": read_tensors, ".csv": read_rows}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", FOREIGN_FILES)
def test_foreign_files_are_refused(tmp_path, name):
    write, problem = FOREIGN_FILES[name]
    path = tmp_path / name
    write(path)
    assert said(path, READERS[path.suffix]) == problem


@pytest.mark.parametrize("suffix", READERS)
def test_a_folder_is_no_artifact(tmp_path, suffix):
    path = tmp_path / f"folder{suffix}"
    path.mkdir()
    problem = f"it cannot be read ([Errno 21] Is a directory: '{path}')"
    assert said(path, READERS[suffix]) == problem


@pytest.mark.parametrize("suffix", READERS)
def test_noise_is_refused(tmp_path, suffix):
    path = tmp_path / f"noise{suffix}"
    path.write_bytes(bytes(range(256)))
    assert said(path, READERS[suffix])


def test_a_payload_of_another_digest_is_refused():
    def read(path):
        check_payload(path, MADE, "another")

    assert said(Path("/a.npz"), read) == PAYLOAD
    check_payload(Path("/a.npz"), MADE, "")


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("results/two words/a.npz", "'results/two words/a.npz' --config preset='two words'"),
        ("results/digits/paper/a.npz", "results/digits/paper/a.npz --config preset=digits"),
        ("results/a.npz", "results/a.npz"),
        ("other/digits/a.npz", "other/digits/a.npz"),
        ("other/../results/digits/a.npz", "results/digits/a.npz --config preset=digits"),
        ("/nowhere/results/digits/a.npz", "/nowhere/results/digits/a.npz"),
    ],
)
def test_the_command_that_rebuilds_is_for_this_folder_and_preset(
    tmp_path, monkeypatch, path, target
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtifactError) as caught:
        read_arrays(path)
    message = f"{path}: it does not exist. Rebuild it with: snakemake --cores all --force {target}"
    assert str(caught.value) == message


def test_metadata_is_read_without_the_arrays(tmp_path):
    path = tmp_path / "a.npz"
    made = write_arrays(path, {"x": np.full(9, 0.5)}, MADE)
    path.write_bytes(path.read_bytes().replace(np.float64(0.5).tobytes(), bytes(8), 1))
    assert said(path, read_arrays).startswith("it is damaged (BadZipFile: Bad CRC-32")
    assert read_metadata(path) == read_metadata(str(path), "attack") == made


@pytest.mark.parametrize(
    ("write", "stage", "problem"),
    [
        (FOREIGN_FILES["plain.npz"][0], None, NO_METADATA),
        (FOREIGN_FILES["pickle.npz"][0], None, FOREIGN_FILES["pickle.npz"][1]),
        (entry([]), "fit", "it was written by stage 'attack', not 'fit'"),
        (lambda path: None, None, "it does not exist"),
    ],
    ids=["foreign", "pickle", "stage", "missing"],
)
def test_metadata_is_refused_as_arrays_are(tmp_path, write, stage, problem):
    path = tmp_path / "a.npz"
    write(path)
    assert said(path, read_metadata, stage=stage) == said(path, read_arrays, stage=stage) == problem


# ------------------------------------------------------------------------------------- promises


@pytest.mark.parametrize(
    ("write", "payload", "digest"),
    [
        (
            write_arrays,
            {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "ok": np.array(True)},
            "2d0020bf0ce2d06ea0e458a456631aa765d153fdce5139b2f66f9f90f7146036",
        ),
        (
            write_tensors,
            {"w": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([True, False])},
            "bacc2e7c0e2a09e63777fc2eff9724b67ed52899c150d45703afd2a9e8cdf4f6",
        ),
    ],
    ids=["arrays", "tensors"],
)
def test_digests_are_those_of_artifacts_that_are_already_there(tmp_path, write, payload, digest):
    assert write(tmp_path / "a", payload, MADE).payload_sha256 == digest


def digest_of(name: str, dtype: str, shape: list[int], data: bytes) -> str:
    """Of a payload of one array."""
    head = json.dumps([name, dtype, shape]).encode()
    return hashlib.sha256(len(head).to_bytes(8, "little") + head + data).hexdigest()


def test_an_array_without_entries_has_no_bytes(tmp_path):
    arrays = write_arrays(tmp_path / "a", {"x": np.zeros((0, 3))}, MADE)
    assert arrays.payload_sha256 == digest_of("x", '"<f8"', [0, 3], b"")
    tensors = write_tensors(tmp_path / "t", {"x": torch.zeros(2, 0)}, MADE)
    assert tensors.payload_sha256 == digest_of("x", "torch.float32", [2, 0], b"")


def test_metadata_is_one_line_of_sorted_json_with_its_checksum():
    text = to_json(MADE, other={"b": [1, 2], "a": None})
    record = {"metadata": dataclasses.asdict(MADE), "other": {"b": [1, 2], "a": None}}
    canonical = {"sort_keys": True, "separators": (",", ":")}
    checksum = hashlib.sha256(json.dumps(record, **canonical).encode()).hexdigest()
    assert text == json.dumps(record | {"sha256": checksum}, **canonical)
    assert from_json(Path("a"), text, "attack") == (MADE, {"other": {"b": [1, 2], "a": None}})
    for other in ({"a": float("nan")}, {"a": float("inf")}):
        with pytest.raises(ValueError, match="not JSON compliant"):
            to_json(MADE, other=other)
    with pytest.raises(ArtifactError, match=r"^a: its metadata does not match"):
        from_json(Path("a"), json.dumps(record, **canonical), "attack")


def test_metadata_has_what_it_is_given_and_says_cpu_and_no_time_otherwise():
    made = make_metadata("fit", params={"a": 1}, code="c", seed=np.int64(3))
    assert (made.stage, made.params, made.code, made.seed) == ("fit", {"a": 1}, "c", 3)
    assert type(made.seed) is int
    assert (made.device, made.wall_seconds, made.extra, made.payload_sha256) == ("cpu", 0.0, {}, "")
    more = {"device": torch.device("cuda", 1), "wall_seconds": 2, "extra": {"b": [1]}}
    made = make_metadata("fit", params={}, code="c", seed=3, **more)
    assert (made.device, made.wall_seconds, made.extra) == ("cuda:1", 2.0, {"b": [1]})
    assert type(made.wall_seconds) is float


def test_a_folder_that_takes_files_gives_the_time_of_a_new_one(tmp_path, monkeypatch):
    folder, opened, real = tmp_path / "deep" / "results", [], tempfile.TemporaryFile

    def recorded(**options):
        opened.append((options, real(**options)))
        return opened[-1][1]

    monkeypatch.setattr(tempfile, "TemporaryFile", recorded)
    (tmp_path / "before").touch()
    time = check_writable(str(folder))
    (tmp_path / "after").touch()
    assert (tmp_path / "before").stat().st_mtime <= time <= (tmp_path / "after").stat().st_mtime
    assert opened[0][0] == {"dir": folder} and not list(folder.iterdir())
    assert check_writable(folder) >= time


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    written = []

    class Full(io.BytesIO):
        def flush(self):
            written.append(len(self.getvalue()))
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir: Full())
    with pytest.raises(StorageError) as caught:
        check_writable(tmp_path)
    assert str(caught.value) == f"{tmp_path}: cannot be written: No space left on device"
    # More than file systems keep beside a file's name.
    assert written == [65536]


def test_a_file_in_place_of_a_folder_is_told(tmp_path):
    (tmp_path / "results").touch()
    with pytest.raises(StorageError) as caught:
        check_writable(tmp_path / "results")
    assert str(caught.value) == f"{tmp_path}/results: cannot be written: File exists"


# --------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("name", ["__metadata__", "", "a\0b", 3])
def test_arrays_refuse_names_that_cannot_be_stored(tmp_path, name):
    with pytest.raises(ValueError, match="no array") as caught:
        write_arrays(tmp_path / "a.npz", {name: np.ones(1)}, MADE)
    assert str(caught.value) == f"{tmp_path}/a.npz: no array can be named {name!r}"


@pytest.mark.parametrize("dtype", [object, [("a", object)]])
def test_arrays_refuse_python_objects(tmp_path, dtype):
    with pytest.raises(TypeError) as caught:
        write_arrays(tmp_path / "a.npz", {"a": np.zeros(1, dtype)}, MADE)
    kind = f"dtype {np.dtype(dtype)}"
    assert str(caught.value) == f"{tmp_path}/a.npz: array 'a' holds Python objects ({kind})"
    assert not list(tmp_path.iterdir())


MIXED = pd.DataFrame({"name": pd.Series([1, "a"], dtype=object), "value": 1})
DATES = pd.DataFrame({"name": pd.to_datetime(["2020-01-01"]), "value": 1})
THIRDS = pd.DataFrame({"name": "a", "value": np.array([1 / np.longdouble(3)])})


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (TABLE[["name"]], "the frame lacks value"),
        (TABLE.assign(more=1, other=2), "the frame has unknown more, has unknown other"),
        (TABLE.rename(columns={"value": "v"}), "the frame lacks value, has unknown v"),
        (pd.concat([TABLE, TABLE[["name"]]], axis=1), "the frame has a column twice"),
        (MIXED, "column name holds neither numbers nor text alone"),
        (DATES, "column name holds neither numbers nor text alone"),
        (THIRDS, "CSV cannot hold these rows without changing them"),
    ],
    ids=["lacks", "unknown", "renamed", "twice", "mixed", "dates", "thirds"],
)
def test_rows_that_csv_cannot_hold_are_refused(tmp_path, frame, problem):
    with pytest.raises(ValueError, match=r"r\.csv") as caught:
        write_rows(tmp_path / "r.csv", frame, MADE, ("name", "value"))
    assert str(caught.value) == f"{tmp_path}/r.csv: {problem}"
    assert not list(tmp_path.iterdir())
