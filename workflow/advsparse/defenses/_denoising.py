"""Images of which each patch is coded sparsely, with the exact derivative. Imports torch: a defence
imports this when it is made."""

from __future__ import annotations

import torch

from advsparse.coding._maps import Matrix
from advsparse.coding._patches import image_of, patches_of
from advsparse.coding._pursuit import Few, GramDictionary, pursue, pursue_few

_AT_ONCE = 2**12
"""Patches that are coded at once: few enough for a processor's cache."""


class Denoiser:
    """t: each patch coded by ``sparsity`` atoms of a dictionary, m x K, and overlaps averaged."""

    def __init__(self, dictionary: torch.Tensor, size: int, sparsity: int) -> None:
        self.dictionary = GramDictionary(Matrix(dictionary.double()))
        self.size = size
        self.sparsity = min(sparsity, *dictionary.shape)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        patches = patches_of(x, self.size)
        mean = patches.mean(1, keepdim=True)
        coded = _Coded.apply((patches - mean).flatten(0, 1), self.dictionary, self.sparsity)
        return image_of(coded.reshape(patches.shape) + mean, self.size, tuple(x.shape[1:]))


class _Coded(torch.autograd.Function):
    """D a for each of N signals, whose derivative is the projection onto the atoms that are
    chosen."""

    @staticmethod
    def forward(ctx, x, dictionary, limit):
        found = [_few(dictionary, part.double(), limit) for part in x.split(_AT_ONCE)]
        ctx.dictionary = dictionary
        ctx.save_for_backward(*(torch.cat([few[i] for few in found]) for i in (0, 2)))
        return torch.cat([few.signals(dictionary).to(x.dtype) for few in found])

    @staticmethod
    def backward(ctx, gradient):
        parts = zip(*(kept.split(_AT_ONCE) for kept in (gradient, *ctx.saved_tensors)), strict=True)
        return torch.cat([_projected(ctx.dictionary, *part) for part in parts]), None, None


def _few(dictionary: GramDictionary, x: torch.Tensor, limit: int) -> Few:
    """The atoms that are chosen for each signal, those that are used first, with coefficients."""
    few = pursue_few(dictionary, x, limit) if limit <= 2 else None
    if few is not None:
        return few
    code, chosen, _ = pursue(dictionary, x, limit, None)
    # Of normalised atoms, as those are that are summed up.
    code = code / torch.where(dictionary.scale > 0, dictionary.scale, 1.0)
    index = code.abs().topk(limit, dim=1).indices
    return Few(index, code.gather(1, index), chosen)


def _projected(
    dictionary: GramDictionary, g: torch.Tensor, index: torch.Tensor, chosen: torch.Tensor
) -> torch.Tensor:
    """The projection of each g, N x m, onto the span of its ``chosen`` first atoms of ``index``."""
    count = index.shape[1]
    used = torch.arange(count, device=index.device) < chosen[:, None]
    along = (g.double() @ dictionary.normalised).gather(1, index) * used
    gram = dictionary.gram[index[:, :, None], index[:, None, :]]
    # Of places without an atom the coefficient is 0, whatever their Gram matrix.
    both = used[:, :, None] & used[:, None, :]
    gram = torch.where(both, gram, torch.eye(count, dtype=gram.dtype, device=gram.device))
    weights = torch.linalg.solve(gram, along[:, :, None])[:, :, 0]
    return Few(index, weights, chosen).signals(dictionary).to(g.dtype)
