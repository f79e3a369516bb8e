"""What every classifier architecture must give."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from advsparse import registry
from advsparse.errors import ArchitectureError
from advsparse.lazy import torch
from advsparse.seeding import layers_drawn_from
from advsparse.settings import settings

if TYPE_CHECKING:
    from advsparse.coding._base import CodingNetwork


def check_size(kind: str, shape: tuple[int, int, int], least: int) -> None:
    """ArchitectureError unless both sides of images of ``shape`` have ``least`` pixels."""
    _, height, width = shape
    if min(height, width) < least:
        raise ArchitectureError(
            f"{kind} takes images of at least {least}x{least} pixels, not {height}x{width}: "
            "give the dataset another size, or the paper's model another architecture"
        )


@settings
class Architecture(ABC):
    """The settings of a network, and how to build it."""

    standardises: ClassVar[bool] = True
    """Whether pixels are standardised by the training images' mean and deviation of each channel;
    if not, it takes them as they are."""

    @abstractmethod
    def layers(self, shape: tuple[int, int, int], classes: int) -> torch.nn.Module:
        """The untrained network from normalised images N x ``shape`` to logits N x ``classes``.

        Raises ArchitectureError for image shapes that the architecture does not take.
        """

    def build(
        self,
        shape: tuple[int, int, int],
        classes: int,
        seed: int = 0,
        coder: CodingNetwork | None = None,
    ) -> torch.nn.Module:
        """The network from pixels in [0, 1] to logits, with weights drawn from ``seed``.

        Normalisation is its first layer, ``network.normalise``, where images are standardised.
        ``coder`` is the trained coder for architectures that work on codes; ArchitectureError if it
        is missing or not asked for.
        """
        from advsparse.models._layers import Normalise, Unnormalised

        if coder is not None:
            raise ArchitectureError(f"{registry.kind_of(self)} works on pixels: it takes no coder")
        with layers_drawn_from(seed):
            layers = self.layers(shape, classes)
        network = torch.nn.Sequential()
        first = Normalise(shape[0]) if self.standardises else Unnormalised()
        network.add_module("normalise", first)
        network.add_module("layers", layers)
        # On CPUs convolutions of few channels take half the time in this layout.
        return network.to(memory_format=torch.channels_last)
