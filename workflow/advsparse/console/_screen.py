"""Lines for a terminal or a pipe."""

from __future__ import annotations

import contextlib
import os
import re
from typing import TextIO

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class Screen:
    """Lines on a stream; on a terminal, also a last line that the next one takes the place of.

    The cursor waits above that line, where what jobs print themselves goes.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.terminal = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.for_now = False

    def width(self) -> int | None:
        """The columns that a line may take; None if that doesn't matter or is not known."""
        with contextlib.suppress(ValueError):
            if columns := int(os.environ.get("COLUMNS", "")):
                return columns
        with contextlib.suppress(OSError, ValueError):
            return os.get_terminal_size(self.stream.fileno()).columns or None
        return None

    def say(self, line: str) -> None:
        self.clear()
        self._write(f"{line}\n")

    def show_for_now(self, line: str) -> None:
        self.clear()
        width = self.width()
        if line and self.terminal and width:
            self._write(f"\n{fitted('', line, '', width - 1)}\x1b[A\r")
            self.for_now = True

    def clear(self) -> None:
        if self.for_now:
            self._write("\r\x1b[J")
            self.for_now = False

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


def fitted(start: str, name: str, end: str, width: int | None) -> str:
    """A line of at most ``width`` columns, where it is the middle of the name that gives way."""
    start, name, end = map(plain, (start, name, end))
    if width is None or len(start + name + end) <= width:
        return start + name + end
    room = width - len(start + end) - 3
    if room < 8:
        return (start + name + end)[:width]
    tail = room // 2
    return f"{start}{name[: room - tail]}...{name[-tail:]}{end}"


def plain(text: str) -> str:
    """A text without line breaks or whatever else moves the cursor."""
    return _CONTROL.sub(" ", text)


def duration(seconds: float) -> str:
    """A time to wait, as one says it."""
    if seconds < 59.5:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours < 24 else f"{round(hours / 24, 1):g} days"


def short_duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 59.95 else duration(seconds)


def listed(kinds: list[str], width: int) -> str:
    """As many of the kinds as there is room for, and how many more there are."""
    for shown in range(len(kinds), 0, -1):
        more = len(kinds) - shown
        line = ", ".join(kinds[:shown]) + (f", {number_of(more, 'other kind')}" if more else "")
        if len(line) <= width:
            return line
    return number_of(len(kinds), "kind")


def number_of(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
