"""The network of LISTA."""

from __future__ import annotations

import math

import torch
from torch.nn import Parameter, functional

from advsparse.coding._base import CodingNetwork
from advsparse.coding._maps import Matrix
from advsparse.coding._shrinkage import shrink_
from advsparse.modes import outside_inference


class LISTANetwork(CodingNetwork, torch.nn.Module):
    """Made of the settings of a :class:`~advsparse.coding.lista.LISTA`.

    ``analysis`` holds all W, ``feedback`` V from the second layer on.
    """

    def __init__(self, dictionary: torch.Tensor, *, layers: int, start: str, weight: float) -> None:
        super().__init__()
        dictionary = dictionary.detach()
        self.register_buffer("dictionary", dictionary.clone())
        m, n = dictionary.shape
        if start == "ista":
            largest = Matrix(dictionary).lipschitz()
            if largest * torch.finfo(torch.float32).max < max(1, weight):
                raise ValueError(
                    "dictionary: it is too small, for ISTA's steps overflow: the largest "
                    f"eigenvalue of D^T D is {largest:g}"
                )
            step = 1 / largest
            analysis = (step * dictionary.T).expand(layers, n, m)
            feedback = torch.eye(n) - step * dictionary.T @ dictionary
            feedback = feedback.expand(layers - 1, n, n)
            threshold = torch.full((layers,), weight * step)
        else:
            analysis = torch.empty(layers, n, m).uniform_(-1, 1) / math.sqrt(m)
            feedback = torch.empty(layers - 1, n, n).uniform_(-1, 1) / math.sqrt(n)
            threshold = torch.zeros(layers)
        self.analysis = Parameter(analysis.clone())
        self.feedback = Parameter(feedback.clone())
        self.threshold = Parameter(threshold)

    @property
    def synthesis(self) -> Matrix:
        return Matrix(self.dictionary)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = outside_inference(x)
        # One product for all layers; unbind's gradient, unlike indexing's, is one tensor too.
        products = functional.linear(x, self.analysis.flatten(0, 1))
        first, *rest = products.unflatten(1, self.analysis.shape[:2]).unbind(1)
        thresholds = self.threshold.clamp(min=0)
        code = shrink_(first.clone(), thresholds[0])
        for product, feedback, threshold in zip(rest, self.feedback, thresholds[1:], strict=True):
            code = shrink_(torch.addmm(product, code, feedback.T), threshold)
        return code

    def loss(self, x: torch.Tensor, code: torch.Tensor | None) -> torch.Tensor:
        if code is None:
            raise ValueError("lista learns from signals whose codes are known")
        return (self(x) - code).square().sum()
