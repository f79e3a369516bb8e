"""An attack on a few images of a large dataset, beside the same on a small one."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from advsparse.artifacts import make_metadata, write_tensors
from advsparse.data._base import Splits
from advsparse.data._io import save_dataset
from advsparse.models.lenet import LeNet

TITLE = "Attacking 100 images of a dataset of 5 GB"
SETTINGS = (
    "One job's attack stage (PGD of 10 steps on LeNet, 100 images of 3 x 32 x 32) in a process of "
    "its own, torch's import left out; the medians of five in turn. Memory is the most that the "
    "process ever held, what libraries take included."
)

_SMALL, _LARGE, _RUNS = 1_000, 1_700_000, 5
"""Images of the test split: 3 MB, and 5.2 GB."""

_JOB = """
import json, resource, sys, time
from types import SimpleNamespace
from advsparse.attacks._stage import AttackStage
from advsparse.lazy import torch

torch.set_num_threads(2)
images = {"split": "test", "start": 0, "count": 100, "order": 7}
method = {"kind": "pgd", "eps": 0.03, "steps": 10}
settings = {"method": method, "images": images, "seed": 0, "against": "label", "target": "none"}
began = time.monotonic()
stage = AttackStage(SimpleNamespace(settings=settings, device="cpu"), *sys.argv[1:3])
started = time.monotonic() - began
stage.attack(None)
whole = time.monotonic() - began
held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"start": started, "whole": whole, "held": held}))
"""


class Repeated:
    """Rows that are made when they are asked for: the same few images again and again."""

    dtype = np.dtype(np.uint8)

    def __init__(self, count: int) -> None:
        rng = np.random.default_rng(0)
        self.few = rng.integers(0, 256, (997, 3, 32, 32), dtype=np.uint8)
        self.shape = (count, 3, 32, 32)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        return self.few[np.arange(len(self))[index] % len(self.few)]


def measure() -> dict[str, Any]:
    """What was measured on the small dataset and on the large one."""
    found: dict[int, list[dict[str, float]]] = {_SMALL: [], _LARGE: []}
    with tempfile.TemporaryDirectory() as folder:
        network = Path(folder, "network.safetensors")
        model = LeNet().build((3, 32, 32), 10)
        described = {"shape": [3, 32, 32], "classes": 10}
        params = {"architecture": {"kind": "lenet"}}
        made = make_metadata("classifier", params=params, code="", seed=0, extra=described)
        write_tensors(network, model.state_dict(), made)
        paths = {}
        for count in found:
            paths[count] = Path(folder, f"{count}.safetensors")
            few, rows = Repeated(1000), Repeated(count)
            labels = [np.arange(len(one)) % 10 for one in (few, rows)]
            splits = Splits(few, labels[0], rows, labels[1], tuple("abcdefghij"))
            save_dataset(paths[count], splits, make_metadata("dataset", params={}, code="", seed=0))
        for _ in range(_RUNS):
            for count, path in paths.items():
                done = subprocess.run(
                    [sys.executable, "-c", _JOB, path, network],
                    capture_output=True,
                    text=True,
                    check=True,
                )
                found[count].append(json.loads(done.stdout.splitlines()[-1]))
        sizes = {count: path.stat().st_size for count, path in paths.items()}
    small, large = (
        {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        for runs in found.values()
    )
    return {
        "section": "alone",
        "title": TITLE,
        "settings": SETTINGS,
        "columns": ["", *(f"{size / 1e9:.2g} GB" for size in sizes.values()), "to reach"],
        "rows": [
            _row("seconds until the attack begins", "start", ".2f", small, large, "0.3 more"),
            _row("seconds in all", "whole", ".2f", small, large, ""),
            _row("MiB held at most", "held", ".0f", small, large, "1024"),
        ],
    }


def _row(said: str, name: str, form: str, small: Any, large: Any, goal: str) -> list[str]:
    return [said, format(small[name], form), format(large[name], form), goal]
