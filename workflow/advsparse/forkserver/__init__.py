"""Jobs that start as copies of one process, in which their libraries are imported.

Importing torch and what jobs use beside it takes seconds of each job's time, and the most of many
a short one. Where Snakemake runs jobs on its own machine, a server (:mod:`.__main__`) imports them
once. In the place of Python, a job's command is then :mod:`.client`, which asks the server for a
copy of itself (a fork), has that run the job's script with the terminal and the environment of the
command, and ends as it ends. Wherever the server cannot be had (another interpreter, as in a conda
environment or a container; another environment; a cluster), the command is what it was.

What is imported is never the project's own: that is the same for all jobs only until it is edited.
"""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

ENOUGH = 4
"""Jobs, from which on it is worth its start."""

# What Snakemake says to each job's process, which libraries read when they are imported.
_THREADS = (
    "OMP_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


_servers: list[subprocess.Popen[bytes]] = []
"""Those of this process: the pipe of one that nothing refers to would be closed."""


def copy_for_each_job(workflow: Any, threads: int) -> None:
    """Start the server of a workflow, and have its jobs ask it. For ``onstart:``.

    threads: of one job. Those with another number start as any process does, since libraries have
    read theirs when they were imported.

    The server ends with this process, whose end of a pipe it watches.
    """
    from snakemake.script import PythonScript

    # Forking a process that uses the frameworks of macOS is not safe.
    if sys.platform != "linux" or not workflow.local_exec:
        return
    if len(list(workflow.dag.needrun_jobs())) < ENOUGH:
        return
    address = Path(".snakemake/jobs.socket")
    try:
        listening = _listen(address)
    except OSError:  # a file system without sockets
        return
    granted = str(min(threads, workflow.resource_settings.cores or threads))
    # What libraries say when they are imported is for no terminal.
    with listening, Path(".snakemake/jobs.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", __name__, str(address), str(listening.fileno())],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=[listening.fileno()],
            env=os.environ | dict.fromkeys(_THREADS, granted),
        )
    _servers.append(server)
    client = shlex.quote(str(Path(__file__).with_name("client.py")))
    _ask_instead(PythonScript, f"{sys.executable} -I -S {client} {address}")


def _listen(address: Path) -> socket.socket:
    """A socket where this user's processes alone can ask."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        address.unlink(missing_ok=True)  # that of a run that was killed
        listening.bind(str(address))
        address.chmod(0o600)
        listening.listen(64)
    except OSError:
        listening.close()
        raise
    return listening


def _ask_instead(scripts: Any, client: str) -> None:
    """Have Snakemake run scripts for its own interpreter by a client in the place of that."""
    execute = scripts._execute_cmd

    def ask(self: Any, command: str, **named: Any) -> Any:
        if named.get("py_exec") == sys.executable:
            named["py_exec"] = client
        return execute(self, command, **named)

    scripts._execute_cmd = ask
