"""Why a job failed, in its own words."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path

from advsparse import failures
from advsparse.jobs import DONE

_TIMESTAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ", re.MULTILINE)


def reason(record: str | None, logs: Iterable[Path]) -> str | None:
    """Why a job failed: by the record that it left, or else by the last entry of its log."""
    if record and Path(record).is_file():
        return failures.told(record)
    for log in logs:
        with contextlib.suppress(OSError):
            text = log.read_text(encoding="utf-8", errors="replace").strip()
            if text and not DONE.search(text.splitlines()[-1]):
                return _last_entry(text)
    return None


def _last_entry(text: str) -> str:
    entries = list(_TIMESTAMP.finditer(text))
    return text[entries[-1].end() :] if entries else text.splitlines()[-1]
