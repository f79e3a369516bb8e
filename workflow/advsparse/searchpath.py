"""Where Python looks for this library in the processes that a workflow starts."""

from __future__ import annotations

import os
from pathlib import Path


def hand_down(folder: Path) -> None:
    """Let the processes started from here find modules in ``folder`` before all others."""
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    first = [str(folder)]
    os.environ["PYTHONPATH"] = os.pathsep.join(first + [p for p in others if p not in first])
