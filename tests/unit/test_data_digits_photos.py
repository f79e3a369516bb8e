"""The stand-ins that need no network: digits and photos."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from advsparse.data.digits import Digits
from advsparse.data.photos import PHOTOGRAPHS, Photos, patch_corners, photograph
from advsparse.errors import DataError
from advsparse.registry import load

NOWHERE = Path("/nowhere")  # no stand-in reads a file from the data directory
ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def assert_equal(one, other):
    assert one.classes == other.classes
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize(("kind", "cls"), [("digits", Digits), ("photos", Photos)])
def test_found_by_kind_and_marked_as_stand_in(kind, cls):
    assert load("data", kind) is cls
    assert cls.stand_in and cls().stand_in
    assert cls().files(NOWHERE) == []


def test_stand_in_is_no_setting():
    with pytest.raises(ValidationError):
        Digits(stand_in=False)


# digits


def test_digits_at_their_own_size_are_scikit_learns():
    from sklearn.datasets import load_digits

    splits = Digits(size=8).load(NOWHERE)
    ours = np.concatenate([splits.x_train, splits.x_test]).reshape(-1, 64)
    theirs = np.rint(load_digits().data * (255 / 16)).astype(np.uint8)
    # The same multiset of images: nothing is lost, doubled or on both sides of the split.
    assert sorted(map(bytes, ours)) == sorted(map(bytes, theirs))


def test_digits_keep_their_labels():
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    pixels = np.rint(pixels * (255 / 16)).astype(np.uint8)
    known = {image.tobytes(): label for image, label in zip(pixels, labels, strict=True)}
    splits = Digits(size=8).load(NOWHERE)
    for image, label in zip(splits.x_test, splits.y_test, strict=True):
        assert known[image.tobytes()] == label


def test_digits_are_stratified_and_repeatable():
    splits = Digits().load(NOWHERE)
    assert splits.x_train.shape == (1437, 1, 28, 28)
    assert splits.x_test.shape == (360, 1, 28, 28)
    train, test = np.bincount(splits.y_train), np.bincount(splits.y_test)
    np.testing.assert_allclose(test / (train + test), 0.2, atol=0.01)
    assert_equal(splits, Digits().load(NOWHERE))


def test_digits_enlarged_look_like_the_originals():
    small, large = Digits(size=8).load(NOWHERE), Digits(size=32).load(NOWHERE)
    assert large.x_test.min() == 0 and large.x_test.max() == 255
    # Cells of 4 x 4 pixels are centred on the original pixels; overshoot was clipped, not wrapped.
    averaged = large.x_test.reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4))
    for mean, original in zip(averaged, small.x_test[:, 0], strict=True):
        assert np.corrcoef(mean.ravel(), original.ravel())[0, 1] > 0.98


def test_digits_reduced_are_part_of_the_whole():
    whole, part = Digits().load(NOWHERE), Digits(train_per_class=7, test_per_class=3).load(NOWHERE)
    assert np.bincount(part.y_train).tolist() == [7] * 10
    assert np.bincount(part.y_test).tolist() == [3] * 10
    assert {x.tobytes() for x in part.x_train} <= {x.tobytes() for x in whole.x_train}


def test_more_digits_than_there_are():
    with pytest.raises(DataError, match=r"digits: 36 test images .* there are 35 of digit 2"):
        Digits(test_per_class=36).load(NOWHERE)


@pytest.mark.parametrize("size", [7, 65, 28.0, True])
def test_digits_of_impossible_size(size):
    with pytest.raises(ValidationError):
        Digits(size=size)


# photos


@pytest.fixture(scope="module")
def small():
    return Photos(train_per_class=40, test_per_class=20)


@pytest.fixture(scope="module")
def splits(small):
    return small.load(NOWHERE)


def corners(source, name, split, **changed):
    arguments = {
        "size": source.size,
        "count": getattr(source, f"{split}_per_class"),
        "seed": source.seed,
        "minimum_deviation": source.minimum_deviation,
    } | changed
    return patch_corners(photograph(name), name, split, **arguments)


def test_photos_default():
    splits = Photos().load(NOWHERE)
    assert splits.x_train.shape == (5000, 3, 32, 32)
    assert splits.x_test.shape == (1000, 3, 32, 32)
    assert np.bincount(splits.y_train).tolist() == [500] * 10
    assert np.bincount(splits.y_test).tolist() == [100] * 10
    assert splits.classes == tuple(PHOTOGRAPHS)
    assert len(splits.classes) == 10


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_patches_are_the_photograph_and_the_splits_share_no_pixel(splits, small, name):
    photo, label, size = photograph(name), list(PHOTOGRAPHS).index(name), small.size
    covered = {}
    for split in ("train", "test"):
        found = corners(small, name, split)
        assert len({tuple(corner) for corner in found}) == len(found)
        patches = getattr(splits, f"x_{split}")[getattr(splits, f"y_{split}") == label]
        covered[split] = np.zeros(photo.shape[:2], bool)
        for (row, column), patch in zip(found, patches, strict=True):
            region = np.s_[row : row + size, column : column + size]
            np.testing.assert_array_equal(patch.transpose(1, 2, 0), photo[region])
            assert patch.std(axis=(1, 2)).max() >= small.minimum_deviation
            covered[split][region] = True
    assert covered["train"].any() and covered["test"].any()
    assert not (covered["train"] & covered["test"]).any()
    # The gap of 2 % lies between them, whichever patches are drawn.
    last, first = covered["train"].any(0).nonzero()[0][-1], covered["test"].any(0).nonzero()[0][0]
    assert last < 0.7 * photo.shape[1] and first >= 0.72 * photo.shape[1]


def test_photos_are_repeatable_and_follow_the_seed(splits, small):
    assert_equal(splits, small.load(NOWHERE))
    other = Photos(train_per_class=40, test_per_class=20, seed=1).load(NOWHERE)
    assert (splits.x_train != other.x_train).any(axis=(1, 2, 3)).all()


def test_fewer_patches_are_the_first_of_more(small):
    np.testing.assert_array_equal(
        corners(small, "china", "train", count=10), corners(small, "china", "train")[:10]
    )


def test_a_class_does_not_depend_on_the_other_classes(splits, monkeypatch):
    from advsparse.data import photos

    turned = dict(reversed(PHOTOGRAPHS.items()))
    monkeypatch.setattr(photos, "PHOTOGRAPHS", turned)
    other = Photos(train_per_class=40, test_per_class=20).load(NOWHERE)
    for label, name in enumerate(splits.classes):
        np.testing.assert_array_equal(
            splits.x_train[splits.y_train == label],
            other.x_train[other.y_train == other.classes.index(name)],
        )


def test_the_largest_patches_fit():
    splits = Photos(size=96, train_per_class=3, test_per_class=3).load(NOWHERE)
    assert splits.x_test.shape == (30, 3, 96, 96)


def test_flat_photograph_is_named():
    photo = np.full((64, 200, 3), (200, 80, 20), np.uint8)
    with pytest.raises(DataError, match=r"wall: 0 of 5 train patches .* minimum_deviation"):
        patch_corners(photo, "wall", "train", size=16, count=5, minimum_deviation=1.0)


def test_too_high_a_deviation_ends():
    with pytest.raises(DataError, match="astronaut: 0 of 2 train patches"):
        Photos(train_per_class=2, minimum_deviation=200.0).load(NOWHERE)


def test_more_patches_than_positions():
    photo = np.zeros((16, 100, 3), np.uint8)  # test columns 72..99: 13 positions of 16
    assert len(patch_corners(photo, "strip", "test", size=16, count=13)) == 13
    with pytest.raises(DataError, match="strip: 13 of 14 test patches"):
        patch_corners(photo, "strip", "test", size=16, count=14)


@pytest.mark.parametrize("size", [7, 97])
def test_photos_of_impossible_size(size):
    with pytest.raises(ValidationError):
        Photos(size=size)


def test_missing_photograph_names_the_file(monkeypatch):
    from advsparse.data import photos

    monkeypatch.setitem(photos.PHOTOGRAPHS, "rocket", ("skimage", "data/gone.jpg"))
    with pytest.raises(DataError, match=r"skimage/data/gone\.jpg.*rocket.*reinstall skimage"):
        photograph("rocket")


def test_importing_the_sources_imports_nothing_heavy():
    import subprocess
    import sys

    workflow = Path(__file__).parents[2] / "workflow"
    code = (
        f"import sys; sys.path.insert(0, {str(workflow)!r})\n"
        "from advsparse.data import digits, folder, npz, photos\n"
        "print(sorted({'PIL', 'skimage', 'sklearn', 'scipy', 'torch'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
