"""Trained coders as artifacts: their weights, with all it takes to build them again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advsparse import registry
from advsparse.artifacts import Metadata, read_tensors, reading

if TYPE_CHECKING:
    from torch import Tensor

    from advsparse.coding._base import CodingNetwork


def load_coder(path: str | Path, device: str = "cpu") -> tuple[CodingNetwork, Metadata]:
    """The trained network of a coder artifact, in evaluation mode, and its metadata."""
    path = Path(path)
    with reading(path):
        tensors, metadata = read_tensors(path, stage="coder")
        # Coders that are told their dictionary hold it as a buffer of this name.
        network = rebuilt(description(metadata), tensors.get("dictionary"))
        network.load_state_dict(tensors)
        network.require_finite()
    return network.eval().to(device), metadata


def description(metadata: Metadata) -> dict[str, Any]:
    """What :func:`rebuilt` needs of the metadata of a coder artifact, as JSON-able values."""
    return {"method": metadata.params["method"], "shape": metadata.extra["shape"]}


def rebuilt(described: Mapping[str, Any], dictionary: Tensor | None = None) -> CodingNetwork:
    """The network of a coder, for weights to be loaded into."""
    method = registry.from_spec("coding", described["method"])
    return method.build(tuple(described["shape"]), dictionary=dictionary)
