"""The tests' GPU variants, run by pytest in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

_TAKES = re.compile(r"\bdef (test\w*|network)\([^)]*\bdevice\b|DEVICES")
"""Of a file of tests that take a device, by themselves or by what they are given."""
_ENDS = ("passed", "failed", "error", "skipped", "no tests ran")


def run_tests(root: Path, device: str, seconds: float, words: str = "") -> dict[str, Any]:
    """Whether the tests that are marked ``gpu`` pass on a device, and what pytest says at its end.

    words: as ``pytest -k`` takes them, to run a part of them.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "gpu"]
    # To look for them in all files takes a minute.
    every = sorted((root / "tests" / "unit").glob("test_*.py"))
    command += ["--device", device, *(str(f) for f in every if _TAKES.search(f.read_text("utf-8")))]
    command += ["-k", words] if words else []
    try:
        done = subprocess.run(
            command,
            cwd=root,
            capture_output=True,
            text=True,
            timeout=max(1.0, seconds),
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        )
    except subprocess.TimeoutExpired:
        return {"passed": None, "said": f"not done after {seconds:.0f} s, and stopped"}
    lines = [line for line in done.stdout.splitlines() if any(end in line for end in _ENDS)]
    said = lines[-1].strip("= ") if lines else " ".join(done.stderr.split())[-300:]
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return {"passed": done.returncode == 0, "said": "; ".join([said, *failed[:5]])}
