"""Classifiers as artifacts: their weights, with all it takes to build them again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from advsparse import registry
from advsparse.artifacts import Metadata, Rows, read_tensors, reading
from advsparse.coding._io import rebuilt
from advsparse.data._pixels import batches
from advsparse.decisions import UNDECIDED, decided
from advsparse.lazy import torch
from advsparse.prefixes import below, under

Model = Callable[["torch.Tensor"], "torch.Tensor"]
"""Images to logits."""

_NETWORK, _LEARNED = "network.", "learned."
"""What the names of a defended classifier's tensors begin with: those of the network, and of what
its defence has learned."""


def load_classifier(path: str | Path, device: str = "cpu") -> tuple[torch.nn.Module, Metadata]:
    """The trained network of a classifier artifact, in evaluation mode and with the defence that it
    may have, and its metadata."""
    path = Path(path)
    with reading(path):
        tensors, metadata = read_tensors(path, stage="classifier")
        extra = metadata.extra
        described = network_of(metadata)
        architecture = registry.from_spec("models", described["architecture"])
        coder = rebuilt(described["coder"]) if "coder" in described else None
        model = architecture.build(tuple(described["shape"]), extra["classes"], coder=coder)
        guarded = "defense" in extra
        model.load_state_dict(below(tensors, _NETWORK) if guarded else tensors)
    # No file is to blame for what a device has no room for.
    model = model.eval().to(device)
    if guarded:
        learned = {name: value.to(device) for name, value in below(tensors, _LEARNED).items()}
        defense = registry.from_spec("defenses", extra["defense"]["method"])
        model = defense.wrap(model, learned, seed=extra["defense"]["seed"]).eval().to(device)
    return model, metadata


def network_of(metadata: Metadata) -> dict[str, Any]:
    """What it takes to build the network of a classifier's artifact: its architecture, the shape of
    what it takes, and the coder that it may have."""
    extra = metadata.extra
    if "network" in extra:
        return extra["network"]
    own = {"architecture": metadata.params["architecture"], "shape": extra["shape"]}
    return own | ({"coder": extra["coder"]} if "coder" in extra else {})


def network_weights(path: str | Path) -> tuple[dict[str, torch.Tensor], Metadata]:
    """The tensors of the network of a classifier's artifact, without those of a defence."""
    tensors, metadata = read_tensors(path, stage="classifier")
    return (below(tensors, _NETWORK) if "defense" in metadata.extra else tensors), metadata


def with_defense(
    network: Mapping[str, torch.Tensor], learned: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The tensors of a defended classifier's artifact."""
    return under(network, _NETWORK) | under(learned, _LEARNED)


def logits(model: Model, x: torch.Tensor, batch_size: int = 1000) -> torch.Tensor:
    """What the model returns for the images ``x``, N x K."""
    with torch.no_grad():
        # Copies, as some models work in place.
        return torch.cat([model(batch.clone()) for batch in x.split(batch_size)])


def classes_of(model: torch.nn.Module, pixels: Rows, batch_size: int = 1000) -> np.ndarray:
    """:func:`predict` of images in eight bits (N x C x H x W), of which there are ``batch_size`` in
    memory at a time."""
    device = next(model.parameters()).device
    found = [predict(model, x) for x in batches(pixels, batch_size, device)]
    return torch.cat(found).cpu().numpy()


def excesses(model: torch.nn.Module, pixels: Rows, batch_size: int = 1000) -> np.ndarray | None:
    """By how much a detector beside the model finds each image suspicious, above 0 where it refuses
    it; None where there is none. Images are in eight bits or in [0, 1]."""
    if not hasattr(model, "excess"):
        return None
    device = next(model.parameters()).device
    with torch.no_grad():
        found = [model.excess(x) for x in batches(pixels, batch_size, device)]
    return torch.cat(found).cpu().numpy()


def choices(model: Model, x: torch.Tensor, batch_size: int = 1000) -> torch.Tensor:
    """Predicted classes of the images ``x``, int64 of shape N.

    ``UNDECIDED`` stands for logits that are NaN or +infinity, which name no class.
    """
    return chosen_by(logits(model, x, batch_size))


def chosen_by(logits: torch.Tensor) -> torch.Tensor:
    """:func:`choices` of the images that have these logits, N x K."""
    return torch.where(decided(logits), logits.argmax(1), UNDECIDED)


def predict(model: torch.nn.Module, x: torch.Tensor, batch_size: int = 1000) -> torch.Tensor:
    """:func:`choices` that are all there: ValueError for logits that name no class."""
    found = choices(model, x, batch_size)
    undecided = int((found == UNDECIDED).sum())
    if undecided:
        raise ValueError(f"the logits of {undecided} of {len(x)} images are NaN or infinite")
    return found
