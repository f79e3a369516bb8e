"""Defences as artifacts: what they have learned, with all it takes to make them again.

Imported by name where there is a defence: an edit of one is to rerun no job without.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from advsparse import registry
from advsparse.artifacts import Metadata, Rows, read_arrays, reading
from advsparse.data._pixels import batches
from advsparse.defenses._base import Arrays, Defense, Transformation
from advsparse.lazy import torch
from advsparse.seeding import stable_seed

_STATISTICS = 5000
"""Images whose transformations a network is normalised by that is trained behind one."""


def load_defense(path: str | Path, device: str = "cpu") -> tuple[Any, Arrays, Metadata]:
    """The defence of an artifact, what it has learned, and the artifact's metadata."""
    path = Path(path)
    with reading(path):
        arrays, metadata = read_arrays(path, stage="defense")
        method = registry.from_spec("defenses", metadata.params["method"])
        learned = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
    return method, learned, metadata


def description(name: str, metadata: Metadata, seed: int) -> dict[str, Any]:
    """What a classifier's artifact says of its defence, by which it is made again."""
    return {"name": name, "method": metadata.params["method"], "seed": seed}


def taken(method: Defense, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of what a network behind a defence takes, for images of ``shape``."""
    return method.shape(shape) if isinstance(method, Transformation) else shape


def trained_behind(
    method: Defense, model: torch.nn.Module, learned: Arrays, *, seed: int, device: str
) -> torch.nn.Module | None:
    """A network behind a defence in front, as it is trained on images that are attacked; None
    behind any other, which leaves training as it is.

    Numbers are drawn that an evaluation does not draw.
    """
    if not isinstance(method, Transformation):
        return None
    arrays = {name: value.to(device) for name, value in learned.items()}
    return method.wrap(model, arrays, seed=stable_seed("training", seed))


def seen_by(defended: torch.nn.Module, rows: Rows, device: str) -> np.ndarray:
    """What the network behind a defence sees of the first images of ``rows``, in floats."""
    transform: Any = defended.transform
    with torch.no_grad():
        found = [transform(x).cpu().numpy() for x in batches(rows[:_STATISTICS], 256, device)]
    return np.concatenate(found)
