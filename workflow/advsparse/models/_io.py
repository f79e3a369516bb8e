"""Classifiers as artifacts: their weights, with all it takes to build them again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from advsparse import registry
from advsparse.artifacts import Metadata, Rows, read_tensors, reading
from advsparse.coding._io import rebuilt
from advsparse.data._pixels import batches
from advsparse.decisions import UNDECIDED, decided
from advsparse.lazy import torch


def load_classifier(path: str | Path, device: str = "cpu") -> tuple[torch.nn.Module, Metadata]:
    """The trained network of a classifier artifact, in evaluation mode, and its metadata."""
    path = Path(path)
    with reading(path):
        tensors, metadata = read_tensors(path, stage="classifier")
        architecture = registry.from_spec("models", metadata.params["architecture"])
        coder = rebuilt(metadata.extra["coder"]) if "coder" in metadata.extra else None
        shape, classes = tuple(metadata.extra["shape"]), metadata.extra["classes"]
        model = architecture.build(shape, classes, coder=coder)
        model.load_state_dict(tensors)
    return model.eval().to(device), metadata


def logits(model: torch.nn.Module, x: torch.Tensor, batch_size: int = 1000) -> torch.Tensor:
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


def choices(model: torch.nn.Module, x: torch.Tensor, batch_size: int = 1000) -> torch.Tensor:
    """Predicted classes of the images ``x``, int64 of shape N.

    ``UNDECIDED`` stands for logits that are NaN or +infinity, which name no class.
    """
    found = logits(model, x, batch_size)
    return torch.where(decided(found), found.argmax(1), UNDECIDED)


def predict(model: torch.nn.Module, x: torch.Tensor, batch_size: int = 1000) -> torch.Tensor:
    """:func:`choices` that are all there: ValueError for logits that name no class."""
    found = choices(model, x, batch_size)
    undecided = int((found == UNDECIDED).sum())
    if undecided:
        raise ValueError(f"the logits of {undecided} of {len(x)} images are NaN or infinite")
    return found
