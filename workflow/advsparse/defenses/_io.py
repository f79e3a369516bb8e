"""Defences as artifacts: what they have learned, with all it takes to make them again.

Imported by name where there is a defence: an edit of one is to rerun no job without.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from advsparse import registry
from advsparse.artifacts import Metadata, read_arrays, reading
from advsparse.defenses._base import Arrays, Defense, Transformation
from advsparse.lazy import torch


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
