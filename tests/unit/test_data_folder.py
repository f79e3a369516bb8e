"""The source that reads image files from a folder or an archive."""

import io
import os
import re
import shutil
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advsparse.data import _contents
from advsparse.data.folder import Folder
from advsparse.errors import DataError


def refused(source, directory, *parts):
    """The message of the DataError that ``source`` raises, which has all of ``parts``."""
    with pytest.raises(DataError) as caught:
        source.load(directory)
    message = str(caught.value)
    assert str(directory / source.path) in message
    for part in parts:
        assert part in message, message


def assert_equal(one, other):
    assert one.classes == other.classes
    for name in ("x_train", "y_train", "x_test", "y_test"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def encoded(pixels, format="PNG", **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format, **options)
    return stream.getvalue()


def picture(seed, height=12, width=12):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


# "cat-2/" sorts before "cat/" as a path, but "cat" before "cat-2" as a class.
PIXELS = {
    f"{split}/{name}/{i}.png": picture(10 * k + i)
    for split in ("train", "test")
    for k, name in enumerate(("owl", "cat", "cat-2"))
    for i in (2, 10, 1)
}
FILES = {entry: encoded(pixels) for entry, pixels in PIXELS.items()}
JUNK = dict.fromkeys(
    [
        *("README.txt", ".DS_Store", "train/.DS_Store", "train/cat/Thumbs.db", "preview.png"),
        *(
            "train/cat/._1.png",
            "__MACOSX/train/cat/._1.png",
            "train/.git/a/x.png",
            "train/cat/@eaDir/1.png/SYNOFILE_THUMB_M.png",
            "val/cat/1.png",
        ),
    ],
    b"junk",
)


def written(path, files):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for entry, data in files.items():
                archive.writestr(entry, data)
    elif ".tar" in path.name:
        with tarfile.open(path, f"w:{path.suffix[1:]}".replace(":tar", ":")) as archive:
            for entry, data in files.items():
                info = tarfile.TarInfo(entry)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    else:
        for entry, data in files.items():
            (path / entry).parent.mkdir(parents=True, exist_ok=True)
            (path / entry).write_bytes(data)
    return Folder(path=path.name)


NAMES = ("set", "set.zip", "set.tar", "set.tar.gz", "set.tar.bz2", "set.tar.xz")
EACH = pytest.mark.parametrize("name", NAMES)


@EACH
@pytest.mark.parametrize("top", ["", "cifar/", "./"])
def test_same_from_folder_and_archive(tmp_path, name, top):
    files = {top + entry: data for entry, data in FILES.items()}
    if not top.startswith("c"):  # images beside a top folder leave none in common
        files = JUNK | files
    splits = written(tmp_path / name, files).load(tmp_path)
    assert splits.classes == ("cat", "cat-2", "owl")
    assert splits.y_test.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    for split in ("train", "test"):
        for row, (label, file) in enumerate((c, f) for c in splits.classes for f in (1, 10, 2)):
            image = getattr(splits, f"x_{split}")[row].transpose(1, 2, 0)
            np.testing.assert_array_equal(image, PIXELS[f"{split}/{label}/{file}.png"])


@EACH
def test_reads_no_more_than_asked_for(tmp_path, name):
    files = {e: d if e.endswith("/1.png") else b"never decoded" for e, d in FILES.items()}
    source = written(tmp_path / name, files)
    splits = Folder(path=name, train_per_class=1, test_per_class=1).load(tmp_path)
    assert splits.y_train.tolist() == splits.y_test.tolist() == [0, 1, 2]
    refused(source, tmp_path, ".png: cannot be read", "no image of the formats")


def test_crop_resize_and_conversion(tmp_path):
    pixels = picture(0, 10, 16)
    image = Image.fromarray(pixels)
    palette, alpha = io.BytesIO(), io.BytesIO()
    image.quantize(8).save(palette, "PNG")
    image.convert("RGBA").save(alpha, "PNG")
    for data in (encoded(pixels), encoded(pixels, "TIFF"), alpha.getvalue(), palette.getvalue()):
        names = ("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png")
        written(tmp_path / "a.zip", dict.fromkeys(names, data))
        for channels, mode in ((3, "RGB"), (1, "L")):
            splits = Folder(path="a.zip", size=5, channels=channels).load(tmp_path)
            expected = Image.open(io.BytesIO(data)).convert(mode).crop((3, 0, 13, 10))
            expected = np.asarray(expected.resize((5, 5), Image.Resampling.BICUBIC))
            expected = expected[None] if channels == 1 else expected.transpose(2, 0, 1)
            np.testing.assert_array_equal(splits.x_train[0], expected)


def bomb():
    """A PNG of a few hundred bytes that claims 100 000 x 100 000 pixels."""
    data = bytearray(encoded(picture(0)))
    data[16:24] = struct.pack(">II", 100_000, 100_000)
    data[29:33] = struct.pack(">I", zipfile.crc32(bytes(data[12:29])))
    return bytes(data)


def without(part):
    return {entry: data for entry, data in FILES.items() if part not in entry}


JPEG = encoded(picture(1, 64, 64), "JPEG")
DEEP = np.arange(144, dtype=np.uint16).reshape(12, 12) * 300


@EACH
@pytest.mark.parametrize(
    ("files", "parts"),
    [
        ({}, ["no image at train/<class>/<file>"]),
        (JUNK, ["no image at train/<class>/<file>"]),
        (without("test/"), ["no image at test/<class>/<file>"]),
        (without("test/cat-2/"), ["'cat-2' of train has no image in test"]),
        (without("train/owl/"), ["'owl' of test has no image in train"]),
        (FILES | {"train/cat/sub/5.png": b""}, ["train/cat/sub/5.png", "train/<class>/<file>"]),
        (FILES | {"test/5.png": b""}, ["test/5.png", "test/<class>/<file>"]),
        (FILES | {"train/cat/2.png": b"junk"}, ["train/cat/2.png", "no image of the formats"]),
        (FILES | {"train/cat/2.png": b""}, ["train/cat/2.png"]),
        (FILES | {"test/owl/2.jpg": JPEG[: len(JPEG) // 2]}, ["test/owl/2.jpg", "truncated"]),
        (FILES | {"test/owl/1.png": FILES["test/owl/1.png"][:-60]}, ["test/owl/1.png"]),
        (FILES | {"test/owl/1.png": bomb()}, ["test/owl/1.png", "decompression bomb"]),
        (FILES | {"train/cat/1.png": encoded(picture(1), "GIF")}, ["train/cat/1.png"]),
        (FILES | {"train/cat/1.png": encoded(DEEP)}, ["train/cat/1.png", "eight bits"]),
    ],
)
def test_folder_wrong_content(tmp_path, name, files, parts):
    (tmp_path / "set").mkdir()
    refused(written(tmp_path / name, files), tmp_path, *parts)


@EACH
def test_first_image_of_another_size(tmp_path, name):
    files = FILES | {"train/cat/3.png": encoded(picture(1, 9, 11))}
    source = written(tmp_path / name, files | {"train/owl/3.png": encoded(picture(1, 7, 7))})
    refused(source, tmp_path, "train/cat/3.png is 11 x 9 pixels", "12 x 12; give size")
    assert Folder(path=name, size=6).load(tmp_path).x_train.shape == (11, 3, 6, 6)


def test_large_image_that_pillow_only_warns_of(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # of 144: a warning, not an error
    refused(written(tmp_path / "set.zip", FILES), tmp_path, "/1.png", "decompression bomb")


@pytest.mark.parametrize("name", NAMES[1:])
@pytest.mark.parametrize("entry", ["/etc/x.png", "train/../../x.png", "..\\x.png", "C:\\x.png"])
def test_paths_out_of_the_archive(tmp_path, name, entry):
    refused(written(tmp_path / name, FILES | {entry: b""}), tmp_path, entry, "refused")


def test_entry_there_twice(tmp_path):
    source = written(tmp_path / "set.tar", FILES | {"./train/cat/1.png": b""})
    refused(source, tmp_path, "./train/cat/1.png", "twice")


def test_encrypted_entry(tmp_path):
    source, file = written(tmp_path / "set.zip", FILES), tmp_path / "set.zip"
    data = bytearray(file.read_bytes())
    for header, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        for found in re.finditer(re.escape(header), bytes(data)):
            data[found.start() + flags] |= 1
    file.write_bytes(data)
    refused(source, tmp_path, "train/cat/1.png", "encrypted")


def test_damaged_zip(tmp_path):
    source, file = written(tmp_path / "set.zip", FILES), tmp_path / "set.zip"
    whole = file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        offset = archive.getinfo("test/owl/10.png").header_offset
    middle = offset + 200
    file.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    refused(source, tmp_path, "test/owl/10.png: cannot be read")
    file.write_bytes(whole[: len(whole) // 2])
    refused(source, tmp_path, "cannot be read", "not a zip file")


@pytest.mark.parametrize("name", NAMES[2:])
def test_cut_tar_is_never_taken_for_a_shorter_one(tmp_path, name):
    source, file = written(tmp_path / name, FILES), tmp_path / name
    whole = file.read_bytes()
    with tarfile.open(file) as archive:
        size = archive.getmembers()[-1].offset if name == "set.tar" else len(whole)
    # Among them: between two members, within a header, before the checksum of the stream.
    for length in (0, 100, size // 2, size - 4, size - 1, size):
        if length < len(whole):
            file.write_bytes(whole[:length])
            refused(source, tmp_path, "cannot be read")


@pytest.mark.parametrize("name", ["set.tar", "set.tar.gz"])
def test_damaged_tar(tmp_path, name):
    source, file = written(tmp_path / name, FILES), tmp_path / name
    whole = file.read_bytes()
    if name == "set.tar":  # the name in the header of the second member
        with tarfile.open(file) as archive:
            position = archive.getmembers()[1].offset
    else:
        position = len(whole) - 8  # the stream's CRC
    file.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
    refused(source, tmp_path, "cannot be read")


def test_links(tmp_path):
    written(tmp_path / "store", FILES)
    (tmp_path / "set").mkdir()
    for split in ("train", "test"):
        (tmp_path / "set" / split).symlink_to(tmp_path / "store" / split)
    (tmp_path / "store/train/cat/.loop").symlink_to(tmp_path / "set")
    linked = Folder(path="set").load(tmp_path)
    assert_equal(linked, Folder(path="store").load(tmp_path))
    (tmp_path / "store/train/cat/.loop").unlink()
    os.link(tmp_path / "store/train/cat/1.png", tmp_path / "store/train/cat/1b.png")
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.add(tmp_path / "store", "store")
        assert any(member.islnk() for member in archive.getmembers())
    refused(Folder(path="set.tar"), tmp_path, "1b.png", "links and devices are refused")
    shutil.rmtree(tmp_path / "store/test/owl")
    (tmp_path / "store/test/owl").mkdir()
    (tmp_path / "store/test/owl/1.png").symlink_to("gone")
    refused(Folder(path="set"), tmp_path, "test/owl/1.png", "No such file")


def test_contents_tell_what_the_time_of_a_folder_does_not(tmp_path):
    source = written(tmp_path / "set", FILES)
    before, deep = source.contents(tmp_path), tmp_path / "set/train/cat/1.png"
    shutil.copytree(tmp_path / "set", tmp_path / "other/set", copy_function=shutil.copy)
    deep.touch()
    deep.with_name(".DS_Store").write_bytes(b"not read")
    (tmp_path / "set/dangling").symlink_to("nowhere")
    assert source.contents(tmp_path) == before == source.contents(tmp_path / "other")
    told = [before]
    deep.write_bytes(deep.read_bytes() + b"0")
    told.append(source.contents(tmp_path))
    deep.rename(deep.with_name("11.png"))
    told.append(source.contents(tmp_path))
    deep.with_name("11.png").unlink()
    told.append(source.contents(tmp_path))
    assert len(set(told)) == 4 and None not in told
    # Loading says why.
    (tmp_path / "set/train/cat/2.png").unlink()
    (tmp_path / "set/train/cat/2.png").symlink_to("nowhere")
    assert source.contents(tmp_path) is None and Folder(path="none").contents(tmp_path) is None


def test_contents_of_an_archive_unless_it_is_pinned(tmp_path):
    source, other = written(tmp_path / "a.zip", FILES), written(tmp_path / "b.zip", FILES | JUNK)
    assert source.contents(tmp_path) != other.contents(tmp_path)
    assert Folder(path="a.zip", sha256="0" * 64).contents(tmp_path) is None


def replaced_unseen(path, data):
    """Other bytes of the same number under the former time, as a copied backup has them."""
    was = path.stat()
    assert len(data) == was.st_size and data != path.read_bytes()
    path.write_bytes(data)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    now = path.stat()
    assert (now.st_size, now.st_mtime_ns) == (was.st_size, was.st_mtime_ns)


@EACH
def test_contents_tell_bytes_that_neither_size_nor_time_does(tmp_path, name, monkeypatch):
    (tmp_path / ".snakemake").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_contents, "_TICK", 0)  # as if all were there for long
    source = written(tmp_path / name, FILES)
    path = tmp_path / name if name != "set" else tmp_path / "set/train/cat/1.png"
    before, data = source.contents(tmp_path), path.read_bytes()
    replaced_unseen(path, data[:-1] + bytes([data[-1] ^ 1]))
    assert source.contents(tmp_path) not in (before, None)
    replaced_unseen(path, data)
    assert source.contents(tmp_path) == before


def test_contents_are_read_once(tmp_path, monkeypatch):
    (tmp_path / ".snakemake").mkdir()
    monkeypatch.chdir(tmp_path)
    folder, archive = written(tmp_path / "set", FILES), written(tmp_path / "set.zip", FILES)
    told = [source.contents(tmp_path) for source in (folder, archive)]
    # What was written a moment ago could be written again within one tick of the clock.
    assert not (tmp_path / ".snakemake/advsparse").exists()
    monkeypatch.setattr(_contents, "_TICK", 0)
    assert [source.contents(tmp_path) for source in (folder, archive)] == told
    monkeypatch.setattr(_contents, "sha256_of", None)
    assert [source.contents(tmp_path) for source in (folder, archive)] == told
    with pytest.raises(TypeError):
        Folder(path=written(tmp_path / "other.zip", FILES).path).contents(tmp_path)
    for left in (tmp_path / ".snakemake/advsparse/contents").iterdir():
        left.write_bytes(b"")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert [source.contents(tmp_path) for source in (folder, archive)] == told


LATIN = "gr\udcf6\udcdfe"
"""A name of Latin-1 bytes, as Python has it."""


def zip_of_bytes(path, files, marked=False, system=3):
    """A zip whose names are bytes that UTF-8 does not have, marked as UTF-8 or not."""
    places = {}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            raw = os.fsencode(name)
            info = zipfile.ZipInfo(raw.decode("latin-1").translate(ASCII))
            info.create_system = system
            places[info.filename.encode()] = raw
            archive.writestr(info, data)
    whole = bytearray(path.read_bytes())
    for plain, raw in places.items():
        assert len(plain) == len(raw)
        for header, flags, start in ((b"PK\3\4", 6, 30), (b"PK\1\2", 8, 46)):
            for found in re.finditer(re.escape(header), bytes(whole)):
                at = found.start()
                if whole[at + start : at + start + len(plain)] == plain:
                    whole[at + start : at + start + len(raw)] = raw
                    whole[at + flags + 1] |= 8 * marked
    path.write_bytes(whole)
    return Folder(path=path.name)


ASCII = {code: ord("?") for code in range(128, 256)}


@pytest.mark.parametrize("kind", ["set", "set.tar", "set.tar.gz", "unmarked.zip", "marked.zip"])
@pytest.mark.parametrize("where", ["class", "file", "both"])
def test_names_that_are_not_utf8_are_refused_and_shown(tmp_path, kind, where):
    def renamed(entry):
        entry = entry.replace("/cat/", f"/{LATIN}/") if where != "file" else entry
        return entry.replace("10.png", f"10{LATIN}.png") if where != "class" else entry

    files = {renamed(entry): data for entry, data in FILES.items()}
    if kind.endswith(".zip"):
        source = zip_of_bytes(tmp_path / kind, files, marked=kind == "marked.zip")
    else:
        source = written(tmp_path / kind, files)
    with pytest.raises(DataError) as caught:
        source.load(tmp_path)
    said = str(caught.value)
    assert "not UTF-8" in said and r"gr\xf6\xdfe" in said
    said.encode()  # what can be written


@pytest.mark.parametrize("kind", ["set", "set.tar", "set.zip"])
def test_names_that_are_not_utf8_do_not_matter_of_what_is_passed_over(tmp_path, kind):
    junk = {f"train/cat/{LATIN}.txt": b"", f".{LATIN}": b""}
    if kind == "set.zip":
        source = zip_of_bytes(tmp_path / kind, FILES | junk)
    else:
        source = written(tmp_path / kind, FILES | junk)
    assert source.load(tmp_path).classes == ("cat", "cat-2", "owl")


def test_other_errors_show_names_that_are_not_utf8(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo(f"train/{LATIN}/1.png")
        link.type = tarfile.SYMTYPE
        archive.addfile(link)
    with pytest.raises(DataError) as caught:
        Folder(path="a.tar").load(tmp_path)
    assert r"train/gr\xf6\xdfe/1.png: links" in str(caught.value)


@pytest.mark.parametrize("name", ["größe", "大", "naïve é"])
@pytest.mark.parametrize("kind", [*NAMES, "unmarked.zip"])
def test_names_in_utf8_are_the_same_from_folders_and_archives(tmp_path, kind, name):
    files = {entry.replace("/cat/", f"/{name}/"): data for entry, data in FILES.items()}
    if kind == "unmarked.zip":  # as Macs write them
        source = zip_of_bytes(tmp_path / kind, files)
        with zipfile.ZipFile(tmp_path / kind) as archive:
            assert not any(name in entry for entry in archive.namelist())
    else:
        source = written(tmp_path / kind, files)
    assert source.load(tmp_path).classes == tuple(sorted(("cat-2", "owl", name)))


def test_names_of_a_dos_zip_are_in_its_code_page(tmp_path):
    name = os.fsdecode("größe".encode("cp437"))
    files = {entry.replace("/cat/", f"/{name}/"): data for entry, data in FILES.items()}
    source = zip_of_bytes(tmp_path / "dos.zip", files, system=0)
    assert source.load(tmp_path).classes == ("cat-2", "größe", "owl")


def test_neither_folder_nor_archive(tmp_path):
    (tmp_path / "set.rar").write_bytes(b"")
    refused(Folder(path="set.rar"), tmp_path, "neither a folder nor", ".tar.gz")


def test_real_cifar10():
    default = Path(__file__).parents[3] / "shared" / "data"
    path = Path(os.environ.get("ADVSPARSE_SHARED_DATA", default))
    path = path / "cifar10-jpeg.zip" if path.is_dir() else path
    if not path.is_file():
        pytest.skip(f"{path} is not there (ADVSPARSE_SHARED_DATA says where it is)")
    splits = Folder(path=str(path), train_per_class=5, test_per_class=2).load(Path())
    assert splits.x_train.shape == (50, 3, 32, 32)
    assert splits.x_test.shape == (20, 3, 32, 32)
    assert splits.classes[:3] == ("airplane", "automobile", "bird")
    assert 100 < splits.x_train.mean() < 140  # all of CIFAR-10: 121
    assert splits.x_train.std() > 50


def test_one_class_is_no_classification(tmp_path):
    data = encoded(picture(0, 8, 8))
    written(tmp_path / "a.zip", {"train/a/1.png": data, "test/a/1.png": data})
    with pytest.raises(DataError, match=r"a\.zip: a dataset needs two classes or more.*'a'"):
        Folder(path="a.zip").load(tmp_path)
