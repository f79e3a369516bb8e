"""The fork server: ``python -m advsparse.forkserver ADDRESS DESCRIPTOR``.

Of the address the socket is inherited, by its descriptor. Each script runs as this module does,
as ``__main__``, so that nothing of the server stands in its traceback.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from advsparse.forkserver.client import BEGUN, REFUSED
from advsparse.quick_torch import leave_out_tracing
from advsparse.spent import ASKED

# Libraries that take long to import. Jobs wait for those that most of them use; what many use is
# imported piece by piece while nothing else is to be done.
OF_MOST = (
    "torch",
    "torch.nn.functional",
    "torch.optim",
    "snakemake.script",
    "pydantic.dataclasses",
    "pydantic.type_adapter",
    "safetensors.torch",
    "psutil",
)
OF_MANY = (
    "PIL.Image",
    "pandas",
    "scipy.stats",
    "scipy.ndimage",
    "matplotlib.pyplot",
    "matplotlib.backends.backend_svg",
    "matplotlib.backends.backend_pdf",
    "pandas.io.formats.style",
)

# Of the environment of a job, what is its own or its shell's.
_OWN = {"TMPDIR", "TMP", "TEMPDIR", "TEMP", "PWD", "OLDPWD", "SHLVL", "_"}


def shared(environment: dict[str, str]) -> dict[str, str]:
    """What a job's environment must have in common with that in which libraries were imported."""
    return {name: value for name, value in environment.items() if name not in _OWN}


class Server:
    """Forks for each job that is asked for, until its standard input ends."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._environment = shared(dict(os.environ))
        self._clients: dict[int, socket.socket] = {}
        self._left = list(OF_MANY)
        self._ended, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake)
        # Whoever interrupts jobs, by the keyboard, hits all of the run's processes.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._events = selectors.DefaultSelector()
        self._events.register(listening, selectors.EVENT_READ, self._take)
        self._events.register(sys.stdin.fileno(), selectors.EVENT_READ, self._close)
        self._events.register(self._ended, selectors.EVENT_READ, self._tell)

    def next_job(self) -> dict[str, Any] | None:
        """In each copy, its job; in the server itself, None when all is done."""
        while self._clients or self._listening.fileno() >= 0:
            events = self._events.select(0 if self._left else None)
            for key, _ in events:
                if job := key.data():
                    return job
            if not events:
                import_libraries(self._left.pop(0))
        return None

    def _take(self) -> dict[str, Any] | None:
        client, _ = self._listening.accept()
        try:
            job, terminal = _received(client)
        except (OSError, ValueError):  # it has ended meanwhile
            client.close()
            return None
        if shared(job["environment"]) != self._environment:
            client.send(REFUSED)
            client.close()
            child = None
        elif child := os.fork():
            self._clients[child] = client
            self._events.register(client, selectors.EVENT_READ, lambda: self._end(child, client))
            with contextlib.suppress(OSError):
                client.send(BEGUN)
        for i, descriptor in enumerate(terminal):
            if child == 0:
                os.dup2(descriptor, i)
            os.close(descriptor)
        if child == 0:
            client.close()
            self._leave()
            return job
        return None

    def _end(self, child: int, client: socket.socket) -> None:
        """A client that ends before its job was killed, and the job with it."""
        if child in self._clients:
            self._events.unregister(client)
            os.kill(child, signal.SIGTERM)

    def _tell(self) -> None:
        """Tell clients of jobs that have ended."""
        os.read(self._ended, 512)
        for child in list(self._clients):
            found, status = os.waitpid(child, os.WNOHANG)
            if not found:
                continue
            client = self._clients.pop(child)
            with contextlib.suppress(KeyError):
                self._events.unregister(client)
            with contextlib.suppress(OSError):
                client.send(b"%d\n" % os.waitstatus_to_exitcode(status))
            client.close()

    def _close(self) -> None:
        """Take no more jobs: Snakemake has ended."""
        self._events.unregister(self._listening)
        self._events.unregister(sys.stdin.fileno())
        self._listening.close()

    def _leave(self) -> None:
        """In a copy: let go of what is the server's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._events.close()
        self._listening.close()
        for client in self._clients.values():
            client.close()
        os.close(self._ended)
        os.close(self._wake)


def _received(client: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """A job, and the descriptors of its standard streams."""
    client.settimeout(60)
    _, terminal, _, _ = socket.recv_fds(client, 1, 3)
    with client.makefile("rb") as said:
        job = json.loads(said.readline())
    client.settimeout(None)
    return job, terminal


def import_libraries(*names: str) -> None:
    """Import libraries; what that has made lives until the end, in memory that copies share."""
    gc.disable()
    for name in names:
        importlib.import_module(name)
    gc.freeze()


def become(job: dict[str, Any]) -> str:
    """Have this copy of the server be the process of a job; the path of its script."""
    script = job["script"]
    os.environ.clear()
    os.environ.update(job["environment"])
    os.environ[ASKED] = str(job["asked"])
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]
    tempfile.tempdir = None
    for name in [name for name in sys.modules if name.split(".")[0] == "advsparse"]:
        del sys.modules[name]  # what the job imports of the project is the job's own
    sys.argv, sys.path[0] = [script], str(Path(script).absolute().parent)
    # What ps and top show of it.
    Path("/proc/self/comm").write_text(Path(script).name.partition(".")[2])
    gc.enable()
    return script


def main() -> str | None:
    """The script that this process runs, in each copy of the server."""
    address, descriptor = Path(sys.argv[1]), int(sys.argv[2])
    leave_out_tracing()
    import_libraries(*OF_MOST)
    job = Server(socket.socket(fileno=descriptor)).next_job()
    if job is None:
        address.unlink(missing_ok=True)
        return None
    return become(job)


if script := main():
    # What a process that the job starts would look for, to import it.
    globals().update(__spec__=None, __package__=None, __file__=script)
    exec(compile(Path(script).read_bytes(), script, "exec"), globals())
