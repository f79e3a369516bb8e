"""Archives that would do harm, and local copies that are not the ones that were named."""

import gzip
import hashlib
import io
import stat
import tarfile
import zipfile

import numpy as np
import pytest
from pydantic import ValidationError

from advsparse.data import _bounds
from advsparse.data._bounds import LARGEST_ENTRY
from advsparse.data._containers import opened
from advsparse.data.folder import Folder
from advsparse.data.npz import Npz
from advsparse.errors import DataError

MEBIBYTE = 2**20


def refused(path, *parts):
    with pytest.raises(DataError) as caught, opened(path) as container:
        list(container.read(container.entries))
    for part in (str(path), *parts):
        assert part in str(caught.value), caught.value


def tar(path, *members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def member(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, b""


@pytest.mark.parametrize(
    ("kind", "link"),
    [
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.SYMTYPE, "1.png"),
        (tarfile.LNKTYPE, "1.png"),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
        (tarfile.FIFOTYPE, ""),
    ],
)
def test_links_and_devices_in_a_tar(tmp_path, kind, link):
    path = tar(tmp_path / "a.tar.gz", member("1.png"), member("2.png", kind, link))
    refused(path, "2.png", "links and devices are refused")


def test_link_in_a_zip(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("2.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    refused(path, "2.png", "links and devices are refused")


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_one_entry_too_large(tmp_path, name):
    path, size = tmp_path / name, LARGEST_ENTRY + 1
    if name == "a.zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("2.png", bytes(size))
    else:
        tar(path, (tarfile.TarInfo("2.png"), bytes(size)))
    assert path.stat().st_size < MEBIBYTE
    refused(path, "2.png", f"unpacks to {size} bytes")


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_too_much_in_all(tmp_path, monkeypatch, name):
    path = tmp_path / name
    if name == "a.zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for i in range(5):
                archive.writestr(f"{i}.png", bytes(MEBIBYTE))
    else:
        tar(path, *[(tarfile.TarInfo(f"{i}.png"), bytes(MEBIBYTE)) for i in range(5)])
    with opened(path) as container:
        assert len(container.entries) == 5
    monkeypatch.setattr(_bounds, "_SMALLEST_BOUND", 4 * MEBIBYTE)
    refused(path, f"unpacks to more than {4 * MEBIBYTE} bytes")
    # It is the ratio to the archive's own size that counts.
    monkeypatch.setattr(_bounds, "_HIGHEST_RATIO", 2000)
    with opened(path) as container:
        assert len(container.entries) == 5


def test_zeros_after_the_end_of_a_tar(tmp_path, monkeypatch):
    path = tar(tmp_path / "a.tar.gz", (tarfile.TarInfo("1.png"), b"data"))
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + bytes(8 * MEBIBYTE)))
    monkeypatch.setattr(_bounds, "_SMALLEST_BOUND", 4 * MEBIBYTE)
    refused(path, f"unpacks to more than {4 * MEBIBYTE} bytes")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_header_too_large_for_memory(tmp_path, kind):
    info = tarfile.TarInfo("name")
    info.type, info.size = kind, LARGEST_ENTRY + 2 * tarfile.BLOCKSIZE
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(info.tobuf() + bytes(info.size + 1024)))
    refused(path, "holds a header of")


def test_zip_that_lies_about_a_size(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.png", bytes(MEBIBYTE))
    data = bytearray(path.read_bytes())
    where = data.index(b"PK\1\2") + 24
    data[where : where + 4] = (1000).to_bytes(4, "little")
    path.write_bytes(data)
    refused(path, "1.png: cannot be read", "CRC")


# Local copies.


def npz(directory):
    x, y = np.zeros((4, 5, 5), np.uint8), np.array([0, 1, 0, 1])
    np.savez(directory / "a.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    return hashlib.sha256((directory / "a.npz").read_bytes()).hexdigest()


def test_local_copy_with_its_digest(tmp_path):
    digest = npz(tmp_path)
    source = Npz(path="a.npz", sha256=digest, note="drawn by a test")
    assert source.load(tmp_path).y_test.tolist() == [0, 1, 0, 1]
    assert source.note == "drawn by a test" and Npz(path="a.npz").note == ""
    other = "0" * 64
    with pytest.raises(DataError, match=rf"a\.npz: SHA-256 is {digest}, expected {other}: corr"):
        Npz(path="a.npz", sha256=other).load(tmp_path)
    for wrong in ("", "0" * 63, "G" * 64, 0):
        with pytest.raises(ValidationError):
            Npz(path="a.npz", sha256=wrong)


def test_folder_has_no_digest(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match="images: sha256 is given, but this is a folder"):
        Folder(path="images", sha256="0" * 64).load(tmp_path)
