"""Arrays that are read by slice: what is asked for is vouched for, and little else is read."""

import resource
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from advsparse.artifacts import Slices, make_metadata, slices, write_slices
from advsparse.artifacts.metadata import to_json
from advsparse.config.loading import WORKFLOW
from advsparse.errors import ArtifactError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 3, 5, 7), dtype=np.uint8)  # 105 bytes each
LABELS = RNG.integers(-9, 9, 40)
DAMAGED = "its payload does not match the digest in its metadata"


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks that no image fits into, and several that one image fits into."""
    monkeypatch.setattr(slices, "BLOCK", 64)
    monkeypatch.setattr(slices, "_AT_ONCE", 300)


def described(stage="dataset"):
    return make_metadata(stage, params={}, code="", seed=0)


@pytest.fixture
def path(tmp_path):
    write_slices(tmp_path / "s.safetensors", {"x": IMAGES, "y": LABELS}, described())
    return tmp_path / "s.safetensors"


def test_what_is_written_is_a_safetensors_file(path):
    found = load_file(path)
    np.testing.assert_array_equal(found.pop("x"), IMAGES)
    np.testing.assert_array_equal(found.pop("y"), LABELS)
    assert found["__blocks__"].shape == (-(-IMAGES.nbytes // 64) + LABELS.nbytes // 64, 32)


ROWS = st.integers(-40, 39)
INDICES = st.one_of(
    st.slices(40), st.lists(ROWS, max_size=50).map(lambda rows: np.array(rows, dtype=np.int64))
)


@given(index=INDICES)
@settings(deadline=None)
def test_rows_are_those_of_the_array(tmp_path_factory, index):
    path = tmp_path_factory.getbasetemp() / "rows.safetensors"
    if not path.exists():
        write_slices(path, {"x": IMAGES, "y": LABELS}, described())
    stored = Slices(path, "dataset")
    for name, array in {"x": IMAGES, "y": LABELS}.items():
        found = stored[name][index]
        assert type(found) is np.ndarray and found.dtype == array.dtype
        np.testing.assert_array_equal(found, array[index])


def test_what_is_told_of_an_array_needs_no_reading(path):
    stored = Slices(path)
    assert set(stored) == {"x", "y"} and len(stored) == 2
    x = stored["x"]
    assert (x.shape, x.dtype, x.ndim, len(x), x.nbytes) == (IMAGES.shape, "u1", 4, 40, 4200)
    assert not x._seen.any()


def test_a_block_is_read_once_one_of_its_rows_is_asked_for(path):
    x = Slices(path)["x"]
    x[np.array([2, 30])]  # bytes 210 to 314 and 3150 to 3254
    assert np.flatnonzero(x._seen).tolist() == [3, 4, 49, 50]
    x[10:11]
    assert np.flatnonzero(x._seen).tolist() == [3, 4, 16, 17, 18, 49, 50]
    x[:0]
    assert x._seen.sum() == 7


@pytest.mark.parametrize("row", [0, 17, 39])
def test_damage_is_found_by_who_asks_for_it_and_by_nobody_else(path, row):
    data = bytearray(path.read_bytes())
    at = bytes(data).index(IMAGES.tobytes()) + 105 * row + 50
    data[at] ^= 1
    path.write_bytes(data)
    x = Slices(path)["x"]
    for _ in range(2):
        with pytest.raises(ArtifactError, match=DAMAGED):
            x[row : row + 1]
        with pytest.raises(ArtifactError, match=DAMAGED):
            x[np.array([row])]
    others = [other for other in range(40) if abs(other - row) > 1]
    np.testing.assert_array_equal(x[np.array(others)], IMAGES[others])


def test_digests_of_other_blocks_are_refused_at_once(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=DAMAGED):
        Slices(path)


def test_what_a_caller_holds_does_not_change_with_the_file(path):
    stored = Slices(path)
    held = [stored["x"][3:9], stored["x"][np.array([3])], stored["y"][:]]
    copies = [one.copy() for one in held]
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(bytes(size))
    for one, copy in zip(held, copies, strict=True):
        np.testing.assert_array_equal(one, copy)
        one[:] = 0  # nor is it mapped to be read alone


def test_a_file_that_is_replaced_stays_what_it_was_for_who_has_opened_it(path):
    x = Slices(path)["x"]
    write_slices(path, {"x": 255 - IMAGES, "y": LABELS}, described())
    np.testing.assert_array_equal(x[:], IMAGES)


class Counted:
    """Rows that are made when they are asked for."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.asked = []

    def __len__(self):
        return len(self.array)

    def __getitem__(self, index):
        self.asked.append((index.start, min(index.stop, len(self))))
        return self.array[index]


def test_rows_are_asked_for_once_and_some_at_a_time(path, tmp_path):
    rows = Counted(IMAGES)
    write_slices(tmp_path / "other.safetensors", {"x": rows, "y": LABELS}, described())
    assert (tmp_path / "other.safetensors").read_bytes() == path.read_bytes()
    assert rows.asked == [(start, start + 2) for start in range(0, 40, 2)]


def test_rows_larger_than_what_is_in_memory_at_once_come_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr(slices, "_AT_ONCE", 1)
    write_slices(tmp_path / "s.safetensors", {"x": IMAGES}, described())
    np.testing.assert_array_equal(Slices(tmp_path / "s.safetensors")["x"][:], IMAGES)


@pytest.mark.parametrize(
    "array",
    [
        np.empty((0, 3), np.uint8),
        np.empty((4, 0), np.float32),
        np.array([True, False]),
        np.arange(4, dtype=">i8"),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(12, dtype=np.float16)[::2],
    ],
)
def test_arrays_round_trip(tmp_path, array):
    write_slices(tmp_path / "s.safetensors", {"a": array}, described())
    found = Slices(tmp_path / "s.safetensors")["a"]
    assert found.shape == array.shape and found.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found[:], array)
    np.testing.assert_array_equal(found[np.arange(len(array))[::-1]], array[::-1])


@pytest.mark.parametrize("array", [np.array(1.0), np.array(["a"]), np.array([{}])])
def test_what_has_no_rows_or_no_numbers_is_refused(tmp_path, array):
    with pytest.raises(TypeError, match=r"s\.safetensors: 'a' can't be stored"):
        write_slices(tmp_path / "s.safetensors", {"a": array}, described())
    assert not list(tmp_path.iterdir())


def test_rows_of_another_shape_than_was_said_are_refused(tmp_path):
    rows = Counted(IMAGES)
    rows.shape = (40, 3, 7, 5)
    with pytest.raises(ValueError, match=r"rows 0 and on are of shape \(2, 3, 5, 7\)"):
        write_slices(tmp_path / "s.safetensors", {"x": rows}, described())
    assert not list(tmp_path.iterdir())


def test_a_safetensors_file_of_others_is_refused(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "s.safetensors"
    for metadata, said in {
        None: "without advsparse metadata",
        "{}": "its metadata is not that of an advsparse artifact",
        to_json(described()): "it has no digests of blocks",
    }.items():
        save_file({"x": IMAGES}, path, None if metadata is None else {"advsparse": metadata})
        with pytest.raises(ArtifactError, match=said):
            Slices(path)


def test_a_few_rows_of_a_large_file_take_little_memory(tmp_path):
    """With blocks as they are: half a gigabyte, of which a process of its own asks 100 rows."""
    code = f"""
        import resource
        import numpy as np
        from advsparse.artifacts import Slices

        x = Slices({str(tmp_path / "s.safetensors")!r})["x"]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        x[np.random.default_rng(0).permutation(len(x))[:100]]
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, x._seen.mean())
    """
    slices.BLOCK, slices._AT_ONCE = 2**18, 2**25  # put back by the fixture
    rows = np.zeros((1, 3, 32, 32), np.uint8)
    large = np.lib.stride_tricks.as_strided(rows, (175_000, 3, 32, 32), (0, *rows.strides[1:]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    write_slices(tmp_path / "s.safetensors", {"x": large}, described())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(WORKFLOW)},
    )
    kilobytes, share = map(float, done.stdout.split())
    assert kilobytes < 60_000 and share < 0.06
