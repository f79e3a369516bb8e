"""Image quilting: images put together of patches of others, along the seams that show least."""

from __future__ import annotations

from advsparse.lazy import torch

_AT_ONCE = 2**24
"""Distances that are found at once."""

_MORE = 24
"""Patches beyond the K nearest that are looked at again: distances by products lose digits, in
batches of other sizes others."""

_EQUAL = 1e-10
"""Squared distances that differ by no more than rounding count as equal; the patch that comes first
is then the nearer one."""


def nearest(queries: torch.Tensor, known: torch.Tensor, count: int) -> torch.Tensor:
    """The places of the ``count`` rows of ``known`` (P x d) that are nearest to each of the
    ``queries`` (M x d), the nearest first; M x count, or x P if there are no more. In float64.

    Products in float32 tell which come into question; where their rounding could hide one, those in
    float64 do, at twice the cost; and where as many are equally near, differences from all.
    """
    count = min(count, len(known))
    some = max(1, _AT_ONCE // len(known))
    known_in = [known.to(dtype) for dtype in (torch.float32, torch.float64)]
    norms = known.square().sum(1)

    def of(part: torch.Tensor) -> torch.Tensor:
        found = part.new_empty(len(part), count, dtype=torch.int64)
        left = torch.arange(len(part), device=part.device)
        for rounded in known_in:
            found[left], sure = _by_products(part[left], known, rounded, norms, count)
            left = left[~sure]
            if not len(left):
                return found
        for i in left:
            found[i] = _sorted((known - part[i]).square().sum(1)[None])[0, :count]
        return found

    return torch.cat([of(part) for part in queries.split(some)])


def _by_products(queries, known, rounded, norms, count):
    """The nearest by products with ``rounded``, sorted by differences; and for each query whether
    no other can be as near."""
    products = torch.addmm(norms.to(rounded.dtype), queries.to(rounded.dtype), rounded.T, alpha=-2)
    size, near = products.topk(min(count + _MORE, len(known)), dim=1, largest=False)
    near = near.sort(1).values  # what is equal stays in order
    exact = (known[near] - queries[:, None]).square().sum(2)
    order = _sorted(exact)[:, :count]
    length, largest = queries.square().sum(1), norms.max()
    # The error of a sum of d products, and of rounding what they are made of.
    error = (known.shape[1] + 4) * torch.finfo(rounded.dtype).eps / 2
    hidden = error * (largest + 2 * (length * largest).sqrt())
    beyond = size[:, -1].double() + length - hidden
    sure = beyond > exact.gather(1, order)[:, -1] + 2 * _EQUAL
    return near.gather(1, order), sure | (near.shape[1] == len(known))


def _sorted(distances: torch.Tensor) -> torch.Tensor:
    """Places by distance, of equal ones the first first."""
    return (distances / _EQUAL).round().argsort(dim=1, stable=True)


def quilted(patches: torch.Tensor, overlap: int) -> torch.Tensor:
    """The images N x C x H x W of patches, N x rows x columns x C x p x p, which overlap.

    Row by row, each patch is laid over what is there already, from the seam on that costs least:
    one down through the overlap at its left, one across through the overlap above. A pixel that
    lies before either stays as it is.
    """
    n, rows, columns, channels, size, _ = patches.shape
    step = size - overlap
    height, width = (step * (count - 1) + size for count in (rows, columns))
    image = patches.new_zeros(n, channels, height * width)
    place = torch.arange(overlap, device=patches.device)
    pixel = torch.arange(size, device=patches.device)
    window = width * pixel[:, None] + pixel
    for row, column in _waves(rows, columns, (size - 1) // step, patches.device):
        at = (step * (width * row + column))[:, None, None] + window
        new, there = patches[:, row, column], image[:, :, at].transpose(1, 2)
        cost = (new - there).square().sum(2)
        stays = torch.zeros_like(cost, dtype=torch.bool)
        if overlap:
            down, across = cost[..., :overlap], cost[..., :overlap, :].mT
            before = [(place < _seams(part)[..., None]) for part in (down, across)]
            stays[..., :overlap] |= before[0] & (column > 0)[:, None, None]
            stays[..., :overlap, :] |= before[1].mT & (row > 0)[:, None, None]
        image[:, :, at] = torch.where(stays[:, :, None], there, new).transpose(1, 2)
    return image.unflatten(2, (height, width))


def _waves(rows, columns, reach, device):
    """Places of patches that don't touch each other, each after all those before it, row by row,
    that it overlaps: as far as ``reach`` patches to each side."""
    row = torch.arange(rows, device=device).repeat_interleave(columns)
    column = torch.arange(columns, device=device).repeat(rows)
    wave = column + (reach + 1) * row
    for number in range(int(wave.max()) + 1):
        here = wave == number
        if here.any():
            yield row[here], column[here]


def _seams(cost):
    """:func:`seam` of each of several patches, N x K x length x width."""
    return seam(cost.flatten(0, 1)).unflatten(0, cost.shape[:2])


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
