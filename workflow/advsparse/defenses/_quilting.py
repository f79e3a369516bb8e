"""Image quilting: images put together of patches of others, along the seams that show least."""

from __future__ import annotations

from advsparse.lazy import torch

_AT_ONCE = 2**24
"""Distances that are found at once."""

_MORE = 8
"""Patches beyond the K nearest whose distances are found again, by differences: those by products
lose digits, and in batches of other sizes others."""

_EQUAL = 1e-10
"""Squared distances that differ by no more than rounding count as equal; the patch that comes first
is then the nearer one."""


def nearest(queries: torch.Tensor, known: torch.Tensor, count: int) -> torch.Tensor:
    """The places of the ``count`` rows of ``known`` (P x d) that are nearest to each of the
    ``queries`` (M x d), the nearest first; M x count, or x P if there are no more. In float64."""
    count = min(count, len(known))
    norms = known.square().sum(1)
    some = max(1, _AT_ONCE // len(known))
    return torch.cat([_nearest(part, known, norms, count) for part in queries.split(some)])


def _nearest(queries, known, norms, count):
    size = torch.addmm(norms, queries, known.T, alpha=-2)
    near = size.topk(min(count + _MORE, len(known)), dim=1, largest=False).indices
    near = near.sort(1).values  # what is equal stays in order
    exact = (known[near] - queries[:, None]).square().sum(2)
    order = (exact / _EQUAL).round().argsort(dim=1, stable=True)
    return near.gather(1, order[:, :count])


def quilted(patches: torch.Tensor, overlap: int) -> torch.Tensor:
    """The images N x C x H x W of patches, N x rows x columns x C x p x p, which overlap.

    Row by row, each patch is laid over what is there already, from the seam on that costs least:
    one down through the overlap at its left, one across through the overlap above. A pixel that
    lies before either stays as it is.
    """
    n, rows, columns, channels, size, _ = patches.shape
    step = size - overlap
    sides = [step * (count - 1) + size for count in (rows, columns)]
    image = patches.new_zeros(n, channels, *sides)
    place = torch.arange(overlap, device=patches.device)
    for row in range(rows):
        for column in range(columns):
            new = patches[:, row, column]
            top, left = row * step, column * step
            there = image[:, :, top : top + size, left : left + size]
            cost = (new - there).square().sum(1)
            stays = torch.zeros_like(cost, dtype=torch.bool)
            if column and overlap:
                cut = seam(cost[:, :, :overlap])
                stays[:, :, :overlap] |= place < cut[:, :, None]
            if row and overlap:
                cut = seam(cost[:, :overlap].mT)
                stays[:, :overlap] |= (place < cut[:, :, None]).mT
            there.copy_(torch.where(stays[:, None], there, new))
    return image


def seam(cost: torch.Tensor) -> torch.Tensor:
    """The path of least total ``cost`` (N x length x width) from end to end, which moves by one
    place at most from step to step: its place at each step, N x length."""
    total, moves = cost[:, 0], []
    for step in range(1, cost.shape[1]):
        around = torch.nn.functional.pad(total, (1, 1), value=torch.inf)
        least, move = total, torch.zeros_like(total, dtype=torch.long)
        for other, by in ((around[:, :-2], -1), (around[:, 2:], 1)):
            less = other < least
            least, move = torch.where(less, other, least), torch.where(less, by, move)
        moves.append(move)
        total = cost[:, step] + least
    places = [total.argmin(1, keepdim=True)]
    for move in reversed(moves):
        places.append(places[-1] + move.gather(1, places[-1]))
    return torch.cat(places[::-1], dim=1)
