"""Solvers in processes of their own, which are ended where they don't end in time.

HiGHS does not always keep its time limit, and a crash of a solver must not take a job with it.
What comes back is checked by who asked: a status is what the solver says, not what is so.
"""

from __future__ import annotations

import io
import os
import select
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from advsparse.certify._network import Array

_GRACE = 5.0
"""Seconds that a solver is given beyond its limit, and a tenth of that limit."""

OPTIMAL, INFEASIBLE, LIMIT, FAILED = "optimal", "infeasible", "limit", "failed"


@dataclass(frozen=True)
class Solved:
    """What a solver said."""

    status: str
    """``optimal``, ``infeasible``, ``limit`` (of time) or ``failed``."""
    value: float
    """The objective of the best point; infinite without one."""
    bound: float
    """A lower bound of the objective; minus infinity without one."""
    point: Array | None
    seconds: float


class Solver:
    """A process that solves one program after the other, started when it is needed.

    ``with Solver("highs") as solver: solver.solve(program.arrays(), seconds=10)``
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Solver:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
            self._process = None

    def solve(self, arrays: dict[str, Array], seconds: float, gap: float = 1e-6) -> Solved:
        """The solution of a program (:meth:`Program.arrays`), in at most ``seconds``."""
        started = time.monotonic()
        process = self._started()
        assert process.stdin is not None
        options = {"seconds": np.array(seconds), "gap": np.array(gap)}
        try:
            send(process.stdin, arrays | options)
            found = self._received(seconds * 1.1 + _GRACE)
        except (BrokenPipeError, EOFError):
            found = None
        spent = time.monotonic() - started
        if found is None:
            self.close()
            late = spent > seconds
            return Solved(LIMIT if late else FAILED, np.inf, -np.inf, None, spent)
        point = found.get("point")
        return Solved(
            str(found["status"]), float(found["value"]), float(found["bound"]), point, spent
        )

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            source = str(Path(__file__).parents[2])
            paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "advsparse.certify._worker", self.name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
            )
        return self._process

    def _received(self, limit: float) -> dict[str, Array] | None:
        """What the process answers; None where it doesn't in time."""
        assert self._process is not None and self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], limit)
        return receive(self._process.stdout) if ready else None


def send(stream, arrays: dict[str, Array]) -> None:
    """Write arrays to a pipe."""
    data = io.BytesIO()
    np.savez(data, **arrays)  # type: ignore[arg-type]
    stream.write(struct.pack("<Q", len(data.getvalue())) + data.getvalue())
    stream.flush()


def receive(stream) -> dict[str, Array]:
    """Read arrays from a pipe; EOFError at its end."""
    head = stream.read(8)
    if len(head) < 8:
        raise EOFError
    size = struct.unpack("<Q", head)[0]
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    with np.load(io.BytesIO(data), allow_pickle=False) as loaded:
        return dict(loaded)
