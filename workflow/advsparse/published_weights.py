"""Make a file of weights of what torchvision publishes: from its .pth to safetensors.

``python -m advsparse.published_weights resnet50-0676ba61.pth data/resnet50.safetensors``

The file is the one that torchvision downloads, told by its name and checked by its digest. Nothing
but tensors is loaded from it. ``weights: {path: resnet50.safetensors}`` of a classifier then takes
them, whose ``architecture`` is the one that is printed.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from advsparse import registry
from advsparse.artifacts import make_metadata, write_tensors
from advsparse.data._files import reading
from advsparse.errors import DataError, UserError
from advsparse.lazy import torch

_VGG = {"kind": "vgg16", "head": "imagenet"}
_RESNET = {"kind": "resnet50", "stem": "imagenet"}
PUBLISHED: dict[str, dict[str, Any]] = {
    "resnet50-0676ba61.pth": _RESNET,
    "resnet50-11ad3fa6.pth": _RESNET,
    "vgg16-397923af.pth": _VGG | {"batch_norm": False},
    "vgg16_bn-6c64b313.pth": _VGG | {"batch_norm": True},
}
"""The architectures of files, whose names end in the first digits of their SHA-256."""

_SHAPE, _CLASSES = (3, 224, 224), 1000
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's channels, as torchvision normalises images."""


def converted(path: Path) -> dict[str, torch.Tensor]:
    """The weights of a published file, called as ours are; raises DataError."""
    if path.name not in PUBLISHED:
        raise DataError(f"{path}: no file of these is known by that name: {', '.join(PUBLISHED)}")
    with reading(path), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    wanted = path.stem.rpartition("-")[2]
    if not digest.startswith(wanted):
        raise DataError(f"{path}: SHA-256 begins with {digest[:8]}, not {wanted}: get it again")
    with reading(path):
        published = torch.load(path, map_location="cpu", weights_only=True)
    model = registry.from_spec("models", PUBLISHED[path.name]).build(_SHAPE, _CLASSES)
    model.normalise.set_statistics(_MEAN, _STD)
    return model.normalise.state_dict(prefix="normalise.") | renamed(model.layers, published)


def renamed(layers: torch.nn.Module, published: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Published tensors by the names that those of ``layers`` have in a network: the same layers
    come in the same order, whatever they are called."""
    ours = layers.state_dict()
    # Those of before 2018 do not say how many batches they have seen.
    counters = [name for name in ours if name.endswith("num_batches_tracked")]
    theirs = {k: v for k, v in published.items() if not k.endswith("num_batches_tracked")}
    rest = [name for name in ours if name not in counters]
    if len(rest) != len(theirs):
        raise DataError(f"{len(theirs)} tensors are there, of a network that has {len(rest)}")
    found = {f"layers.{name}": torch.zeros((), dtype=torch.int64) for name in counters}
    for name, (other, value) in zip(rest, theirs.items(), strict=True):
        alike = name.rpartition(".")[2] == other.rpartition(".")[2]
        if not alike or value.shape != ours[name].shape:
            raise DataError(f"{other}, {tuple(value.shape)}, stands where {name} of ours does")
        found[f"layers.{name}"] = value
    return found


def main(arguments: list[str]) -> str | int:
    if len(arguments) != 2:
        return f"{(__doc__ or '').strip()}\n\nThe files: {', '.join(PUBLISHED)}"
    source, target = map(Path, arguments)
    try:
        tensors = converted(source)
        metadata = make_metadata("weights", params={"source": source.name}, code="", seed=0)
        write_tensors(target, tensors, metadata)
    except UserError as error:
        return str(error)
    print(f"{target}: of the architecture {json.dumps(PUBLISHED[source.name])}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
