"""Codes for unseen images drawn at random, from the law of the learned ones (unsupervised SCADA).

The law is Laplace(0, b) for each entry of a code, where b is the mean absolute value of the learned
entries, the maximum-likelihood estimate (canu2021, slide "Defense mechanism"; the authors' code).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from advsparse.lazy import torch
from advsparse.seeding import Random

_LEAST_SCALE = 1e-3
"""The smallest b, as in the authors' code: an atom that no learned code uses is drawn too."""

_TINY = 2.0**-25
"""Half the distance between the uniform numbers, whose logarithm is to be finite."""


def scales(codes: torch.Tensor, predicted: torch.Tensor, law: str, classes: int) -> torch.Tensor:
    """b for each class and atom, ``classes`` x M, from learned ``codes`` (N x M).

    law: ``global``, one b for all; ``atom``, one for each atom; ``class_atom``, one for each atom
    and class ``predicted`` (N) on the clean image. A class without a learned code has that of its
    atoms.
    """
    sizes = codes.abs()
    atom = sizes.mean(0) if law != "global" else sizes.mean().expand(codes.shape[1])
    b = atom.repeat(classes, 1)
    if law == "class_atom":
        for k in predicted.unique().tolist():
            b[k] = sizes[predicted == k].mean(0)
    return b.clamp(min=_LEAST_SCALE)


def draw(rng: Random, x: torch.Tensor, b: torch.Tensor, draws: int) -> torch.Tensor:
    """``draws`` codes for each image of ``x`` with the scales ``b`` (N x M): N x draws x M.

    The numbers of an image hang from its pixels, not from the batch it is in.
    """
    wanted = draws * b.shape[1]
    streams = range(math.ceil(wanted / x[0].numel()))
    uniform = torch.cat([rng.uniform_like(x, stream).flatten(1) for stream in streams], dim=1)
    centred = uniform[:, :wanted].reshape(len(x), draws, -1) - 0.5
    # The inverse of the distribution function.
    tail = (1 - 2 * centred.abs()).clamp(min=_TINY)
    return -b[:, None] * centred.sign() * tail.log()


def smallest_fooling(
    codes: torch.Tensor, d: torch.Tensor, fools: Callable[..., torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The code of each image with the smallest ||Dv||_2 among those that fool.

    codes: N x draws x M; d: P x M; fools: from codes (N' x M) and the images they are for (N') to
    bools. Where none fools it is the smallest, as in the authors' code. Codes are tried from the
    smallest on, which spares the rest; also returns how many were tried (N).
    """
    gram = (d.T @ d).double()
    squared = torch.einsum("ntm,mk,ntk->nt", codes.double(), gram, codes.double())
    order = squared.argsort(dim=1, stable=True)
    everyone = torch.arange(len(codes), device=codes.device)
    chosen = codes[everyone, order[:, 0]]
    tried = torch.zeros(len(codes), dtype=torch.int64, device=codes.device)
    pending = everyone
    for rank in range(codes.shape[1]):
        candidates = codes[pending, order[pending, rank]]
        tried[pending] += 1
        fooled = fools(candidates, pending)
        chosen[pending[fooled]] = candidates[fooled]
        pending = pending[~fooled]
        if not len(pending):
            break
    return chosen, tried
