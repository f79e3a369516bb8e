"""Weights that a network is given: from a file of the user's, or from another classifier."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from advsparse.data._contents import digest
from advsparse.data._files import Sha256, check_sha256, existing, located, reading
from advsparse.errors import DataError
from advsparse.lazy import torch
from advsparse.settings import settings


@settings
class WeightsFile:
    """A file of weights, in safetensors.

    Its tensors are called as those of the network here, ``normalise.mean`` and ``normalise.std``
    among them: ``python -m advsparse.published_weights`` makes one of what torchvision publishes.
    """

    path: Annotated[str, Field(min_length=1)]
    """The file; a relative path starts at the data directory."""
    sha256: Sha256 | None = None
    """SHA-256 of the file, which is refused if it has another one."""

    def file(self, directory: Path) -> Path:
        """Where the file is, or should be."""
        return located(self.path, directory)

    def contents(self, directory: Path) -> str | None:
        """A digest of the file, unless its SHA-256 is given: times may not tell of a change."""
        path = self.file(directory)
        if self.sha256 is not None or not path.is_file():
            return None
        return digest(path, {"": path})

    def read(self, directory: Path) -> dict[str, torch.Tensor]:
        """The tensors by name; raises DataError."""
        from safetensors.torch import load

        path = existing(self.path, directory)
        if self.sha256 is not None:
            check_sha256(path, self.sha256, "correct sha256 in the configuration, or the file")
        with reading(path):
            return load(path.read_bytes())


def give(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor], origin: str) -> None:
    """Have ``model`` take all of its weights and statistics from ``tensors``.

    Raises DataError, which names ``origin``, for names or shapes that are not those of the network.
    """
    wanted = model.state_dict()
    if missing := sorted(wanted.keys() - tensors.keys()):
        raise DataError(f"{origin}: has no {missing[0]}, which the network has")
    if unknown := sorted(tensors.keys() - wanted.keys()):
        raise DataError(f"{origin}: has {unknown[0]}, which the network has not")
    for name, value in wanted.items():
        if tensors[name].shape != value.shape:
            raise DataError(
                f"{origin}: {name} is of shape {tuple(tensors[name].shape)}, in the network of "
                f"{tuple(value.shape)}"
            )
    model.load_state_dict(dict(tensors))
