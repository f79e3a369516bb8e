"""The sources that read the user's files: where these are, and npz (folder: its own module)."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from advsparse.data.folder import Folder
from advsparse.data.npz import Npz
from advsparse.errors import DataError
from advsparse.registry import load

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (6, 3, 5, 4), dtype=np.uint8)
Y = np.array([0, 1, 2, 0, 1, 2])
GOOD = {"x_train": X, "y_train": Y, "x_test": X[:3], "y_test": Y[:3]}


def refused(source, directory, *parts):
    """The message of the DataError that ``source`` raises, which has all of ``parts``."""
    with pytest.raises(DataError) as caught:
        source.load(directory)
    message = str(caught.value)
    assert str(directory / source.path) in message
    for part in parts:
        assert part in message, message


@pytest.mark.parametrize(("kind", "cls"), [("npz", Npz), ("folder", Folder)])
def test_found_by_kind_and_where_the_file_is(kind, cls, tmp_path, monkeypatch):
    assert load("data", kind) is cls and not cls.stand_in
    monkeypatch.setenv("HOME", "/home/me")
    assert cls(path="a/b.zip").files(tmp_path) == [tmp_path / "a/b.zip"]
    assert cls(path="~/b.zip").files(tmp_path) == [Path("/home/me/b.zip")]
    assert cls(path="/c/b.zip").files(tmp_path) == [Path("/c/b.zip")]
    refused(cls(path="gone.zip"), tmp_path, "no such file")
    with pytest.raises(DataError, match="~nobody-of-that-name"):
        cls(path="~nobody-of-that-name/x").load(tmp_path)
    with pytest.raises(ValidationError):
        cls(path="")


# npz


def npz(directory, **changed):
    arrays = {name: array for name, array in (GOOD | changed).items() if array is not None}
    np.savez_compressed(directory / "mine.npz", **arrays)
    return Npz(path="mine.npz")


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint64, np.int64])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("convert", [None, np.float16, np.float32, np.float64])
def test_npz_layouts_and_types(tmp_path, dtype, last, convert):
    x = X.transpose(0, 2, 3, 1) if last else X
    x = x if convert is None else (x / 255).astype(convert)
    splits = npz(tmp_path, x_train=x, x_test=x[:3], y_train=Y.astype(dtype)).load(tmp_path)
    np.testing.assert_array_equal(splits.x_train, X)
    np.testing.assert_array_equal(splits.x_test, X[:3])
    np.testing.assert_array_equal(splits.y_train, Y)
    assert splits.classes == ("0", "1", "2")
    assert splits.x_train.flags.c_contiguous


def test_npz_grey(tmp_path):
    flat, column = X[:, 0], X[:, 0, :, :, None]
    for x in (flat, column):
        splits = npz(tmp_path, x_train=x, x_test=x[:3]).load(tmp_path)
        np.testing.assert_array_equal(splits.x_train, X[:, :1])


def test_npz_class_names(tmp_path):
    source = npz(tmp_path, classes=np.array(["cat", "dog", "owl"]))
    assert source.load(tmp_path).classes == ("cat", "dog", "owl")
    ours = Npz(path="mine.npz", classes=["a", "b", "c"])
    assert ours.load(tmp_path).classes == ("a", "b", "c")
    refused(Npz(path="mine.npz", classes=["a", "b", "a"]), tmp_path, "classes", "'a'")
    refused(Npz(path="mine.npz", classes=["a", "b"]), tmp_path, "y_train[2] is 2, outside 0..1")


def at(array, index, value, dtype=None):
    array = array.astype(dtype or array.dtype)
    array[index] = value
    return array


FLOATS = (X / 255).astype(np.float32)


@pytest.mark.parametrize(
    ("changed", "parts"),
    [
        ({"y_test": None}, ["y_test is missing", "x_train"]),
        ({"x_train": np.array([{}, 1])}, ["x_train", "Object arrays cannot be loaded"]),
        ({"classes": np.array(["a", None, "c"])}, ["classes", "Object arrays"]),
        ({"classes": np.arange(3)}, ["classes: expected strings"]),
        ({"classes": np.array(["a", "gr\udcf6", "c"])}, [r"class name 'gr\udcf6'", "UTF-8"]),
        ({"x_train": X[0, 0]}, ["x_train: expected uint8", "(5, 4)"]),
        ({"x_train": X.astype(np.int32)}, ["x_train: expected uint8", "int32"]),
        ({"x_train": X[:0], "y_train": Y}, ["x_train", "(0, 3, 5, 4)"]),
        ({"x_train": X[:, :2]}, ["x_train", "(6, 2, 5, 4)", "neither"]),
        ({"x_train": X[..., :3]}, ["x_train", "(6, 3, 5, 3)", "both"]),
        ({"x_test": X[:3, :, :4]}, ["training images have shape (3, 5, 4)", "(3, 4, 4)"]),
        ({"x_test": at(FLOATS[:3], (1, 2, 0, 0), np.nan)}, ["x_test[1] holds nan"]),
        ({"x_train": at(FLOATS, (4, 0, 0, 0), 1.5)}, ["x_train[4] holds 1.5"]),
        ({"x_train": at(FLOATS, (5, 0, 0, 0), -np.inf)}, ["x_train[5] holds -inf"]),
        ({"x_train": np.repeat(FLOATS, 500, 0) * 1.01}, ["x_train[", "outside [0, 1]"]),
        ({"x_train": np.nextafter(FLOATS.clip(1, 1), np.float32(2))}, ["holds 1.0000001, outside"]),
        ({"y_train": Y[:5]}, ["x_train holds 6 images, y_train 5 labels"]),
        ({"y_train": Y[:, None]}, ["y_train: expected integers of shape N", "(6, 1)"]),
        ({"y_train": Y.astype(float)}, ["y_train: expected integers", "float64"]),
        ({"y_train": Y.astype("m8[s]")}, ["y_train: expected integers", "timedelta64"]),
        ({"y_test": Y[:3] > 0}, ["y_test: expected integers", "bool"]),
        ({"y_train": at(Y, 3, -1)}, ["y_train[3] is -1"]),
        ({"y_train": at(Y, 3, 2**64 - 1, np.uint64)}, ["y_train[3] is 18446744073709551615"]),
        ({"y_train": at(Y, 4, 2**40)}, ["y_train[4] is 1099511627776", "no", "label 3"]),
        ({"y_test": at(Y[:3], 0, 12)}, ["y_test[0] is 12, outside 0..2"]),
        ({"y_test": at(Y[:3], 2, 0)}, ["y_test: no image of class '2'"]),
    ],
)
def test_npz_wrong_arrays(tmp_path, changed, parts):
    refused(npz(tmp_path, **changed), tmp_path, *parts)


def test_contents_tell_labels_in_a_file_of_the_same_size_and_an_old_time(tmp_path):
    told = []
    for labels in (Y, 2 - Y):
        source = npz_stored(tmp_path, y_train=labels)
        os.utime(tmp_path / "mine.npz", (1.7e9, 1.7e9))
        told.append((source.contents(tmp_path), (tmp_path / "mine.npz").stat().st_size))
    assert told[0][1] == told[1][1] and told[0][0] != told[1][0]


def npz_stored(directory, **changed):
    np.savez(directory / "mine.npz", **GOOD | changed)
    return Npz(path="mine.npz")


def test_npz_damaged(tmp_path):
    source, file = npz(tmp_path), tmp_path / "mine.npz"
    whole = file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        offset = archive.getinfo("x_test.npy").header_offset
    file.write_bytes(whole[: offset + 150] + b"\xff\xff\xff" + whole[offset + 153 :])
    refused(source, tmp_path, "x_test: cannot be read")
    for damaged in (whole[:-30], b"no zip at all", b""):
        file.write_bytes(damaged)
        refused(source, tmp_path, "cut short")
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("y_train", "hello")
    refused(source, tmp_path, "y_train is no NumPy array")
    file.unlink()
    file.mkdir()
    refused(source, tmp_path, "no .npz file")
