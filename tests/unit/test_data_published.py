"""The sources that read datasets as they are published, and the registry of these."""

import dataclasses
import gzip
import hashlib
import io
import os
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advsparse import registry
from advsparse.data._fetch import fetch
from advsparse.data._published import FETCH, Published
from advsparse.data._registry import RemoteFile, registered
from advsparse.data.cifar10 import Cifar10
from advsparse.data.folder import Folder
from advsparse.data.mnist import Mnist, read_idx
from advsparse.data.tiny_imagenet import TinyImageNet
from advsparse.errors import DataError

RNG = np.random.default_rng(0)
SHARED = Path(
    os.environ.get("ADVSPARSE_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data")
)


def shared(name):
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"{path} is not there (ADVSPARSE_SHARED_DATA says where it is)")
    return path


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Put files into the data directory and into the registry."""

    def published(kind, files):
        (tmp_path / kind).mkdir(exist_ok=True)
        entries = []
        for name, data in files.items():
            (tmp_path / kind / name).write_bytes(data)
            sha256 = hashlib.sha256(data).hexdigest()
            entries.append(RemoteFile(name=name, size=len(data), sha256=sha256))
        entry = dataclasses.replace(registered()[kind], files=entries)
        monkeypatch.setitem(registered(), kind, entry)
        return tmp_path

    return published


def refused(source, directory, *parts):
    with pytest.raises(DataError) as caught:
        source.load(directory)
    for part in (str(directory), *parts):
        assert part in str(caught.value), caught.value


# The registry.


def test_registry_names_sources_and_more_than_one_address():
    for kind, dataset in registered().items():
        source = registry.load("data", kind)
        assert issubclass(source, Published) == bool(dataset.files)
        assert not source.stand_in
        if dataset.files:
            assert len(dataset.addresses) >= 2
        for address in dataset.addresses:
            assert address.startswith("https://") and address.endswith("/")
        assert len({file.name for file in dataset.files}) == len(dataset.files)


@pytest.mark.parametrize("source", [Mnist(), Cifar10(), TinyImageNet()])
def test_missing_files_are_named_with_the_command(source, tmp_path):
    kind = registry.kind_of(source)
    said = source.absent(tmp_path)
    assert str(tmp_path / kind) in said and FETCH in said
    for path in source.files(tmp_path):
        assert path.parent == tmp_path / kind and path.name in said
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert source.absent(tmp_path) is None
    refused(source, tmp_path, "SHA-256 is e3b0c442", "expected", "move it away", FETCH)
    # What is there is never replaced, nor deleted.
    name = source.published().files[0].name
    with pytest.raises(DataError, match=rf"{name}.*SHA-256 is e3b0c442.*move it away"):
        fetch(kind, name, tmp_path)
    assert (tmp_path / kind / name).exists()


# MNIST.


def idx(array, kind=8, packed=False):
    head = bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return (gzip.compress if packed else bytes)(head + array.tobytes())


X = RNG.integers(0, 256, (30, 5, 4), dtype=np.uint8)
Y = np.arange(30, dtype=np.uint8) % 10


def mnist(packed=True, **changed):
    arrays = {
        "train-images-idx3-ubyte": X,
        "train-labels-idx1-ubyte": Y,
        "t10k-images-idx3-ubyte": X[:20],
        "t10k-labels-idx1-ubyte": Y[:20],
    }
    data = {name + ".gz": idx(array, packed=packed) for name, array in arrays.items()}
    return data | {name.replace("_", "-") + "-ubyte.gz": entry for name, entry in changed.items()}


@pytest.mark.parametrize("packed", [False, True])
def test_mnist(publish, packed):
    splits = Mnist().load(publish("mnist", mnist(packed)))
    np.testing.assert_array_equal(splits.x_train, X[:, None])
    np.testing.assert_array_equal(splits.x_test, X[:20, None])
    np.testing.assert_array_equal(splits.y_train, Y)
    np.testing.assert_array_equal(splits.y_test, Y[:20])
    assert splits.classes == tuple("0123456789")


def test_mnist_labels_outside_the_digits(publish):
    files = mnist(train_labels_idx1=idx(Y + 1, packed=True))
    refused(Mnist(), publish("mnist", files), "y_train[9] is 10, outside 0..9")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "begins with nothing"),
        (b"\0\0", "begins with 00 00"),
        (idx(X, kind=9), "begins with 00 00 09 03"),
        (idx(Y), "begins with 00 00 08 01"),
        (b"PK\3\4" + bytes(20), "begins with 50 4b 03 04"),
        (idx(X)[:10], "ends within its header"),
        (idx(X)[:-1], "(30, 5, 4), 600 bytes; it holds 599"),
        (idx(X) + b"x", "(30, 5, 4), 600 bytes; it holds more than 600"),
        (idx(X, packed=True)[:-9], "cannot be read"),
        (gzip.compress(idx(X)[:-1]), "it holds 599"),
        (b"\0\0\10\3" + struct.pack(">3I", 2**20, 2**10, 2**10), "at most 1073741824"),
    ],
)
def test_damaged_idx(tmp_path, data, said):
    path = tmp_path / "images"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        read_idx(path, 3)
    assert str(path) in str(caught.value) and said in str(caught.value)


def test_real_mnist_in_its_published_form(tmp_path):
    """The digests of the registry are those of the real thing."""
    with np.load(shared("mnist.npz")) as arrays:
        arrays = dict(arrays)
    (tmp_path / "mnist").mkdir()
    for split, name in (("train", "train"), ("test", "t10k")):
        for letter, what in (("x", "images-idx3"), ("y", "labels-idx1")):
            path = tmp_path / "mnist" / f"{name}-{what}-ubyte"
            path.write_bytes(idx(arrays[f"{letter}_{split}"]))
    assert Mnist().absent(tmp_path) is None
    splits = Mnist().load(tmp_path)
    np.testing.assert_array_equal(splits.x_test[:, 0], arrays["x_test"])
    np.testing.assert_array_equal(splits.y_train, arrays["y_train"])
    # Unpacked files serve as well: there is nothing to download.
    path = fetch("mnist", "t10k-labels-idx1-ubyte.gz", tmp_path)
    assert path.name == "t10k-labels-idx1-ubyte"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    refused(Mnist(), tmp_path, "t10k-labels-idx1-ubyte: SHA-256 is ")


# CIFAR-10.


def records(count, first=0):
    rows = RNG.integers(0, 256, (count, 3073), dtype=np.uint8)
    rows[:, 0] = (np.arange(count) + first) % 10
    return rows


PARTS = {f"data_batch_{i}.bin": records(4, 4 * i) for i in range(1, 6)}
PARTS["test_batch.bin"] = records(10)


def cifar10(**changed):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        # Out of order, and with what the published archive holds besides.
        for name in ("readme.html", *sorted(PARTS, reverse=True)):
            rows = PARTS.get(name)
            data = changed.get(name.removesuffix(".bin"), b"" if rows is None else rows.tobytes())
            if data is not None:
                info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return {"cifar-10-binary.tar.gz": stream.getvalue()}


def test_cifar10(publish):
    splits = Cifar10().load(publish("cifar10", cifar10()))
    assert splits.x_train.shape == (20, 3, 32, 32) and splits.x_test.shape == (10, 3, 32, 32)
    assert splits.classes[3] == "cat" and len(splits.classes) == 10
    row = PARTS["data_batch_2.bin"][1]
    assert splits.y_train[5] == row[0]
    # Row after row of the red plane, then of the green one, then of the blue one.
    for channel, y, x in ((0, 0, 1), (1, 2, 0), (2, 31, 31)):
        assert splits.x_train[5, channel, y, x] == row[1 + 1024 * channel + 32 * y + x]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"data_batch_3": None}, "data_batch_3.bin is missing"),
        ({"test_batch": bytes(3072)}, "test_batch.bin: 3072 bytes are no records of 3073 bytes"),
        ({"test_batch": b""}, "test_batch.bin: 0 bytes are no records"),
        ({"test_batch": b"\12" + bytes(3072)}, "y_test[0] is 10, outside 0..9"),
    ],
)
def test_damaged_cifar10(publish, changed, said):
    refused(Cifar10(), publish("cifar10", cifar10(**changed)), "cifar-10-binary.tar.gz", said)


def test_cifar10_cut_short(publish, tmp_path):
    (data,) = cifar10().values()
    publish("cifar10", {"cifar-10-binary.tar.gz": data[:-100]})
    refused(Cifar10(), tmp_path, "cannot be read")


# Tiny ImageNet.

WNIDS = ("n02000002", "n01000001", "n03000003")


def jpeg(seed, mode="RGB"):
    pixels = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, "JPEG")
    return stream.getvalue()


def tiny_imagenet(**changed):
    files = {"wnids.txt": "\n".join(WNIDS).encode(), "test/images/test_0.JPEG": b"never read"}
    lines = []
    for label, wnid in enumerate(WNIDS):
        for i in (1, 0, 10):
            name = f"train/{wnid}/images/{wnid}_{i}.JPEG"
            files[name] = jpeg(100 * label + i, "L" if i else "RGB")
        files[f"train/{wnid}/{wnid}_boxes.txt"] = b"0\t0\t1\t1"
        for i in range(2):
            name = f"val_{3 * i + label}.JPEG"
            files[f"val/images/{name}"] = jpeg(1000 * label + i)
            lines.append(f"{name}\t{wnid}\t0\t32\t44\t62")
    files["val/val_annotations.txt"] = "\n".join(lines).encode()
    files |= {name.replace("__", "/") + ".txt": data for name, data in changed.items()}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files.items():
            if data is not None:
                archive.writestr(f"tiny-imagenet-200/{name}", data)
    return {"tiny-imagenet-200.zip": stream.getvalue()}


def decoded(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).transpose(2, 0, 1)


def test_tiny_imagenet(publish, tmp_path):
    publish("tiny_imagenet", tiny_imagenet())
    splits = TinyImageNet().load(tmp_path)
    assert splits.classes == tuple(sorted(WNIDS))
    assert splits.y_train.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert splits.y_test.tolist() == [0, 0, 1, 1, 2, 2]
    np.testing.assert_array_equal(splits.x_train[1], decoded(jpeg(101, "L")))
    np.testing.assert_array_equal(splits.x_test[1], decoded(jpeg(1001)))
    some = TinyImageNet(classes=["n03000003", "n01000001"], train_per_class=2, test_per_class=1)
    splits = some.load(tmp_path)
    assert splits.classes == ("n03000003", "n01000001")
    assert splits.y_train.tolist() == [0, 0, 1, 1] and splits.y_test.tolist() == [0, 1]
    np.testing.assert_array_equal(splits.x_test[1], decoded(jpeg(1000)))
    refused(TinyImageNet(classes=["n01000001", "cat"]), tmp_path, "there is no class 'cat'")
    twice = TinyImageNet(classes=["n01000001", "n01000001"])
    refused(twice, tmp_path, "'n01000001' is given twice")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"wnids": None}, "wnids.txt is missing"),
        ({"wnids": b"\xff\xfe"}, "wnids.txt: cannot be read"),
        ({"wnids": b"n01000001\nn05000000"}, "no image of class 'n05000000'"),
        ({"val__val_annotations": b"gone.JPEG\tn01000001"}, "names gone.JPEG, which is missing"),
        ({"val__val_annotations": b""}, "holds no test image"),
    ],
)
def test_damaged_tiny_imagenet(publish, changed, said):
    directory = publish("tiny_imagenet", tiny_imagenet(**changed))
    refused(TinyImageNet(), directory, "tiny-imagenet-200.zip", said)


def test_real_tiny_imagenet_images(publish, tmp_path):
    """Packed as published, the same images as read from a folder of classes."""
    path = shared("tiny-imagenet-10.zip")
    wnids = ("n02085620", "n02123045")
    stream = io.BytesIO()
    with zipfile.ZipFile(path) as given, zipfile.ZipFile(stream, "w") as archive:
        lines = []
        for name in given.namelist():
            split, _, file = (name + "//").split("/")[:3]
            wnid = file.partition("_")[0]
            if wnid in wnids and split == "train":
                archive.writestr(f"tiny-imagenet-200/train/{wnid}/images/{file}", given.read(name))
            elif wnid in wnids and split == "test":
                archive.writestr(f"tiny-imagenet-200/val/images/{file}", given.read(name))
                lines.append(f"{file}\t{wnid}\t0\t0\t63\t63")
        archive.writestr("tiny-imagenet-200/wnids.txt", "\n".join(wnids))
        archive.writestr("tiny-imagenet-200/val/val_annotations.txt", "\n".join(lines))
    publish("tiny_imagenet", {"tiny-imagenet-200.zip": stream.getvalue()})
    ours = TinyImageNet(train_per_class=20, test_per_class=5).load(tmp_path)
    assert ours.x_train.shape == (40, 3, 64, 64) and ours.x_test.shape == (10, 3, 64, 64)
    theirs = Folder(path=str(path), train_per_class=20, test_per_class=5).load(tmp_path)
    dogs = theirs.x_train[theirs.y_train == theirs.classes.index("dog")]
    np.testing.assert_array_equal(ours.x_train[:20], dogs)
