"""The sources that read a folder of ImageNet."""

import tracemalloc

import numpy as np
import pytest
from PIL import Image

from advsparse.artifacts import make_metadata, slices
from advsparse.data._io import load_dataset, save_dataset
from advsparse.data.imagenet import ImageNet
from advsparse.data.imagenet10 import COARSE, ImageNet10
from advsparse.errors import DataError


def picture(path, seed, height=40, width=56):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "JPEG")


def colour(splits, split, index):
    """What :func:`flat` has drawn."""
    return splits.pixels(split)[index : index + 1][0, 0, 0, 0].item()


def flat(path, level):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (level,) * 3).save(path, "PNG")


def refused(source, directory, *parts):
    with pytest.raises(DataError) as caught:
        splits = source.load(directory)
        splits.x_train[:], splits.x_test[:]
    for part in parts:
        assert part in str(caught.value), caught.value


WNIDS = ("n01000001", "n02000002")


@pytest.fixture
def imagenet(tmp_path):
    for label, wnid in enumerate(WNIDS):
        for i in (2, 10, 1):
            picture(tmp_path / "imagenet/train" / wnid / f"{wnid}_{i}.JPEG", 10 * label + i)
        picture(tmp_path / "imagenet/val" / wnid / "ILSVRC2012_val_1.JPEG", 50 + label, 60, 30)
    (tmp_path / "imagenet/train" / WNIDS[0] / "notes.txt").write_text("no image")
    (tmp_path / "imagenet/train/not-a-wnid").mkdir()
    return tmp_path


def test_imagenet(imagenet):
    splits = ImageNet(size=16).load(imagenet)
    assert splits.classes == WNIDS
    assert splits.y_train.tolist() == [0, 0, 0, 1, 1, 1] and splits.y_test.tolist() == [0, 1]
    assert splits.x_train.shape == (6, 3, 16, 16)
    # Sorted by name: 1, 10, 2.
    with Image.open(imagenet / f"imagenet/train/{WNIDS[1]}/{WNIDS[1]}_10.JPEG") as image:
        expected = image.crop((8, 0, 48, 40)).resize((16, 16), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(splits.x_train[4:5][0], np.asarray(expected).transpose(2, 0, 1))
    fewer = ImageNet(size=16, train_per_class=2).load(imagenet)
    np.testing.assert_array_equal(fewer.x_train[:], splits.x_train[:][[0, 1, 3, 4]])
    np.testing.assert_array_equal(splits.x_train[np.array([4, 1, 4])], splits.x_train[:][[4, 1, 4]])
    assert splits.x_train[3:3].shape == (0, 3, 16, 16)
    elsewhere = ImageNet(path=str(imagenet / "imagenet"), size=16).load(imagenet / "nowhere")
    np.testing.assert_array_equal(elsewhere.x_train[:], splits.x_train[:])


def test_hidden_files_of_imagenet_are_passed_over(imagenet):
    """As a Mac leaves them, beside each file that it copies to a disk of another kind."""
    whole = ImageNet(size=16, train_per_class=2).load(imagenet)
    for wnid in WNIDS:
        for split, name in (("train", f"{wnid}_1"), ("val", "ILSVRC2012_val_1")):
            folder = imagenet / "imagenet" / split / wnid
            (folder / f"._{name}.JPEG").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        ")
            picture(folder / f".{name}.JPEG", 99)  # an image, and hidden
    (imagenet / "imagenet/train/._n01000001").write_bytes(b"\0\5\x16\7")
    found = ImageNet(size=16, train_per_class=2).load(imagenet)
    np.testing.assert_array_equal(found.x_train[:], whole.x_train[:])
    np.testing.assert_array_equal(found.x_test[:], whole.x_test[:])


def test_image_of_imagenet_whose_name_is_not_utf8(imagenet):
    picture(imagenet / f"imagenet/train/{WNIDS[0]}/gr\udcf6.JPEG", 1)
    refused(ImageNet(), imagenet, rf"train/{WNIDS[0]}/gr\xf6.JPEG: the name is not UTF-8")


@pytest.mark.parametrize("source", [ImageNet(), ImageNet10()])
def test_no_imagenet(tmp_path, source):
    for folder in ("", "imagenet", "imagenet/train"):
        (tmp_path / folder).mkdir(exist_ok=True)
        said = source.absent(tmp_path)
        assert str(tmp_path / "imagenet") in said and "put it there" in said
        refused(source, tmp_path, said)
    (tmp_path / "imagenet/val").mkdir()
    assert source.absent(tmp_path) is None


def test_incomplete_imagenet(imagenet):
    (imagenet / f"imagenet/val/{WNIDS[1]}").rename(imagenet / "imagenet/val/flat")
    refused(ImageNet(), imagenet, str(imagenet / "imagenet"), f"no folder val/{WNIDS[1]}")
    broken = imagenet / f"imagenet/train/{WNIDS[0]}/{WNIDS[0]}_1.JPEG"
    broken.write_bytes(broken.read_bytes()[:200])
    (imagenet / "imagenet/val/flat").rename(imagenet / f"imagenet/val/{WNIDS[1]}")
    refused(ImageNet(), imagenet, f"train/{WNIDS[0]}/{WNIDS[0]}_1.JPEG: cannot be read")
    refused(ImageNet10(), imagenet, "no folder train/n01629819")
    for wnid in WNIDS:
        (imagenet / "imagenet/train" / wnid).rename(imagenet / "imagenet/train" / wnid[1:])
    refused(ImageNet(), imagenet, "no folder named as a WordNet id")


def test_imagenet_is_stored_with_some_images_in_memory_at_a_time(imagenet, tmp_path, monkeypatch):
    for i in range(60):
        picture(imagenet / f"imagenet/train/{WNIDS[0]}/big_{i}.JPEG", i, 400, 400)
    size, few = 3 * 64 * 64, 4
    monkeypatch.setattr(slices, "_AT_ONCE", few * size)
    source, path = ImageNet(size=64), tmp_path / "d.safetensors"
    made = make_metadata("dataset", params={}, code="", seed=0)
    save_dataset(path, source.load(imagenet), made)  # imports
    tracemalloc.start()
    save_dataset(path, source.load(imagenet), made)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A picture while it is decoded, and what is written at once, three times; of 66.
    assert peak < 3 * 400 * 400 * 3 + 3 * few * size + 2 * slices.BLOCK
    np.testing.assert_array_equal(load_dataset(path).x_train[:], source.load(imagenet).x_train[:])


def test_coarse_classes_are_ten_of_ten_ids_each():
    ids = [wnid for members in COARSE.values() for wnid in members]
    assert list(COARSE) == sorted(COARSE) and len(COARSE) == 10
    assert all(
        len(members) == 10 and list(members) == sorted(members) for members in COARSE.values()
    )
    assert len(set(ids)) == 100
    assert all(len(wnid) == 9 and wnid[0] == "n" and wnid[1:].isdigit() for wnid in ids)


def test_imagenet10(tmp_path):
    """The level of a training image tells the place of its id in the class, and its number."""
    for members in COARSE.values():
        for place, wnid in enumerate(members):
            for number in range(3 if place else 2):
                path = tmp_path / f"imagenet/train/{wnid}/{number}.png"
                flat(path, 10 * number + place)
            flat(tmp_path / f"imagenet/val/{wnid}/a.png", 200 + place)
    splits = ImageNet10(size=8, train_per_class=12, test_per_class=25).load(tmp_path)
    assert splits.classes == tuple(COARSE)
    assert np.bincount(splits.y_train).tolist() == [12] * 10
    assert [colour(splits, "train", i) for i in range(12)] == [*range(12)]
    # Ten of val, then those of train that come after: 29 in all, of which 17 are left.
    assert np.bincount(splits.y_test).tolist() == [25] * 10
    held_out = [colour(splits, "test", i) for i in range(25)]
    assert held_out == [*range(200, 210), *range(12, 20), *range(21, 28)]
    all_of_them = ImageNet10(size=8).load(tmp_path)
    assert np.bincount(all_of_them.y_train).tolist() == [29] * 10
    assert np.bincount(all_of_them.y_test).tolist() == [10] * 10
