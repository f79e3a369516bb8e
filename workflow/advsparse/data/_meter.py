"""How far a download has come, on the terminal and in the log."""

from __future__ import annotations

import logging
import sys
import time

logger = logging.getLogger(__name__)

_LOG_INTERVAL, _TERMINAL_INTERVAL = 10.0, 0.2  # seconds


class Meter:
    """Shows the progress of one file of ``size`` bytes, of which ``have`` are there already."""

    def __init__(self, name: str, have: int, size: int) -> None:
        self._name, self._first, self._size = name, have, size
        self._started = self._logged = time.monotonic()
        self._shown = 0.0
        self._terminal = sys.stderr.isatty()
        if have:
            logger.info("%s: goes on after %d of %d bytes", name, have, size)

    def note(self, have: int) -> None:
        """After bytes have arrived, ``have`` of them all in all."""
        now = time.monotonic()
        speed = (have - self._first) / max(now - self._started, 1e-3)
        line = (
            f"{self._name}: {have / 1e6:.1f} of {self._size / 1e6:.1f} MB, {speed / 1e6:.2f} MB/s"
        )
        if now - self._logged >= _LOG_INTERVAL:
            self._logged = now
            logger.info(line)
        if self._terminal and (have == self._size or now - self._shown >= _TERMINAL_INTERVAL):
            self._shown = now
            print(f"\r{line}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """After the last bytes, or none that came."""
        if self._shown:
            print(file=sys.stderr)
