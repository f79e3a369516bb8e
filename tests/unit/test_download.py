"""Downloads, from servers on this machine that break off, lie and refuse."""

import errno
import fcntl
import hashlib
import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from advsparse.config.loading import WORKFLOW
from advsparse.data import _download
from advsparse.data._download import Patience, download
from advsparse.data._registry import RemoteFile
from advsparse.errors import DataError
from http_servers import (
    Server,
    announces,
    cut,
    other,
    ranged,
    silent,
    status,
    trickle,
    well,
    whole,
)

DATA = np.random.default_rng(0).bytes(1_000_000)
SIZE = len(DATA)
FILE = RemoteFile(name="a.gz", size=SIZE, sha256=hashlib.sha256(DATA).hexdigest())
HASTY = Patience(timeout=0.5, tries=3, pause=0.01)
WRONG = bytes(SIZE)


@pytest.fixture
def server():
    with Server() as server:
        server.files["/a.gz"] = DATA
        yield server


@pytest.fixture
def mirror():
    with Server() as server:
        server.files["/a.gz"] = DATA
        yield server


@pytest.fixture
def target(tmp_path):
    return tmp_path / "data" / "a.gz"


def get(target, *servers, file=FILE, patience=HASTY):
    download(target, [f"{server.url}/a.gz" for server in servers], file, patience)


def refused(target, *servers, **options) -> str:
    with pytest.raises(DataError) as caught:
        get(target, *servers, **options)
    assert not target.exists()
    return str(caught.value)


def part_of(target: Path) -> Path:
    return target.with_name("a.gz.part")


def assert_whole(target: Path) -> None:
    assert target.read_bytes() == DATA
    assert [path.name for path in target.parent.iterdir()] == ["a.gz"]


def test_downloads(server, target):
    get(target, server)
    assert_whole(target)
    assert server.ranges == [None]


def test_broken_off_and_resumed_in_one_call(server, target):
    server.behaviours = [cut(300_000), cut(200_000)]
    get(target, server)
    assert_whole(target)
    assert server.ranges == [None, "bytes=300000-", "bytes=500000-"]
    assert server.asked[1]["If-Range"] == f'"{hashlib.md5(DATA).hexdigest()}"'


def test_resumed_by_a_later_call(server, mirror, target):
    server.behaviours = [cut(300_000)] + [status(503)] * 3
    assert "answers 503" in refused(target, server)
    assert part_of(target).read_bytes() == DATA[:300_000]
    get(target, mirror)
    assert_whole(target)
    assert mirror.ranges == ["bytes=300000-"]


def test_many_interruptions_with_progress_are_no_failure(server, target):
    server.behaviours = [cut(50_000)] * 12
    get(target, server)
    assert_whole(target)
    assert len(server.asked) == 13


def test_tries_without_progress_are_bounded(server, target):
    server.behaviours = [cut(1_000)] * 100
    assert "ends after 3000 of 1000000 bytes (3 tries)" in refused(target, server)
    assert len(server.asked) == 3


def test_file_that_changes_between_two_requests(server, target):
    server.files["/a.gz"] = WRONG
    server.behaviours = [cut(300_000), lambda handler, data: well(handler, DATA)]
    get(target, server)
    assert_whole(target)


def test_part_of_another_file(server, target):
    target.parent.mkdir()
    part_of(target).write_bytes(WRONG[:400_000])
    get(target, server)
    assert_whole(target)
    assert server.ranges == ["bytes=400000-", None]


def test_part_that_is_whole_or_too_long(server, target):
    target.parent.mkdir()
    part_of(target).write_bytes(DATA)
    get(target, server)
    assert_whole(target)
    assert server.asked == []
    target.rename(part_of(target))
    with part_of(target).open("ab") as file:
        file.write(b"more")
    get(target, server)
    assert_whole(target)
    assert server.ranges == [None]


@pytest.mark.parametrize(
    "answer",
    [
        whole,
        ranged(f"bytes 0-{SIZE - 1}/{SIZE}", 0),
        ranged("bytes 400000-", 400_000),
        ranged("", 300_000),
        status(416),
    ],
)
def test_server_that_does_not_resume_as_asked(server, target, answer):
    server.behaviours = [cut(300_000), answer]
    get(target, server)
    assert_whole(target)
    assert server.ranges[1] == "bytes=300000-"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (announces(SIZE - 1), "announces 999999 bytes, expected 1000000"),
        (announces(SIZE + 1), "announces 1000001 bytes, expected 1000000"),
        (other(DATA[:-1]), "announces 999999 bytes, expected 1000000"),
        (other(WRONG), f"gives a file of SHA-256 {hashlib.sha256(WRONG).hexdigest()}, expected"),
        (status(404), "answers 404"),
        (status(403), "answers 403"),
        (status(204), "answers 204"),
    ],
)
def test_next_address_where_one_does_not_have_the_file(server, mirror, target, answer, said):
    server.behaviours = [answer]
    get(target, server, mirror)
    assert_whole(target)
    assert len(server.asked) == 1 and len(mirror.asked) == 1
    target.unlink()
    server.behaviours, mirror.behaviours = [answer], [answer]
    message = refused(target, server, mirror)
    assert message.count(said) == 2 and str(target) in message and FILE.sha256 in message
    assert list(target.parent.iterdir()) == []


def test_wrong_part_from_one_address_is_not_kept_for_the_next(server, mirror, target):
    server.behaviours = [other(WRONG)]
    get(target, server, mirror)
    assert_whole(target)
    assert mirror.ranges == [None]


def test_size_not_announced(server, mirror, target):
    server.behaviours = [announces(None)]
    get(target, server)
    assert_whole(target)
    target.unlink()
    # Ends early, and does not say so.
    server.behaviours = [lambda handler, data: handler.answer(200, data[:7], Content_Length=None)]
    get(target, server)
    assert_whole(target)


def test_errors_of_the_moment_are_tried_again(server, target):
    server.behaviours = [status(500), status(503)]
    get(target, server)
    assert_whole(target)


@pytest.mark.parametrize("answer", [trickle, silent])
def test_slow_address_makes_way_for_the_next(server, mirror, target, answer):
    server.behaviours = [answer] * 3
    get(target, server, mirror)
    assert_whole(target)


def test_nobody_there(target):
    with Server() as gone:
        pass
    assert "Connection refused (3 tries)" in refused(target, gone)


def test_no_network(target):
    with pytest.raises(DataError, match=r"no network\?(?s:.)*put the file there yourself"):
        download(target, ["http://no-such-host.invalid/a.gz"], FILE, HASTY)


def test_disk_too_small(server, target, monkeypatch):
    usage = shutil.disk_usage(target.parent.parent)
    monkeypatch.setattr(_download.shutil, "disk_usage", lambda _: usage._replace(free=SIZE - 1))
    message = refused(target, server)
    assert "1000000 bytes are needed and 999999 free" in message and "data.directory" in message
    assert server.asked == []


def test_disk_that_fills_up(server, tmp_path, target):
    disk = tmp_path / "data"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk")
    try:
        usage = shutil.disk_usage(disk)._replace(free=2 * SIZE)  # someone else fills it meanwhile
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_download.shutil, "disk_usage", lambda _: usage)
            message = refused(target, server)
        assert f"{target}: the disk is full" in message
        kept = part_of(target).read_bytes()
        assert kept and kept == DATA[: len(kept)]
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        get(target, server)
        assert_whole(target)
        assert server.ranges[-1] == f"bytes={len(kept)}-"
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_errors_of_the_disk(server, target, monkeypatch, code):
    def failing(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(_download, "put_in_place", failing)
    message = refused(target, server)
    assert str(target) in message
    assert ("the disk is full" in message) == (code != errno.EROFS)
    monkeypatch.undo()
    get(target, server)
    assert_whole(target)
    assert len(server.asked) == 1


def test_two_processes_at_once(server, target):
    target.parent.mkdir()
    with part_of(target).open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "another process is downloading" in refused(target, server)
    get(target, server)
    assert_whole(target)


def test_file_that_another_process_has_put_in_place(server, target):
    target.parent.mkdir()
    target.write_bytes(DATA)
    get(target, server)
    assert_whole(target)
    assert server.asked == []


def test_progress_in_the_log_and_on_a_terminal(server, target, monkeypatch, caplog, capsys):
    from advsparse.data import _meter

    monkeypatch.setattr(_meter, "_LOG_INTERVAL", 0.0)
    monkeypatch.setattr(_meter.sys.stderr, "isatty", lambda: True, raising=False)
    server.behaviours = [cut(300_000)]
    with caplog.at_level(logging.INFO):
        get(target, server)
    assert "goes on after 300000 of 1000000 bytes" in caplog.text
    assert "of 1.0 MB" in caplog.text
    shown = capsys.readouterr().err
    assert shown.startswith("\ra.gz: ") and "1.0 of 1.0 MB" in shown and shown.endswith("\n")


def test_killed_process_leaves_a_part_alone(server, target):
    def stuck(handler, data):
        handler.answer(200, data[:300_000], Content_Length=len(data))
        time.sleep(3)

    server.behaviours = [stuck]
    code = (
        "from pathlib import Path\n"
        "from advsparse.data._download import download\n"
        "from advsparse.data._registry import RemoteFile\n"
        f"file = RemoteFile(name='a.gz', size={SIZE}, sha256={FILE.sha256!r})\n"
        f"download(Path({str(target)!r}), [{server.url + '/a.gz'!r}], file)"
    )
    environment = {"PYTHONPATH": str(WORKFLOW)}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    part = part_of(target)
    while not part.exists() or part.stat().st_size < 300_000:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not target.exists()
    get(target, server)
    assert_whole(target)
    assert server.ranges == [None, "bytes=300000-"]


def test_more_of_a_smaller_file(server, target):
    """A server may send more than it announces: what is announced and right is what counts."""
    server.files["/a.gz"] = DATA + b"more"
    server.behaviours = [announces(SIZE)]
    get(target, server)
    assert_whole(target)
    target.unlink()
    assert "announces 1000004" in refused(target, server)
