"""Tensors, such as a model's weights, in safetensors."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from advsparse.artifacts.atomic import atomic_path
from advsparse.artifacts.metadata import (
    Metadata,
    check_payload,
    damaged,
    from_json,
    payload_digest,
    reading,
    to_json,
)
from advsparse.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

_METADATA = "advsparse"


def write_tensors(
    path: str | Path, tensors: Mapping[str, "Tensor"], metadata: Metadata
) -> Metadata:
    """Write ``tensors`` to ``path``; the metadata with the payload's digest is returned.

    Tensors may be strided, on any device, parameters, or share memory; what is stored is dense.
    """
    from safetensors.torch import save

    dense, seen = {}, set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        # safetensors refuses tied tensors; each gets its own bytes.
        storage = tensor.untyped_storage().data_ptr()
        dense[name] = tensor.clone() if storage in seen else tensor
        seen.add(storage)
    metadata = dataclasses.replace(metadata, payload_sha256=_digest(dense))
    with atomic_path(path) as temporary:
        # Not save_file: its own temporary file would outlive a killed process.
        temporary.write_bytes(save(dense, metadata={_METADATA: to_json(metadata)}))
    return metadata


def read_tensors(
    path: str | Path, stage: str | None = None
) -> tuple[dict[str, "Tensor"], Metadata]:
    """The tensors at ``path``, on the CPU, and their metadata; ArtifactError unless as written.

    With ``stage``, the artifact must come from that stage.
    """
    from safetensors.torch import load

    path = Path(path)
    with reading(path):
        # Not memory-mapped: what the digest vouched for must not change with the file.
        data = path.read_bytes()
        tensors = load(data)
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        text = header.get("__metadata__", {}).get(_METADATA)
        if text is None:
            raise damaged(path, "it is a safetensors file without advsparse metadata")
        metadata, _ = from_json(path, text, stage)
        check_payload(path, metadata, _digest(tensors))
    return tensors, metadata


def _digest(tensors: Mapping[str, "Tensor"]) -> str:
    return payload_digest(
        (name, str(tensor.dtype), tuple(tensor.shape), _bytes(tensor))
        for name, tensor in tensors.items()
    )


def _bytes(tensor: "Tensor") -> memoryview | bytes:
    """The tensor's bytes without a copy; numpy has no bfloat16, so they are viewed as uint8."""
    return tensor.view(-1).view(torch.uint8).numpy().data if tensor.numel() else b""
