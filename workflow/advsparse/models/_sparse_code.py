"""The network of the classifier of sparse codes."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from advsparse.coding._base import CodingNetwork
from advsparse.coding._maps import LinearMap
from advsparse.models._layers import Unnormalised


class SparseCodeClassifier(torch.nn.Module):
    """Made of the settings of a :class:`~advsparse.models.sparse_code.SparseCode`.

    ``coder`` is part of it, with its weights.
    """

    def __init__(
        self, coder: CodingNetwork, classes: int, *, finetune: bool, reconstruction: float
    ) -> None:
        super().__init__()
        self.finetune, self.reconstruction = finetune, reconstruction
        self.normalise = Unnormalised()
        self.coder = coder.requires_grad_(finetune)
        self.linear = torch.nn.Linear(coder.synthesis.atoms, classes)

    @property
    def synthesis(self) -> LinearMap:
        """The dictionary, from codes to images."""
        return self.coder.synthesis

    @property
    def weights(self) -> torch.Tensor:
        """The weights W of the classes, classes x the code's shape."""
        return self.linear.weight.unflatten(1, self.synthesis.code_shape)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._logits(self.coder(self.normalise(x)))  # unchecked, as layers are

    def _logits(self, code: torch.Tensor) -> torch.Tensor:
        return self.linear(code.flatten(1))

    def loss(
        self, x: torch.Tensor, y: torch.Tensor, smoothing: float = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What training lowers, summed over the images ``x`` of labels ``y``, whose ``smoothing``
        is a share that is spread over all classes; and the logits."""
        code = self.coder(self.normalise(x))
        logits = self._logits(code)
        sums = torch.promote_types(logits.dtype, torch.float32)  # autocast has them in fewer digits
        loss = cross_entropy(logits.to(sums), y, reduction="sum", label_smoothing=smoothing)
        if self.finetune:
            loss = loss + self.reconstruction * self.coder.distortion(x, code)
        return loss, logits
