"""What every classifier architecture must give."""

from __future__ import annotations

from abc import ABC, abstractmethod

from advsparse.lazy import torch
from advsparse.settings import settings


@settings
class Architecture(ABC):
    """The settings of a network, and how to build it."""

    @abstractmethod
    def layers(self, shape: tuple[int, int, int], classes: int) -> torch.nn.Module:
        """The untrained network from normalised images N x ``shape`` to logits N x ``classes``.

        Raises ArchitectureError for image shapes that the architecture does not take.
        """

    def build(
        self, shape: tuple[int, int, int], classes: int, seed: int = 0
    ) -> torch.nn.Sequential:
        """The network from pixels in [0, 1] to logits, with weights drawn from ``seed``.

        Normalisation is its first layer, ``network.normalise``.
        """
        from advsparse.models._layers import Normalise

        # Layers draw their weights from the global generator, which is put back afterwards.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed reseeds GPUs too
            layers = self.layers(shape, classes)
        network = torch.nn.Sequential()
        network.add_module("normalise", Normalise(shape[0]))
        network.add_module("layers", layers)
        # On CPUs convolutions of few channels take half the time in this layout.
        return network.to(memory_format=torch.channels_last)
