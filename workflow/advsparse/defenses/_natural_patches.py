"""Dictionaries of natural patches, and patches coded by them. Imports torch."""

from __future__ import annotations

import torch

from advsparse.coding._maps import Matrix
from advsparse.coding._patches import drawn_patches, image_of, on_grid, patches_of
from advsparse.coding._pursuit import Dictionary, pursue

_AT_ONCE = 2**9
"""Patches that are compared at once."""

_ENTRIES = 2**21
"""Entries of codes that are found at once: of more, memory is had from the system anew each time.
"""


def salience(patches: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """The mean length of the gradients of patches, N x m of that ``shape``, over all channels."""
    images = patches.unflatten(1, shape)
    down, along = (torch.zeros_like(images) for _ in "da")
    down[:, :, :-1] = images.diff(dim=2)
    along[..., :-1] = images.diff(dim=3)
    return (down.square() + along.square()).sum(1).sqrt().mean((1, 2))


def in_turn(weights: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The places of the positive ``weights`` in random order, each next one drawn with probability
    in proportion to its weight among those that are left (Efraimidis and Spirakis 2006)."""
    uniform = torch.rand(len(weights), generator=generator, dtype=torch.float64)
    waits = -torch.log(1 - uniform).to(weights.device) / weights
    return waits.argsort(stable=True)[: int((weights > 0).sum())]


def apart(patches: torch.Tensor, coherence: float, count: int) -> torch.Tensor:
    """Up to ``count`` of ``patches`` (N x m, of norm 1): each in turn whose |cosine| with all those
    before it that were taken is below ``coherence``; k x m."""
    found = patches.new_empty(count, patches.shape[1])
    taken = 0
    for block in patches.split(_AT_ONCE):
        if taken:
            block = block[(block @ found[:taken].T).abs().amax(1) < coherence]
        near = ((block @ block.T).abs() >= coherence).cpu().numpy()
        rows: list[int] = []
        for row in range(len(block)):
            if not near[row, rows].any():
                rows.append(row)
        rows = rows[: count - taken]
        found[taken : taken + len(rows)] = block[rows]
        taken += len(rows)
        if taken == count:
            break
    return found[:taken]


def natural_dictionary(
    x: torch.Tensor,
    size: int,
    *,
    candidates: int,
    coherence: float,
    atoms: int,
    generator: torch.Generator,
) -> torch.Tensor:
    """A dictionary of patches of the images ``x``, m x k with k up to ``atoms``, of norm 1 and of
    mean 0 in each channel."""
    drawn = drawn_patches(x, size, candidates, generator).double()
    shape = (x.shape[1], size, size)
    order = in_turn(salience(drawn, shape), generator)
    if not len(order):
        raise ValueError("d3: all of the patches that it could learn from are flat")
    patches, _ = _centred(drawn[order], size)
    patches = patches / patches.norm(dim=1, keepdim=True)
    return apart(patches, coherence, atoms).T.contiguous()


class Sparse:
    """t: each patch, on a grid, is its mean and few atoms of a dictionary; overlaps averaged.

    share: of the atoms, what each image is given of them, drawn anew.
    """

    def __init__(self, dictionary: torch.Tensor, size: int, sparsity: int, share: float) -> None:
        self.dictionary, self.size, self.sparsity = dictionary.double(), size, sparsity
        self.step = max(1, size // 2)
        self.atoms = max(1, round(share * dictionary.shape[1]))
        self.whole = Dictionary(Matrix(self.dictionary))

    def __call__(self, x: torch.Tensor, *numbers) -> torch.Tensor:
        padded = on_grid(x, self.size, self.step)
        patches = patches_of(padded, self.size, self.step).double()
        centred, mean = _centred(patches, self.size)
        if numbers:
            uniform = numbers[0].uniform_block(x, (self.dictionary.shape[1],))
            chosen = uniform.argsort(dim=1)[:, : self.atoms]
            own = (Dictionary(Matrix(self.dictionary[:, some])) for some in chosen)
            found = torch.stack([
                self._coded(some, one) for some, one in zip(centred, own, strict=True)
            ])  # fmt: skip
        else:
            found = self._coded(centred.flatten(0, 1), self.whole).reshape(centred.shape)
        whole = image_of(found + mean, self.size, tuple(padded.shape[1:]), self.step)
        return whole[..., : x.shape[2], : x.shape[3]].to(x.dtype).clamp(0, 1)

    def _coded(self, patches: torch.Tensor, dictionary: Dictionary) -> torch.Tensor:
        atoms = dictionary.synthesis.atoms
        limit = min(self.sparsity, atoms, patches.shape[1])
        parts = patches.split(max(1, _ENTRIES // atoms))
        return torch.cat([_coded(part, dictionary, limit) for part in parts])


def _coded(patches: torch.Tensor, dictionary: Dictionary, limit: int) -> torch.Tensor:
    """Each patch by up to ``limit`` atoms. Where these stay the same, that projects it onto their
    span, and so does the derivative."""
    with torch.no_grad():
        code = pursue(dictionary, patches, limit, None).code
        found = dictionary.synthesis.forward(code)
    if not (torch.is_grad_enabled() and patches.requires_grad):
        return found
    size, index = code.abs().topk(limit, dim=1)
    used = size > 0
    atoms = dictionary.atoms(index.flatten()).unflatten(0, index.shape) * used[..., None]
    # Of places without an atom the weight is 0.
    gram = atoms @ atoms.mT + torch.diag_embed((~used).to(atoms))
    weights = torch.linalg.solve(gram, atoms @ patches[..., None])
    near = (atoms.mT @ weights)[..., 0]
    return found + (near - near.detach())


def _centred(patches, size):
    """Patches, ... x m, without the mean of each channel, and these means, in each entry."""
    channels = patches.unflatten(-1, (-1, size**2))
    mean = channels.mean(-1, keepdim=True).expand(channels.shape).flatten(-2)
    return patches - mean, mean
