"""The pair of features with the largest saliency, exact although few pairs are looked at."""

from __future__ import annotations

from typing import NamedTuple

from advsparse.lazy import torch

_CANDIDATES = 24
"""How many features are tried first. One image in ten needs the frontier."""

_LARGE = 256
"""Frontiers of more features than this are searched image by image."""

_BLOCK = 2**21
"""Pairs that are looked at at once where all of them have to be."""


class Pairs(NamedTuple):
    """The best pair of each image."""

    first: torch.Tensor
    """The lower index, int64 of shape N."""
    second: torch.Tensor
    """The higher index, int64 of shape N."""
    found: torch.Tensor
    """Whether any pair has a positive saliency, bool of shape N; without, both indices are 0."""
    slope: torch.Tensor
    """A weight that suits the image, a good guess for a similar one; shape N."""


def best_pairs(
    a: torch.Tensor, c: torch.Tensor, allowed: torch.Tensor, slope: torch.Tensor | None = None
) -> Pairs:
    r"""For each image, the pair of allowed features with the largest saliency.

    .. math:: \max_{p < q} (a_p + a_q)(c_p + c_q) \quad \text{s.t.} \quad
              a_p + a_q > 0,\; c_p + c_q > 0

    a, c: N x P, scaled by powers of two so that their largest entries are about 1, which keeps
    products from underflowing and changes no comparison; allowed: N x P, bool; slope: a guess at
    the best weight below, shape N.

    The pair is the one that a search of all pairs in the same arithmetic finds, of equal ones the
    first in lexicographic order. For any w > 0 and u = w a + c / w, the inequality of arithmetic
    and geometric means gives

    .. math:: (a_p + a_q)(c_p + c_q) \le \tfrac14 (u_p + u_q)^2,

    with equality at the best pair for w^2 = (c_p + c_q) / (a_p + a_q). Among the features with the
    largest u all pairs are compared. The best of them, L, is proven where a pair with any other
    feature stays strictly below it: max u + (smallest u taken) < 2 sqrt(L), less what rounding can
    amount to. Where that fails, the pairs of the frontier are compared: the features that fewer
    than two others exceed in both a and c. Any other feature of a pair has one of those two in its
    place for a better pair.
    """
    a, c = _scaled(a), _scaled(c)
    count, features = a.shape
    first = torch.zeros(count, dtype=torch.int64, device=a.device)
    second, found = first.clone(), torch.zeros_like(first, dtype=torch.bool)
    slope = a.new_ones(count) if slope is None else slope
    open_ = torch.arange(count, device=a.device)
    if features > _CANDIDATES:
        p, q, score, slope, proven = _among_leaders(a, c, allowed, slope)
        first, second, found, open_ = p, q, score > 0, open_[~proven]
    if len(open_):
        part = a[open_], c[open_], allowed[open_]
        first[open_], second[open_], found[open_] = _among_frontier(*part)
    return Pairs(first * found, second * found, found, slope)


def largest_pairs(a: torch.Tensor, allowed: torch.Tensor) -> Pairs:
    """:func:`best_pairs` where c is a: the two features with the largest a, if a_p + a_q > 0."""
    a = a.masked_fill(~allowed, -torch.inf)
    row = torch.arange(len(a), device=a.device)
    most, first = a.max(1)
    a[row, first] = -torch.inf
    next_, second = a.max(1)
    found = most + next_ > 0
    first, second = torch.minimum(first, second), torch.maximum(first, second)
    return Pairs(first * found, second * found, found, torch.ones_like(most))


def _scaled(v: torch.Tensor) -> torch.Tensor:
    """Each row times the power of two that brings its largest entry into [1/2, 1)."""
    exponent = torch.frexp(v.abs().amax(1, keepdim=True)).exponent
    one = torch.ones_like(v[:, :1])
    if exponent.abs().max() < 100:
        return v * torch.ldexp(one, -exponent)
    # In two factors: one alone overflows for subnormal numbers.
    half = exponent.div(2, rounding_mode="floor")
    return v * torch.ldexp(one, -half) * torch.ldexp(one, half - exponent)


def _among_leaders(a, c, allowed, slope):
    """The best pair of the features with the largest u, whether it is proven best, and its w."""
    w = slope[:, None]
    u = torch.addcdiv(w * a, c, w).masked_fill_(~allowed, -torch.inf)
    values, chosen = u.topk(_CANDIDATES, dim=1)
    # In the order of the features, so that the first of equal pairs is the one looked for.
    chosen = chosen.sort(dim=1).values
    p, q, score, ratio = _among(a, c, chosen, u.gather(1, chosen) > -torch.inf)
    found = score > 0
    # |u| <= w + 1/w, as the entries are at most 1: that many units in the last place are enough
    # for the few operations that lead to either side.
    slack = 32 * torch.finfo(a.dtype).eps * (slope + 1 / slope)
    outside = values[:, 0] + values[:, -1]
    # Fewer allowed features than candidates: all pairs have been looked at.
    proven = (found & (outside + slack < 2 * score.sqrt())) | (values[:, -1] == -torch.inf)
    if not found.all():
        # No pair has a positive sum where no feature has a positive entry.
        proven |= ~(allowed & (a > 0)).any(1) | ~(allowed & (c > 0)).any(1)
    better = ratio.sqrt()
    # A weight so far off that dividing by it rounds everything else away is no use.
    usable = found & (better > 1e-3) & (better < 1e3)
    return p, q, score, torch.where(usable, better, slope), proven


def _among(a, c, chosen, taken):
    """The best pair of the features ``chosen`` (in rising order) that are ``taken``, N x M each:
    both indices, its saliency, and (c_p + c_q) / (a_p + a_q)."""
    i, j = torch.triu_indices(chosen.shape[1], chosen.shape[1], 1, device=a.device)
    own_a = a.gather(1, chosen).masked_fill_(~taken, -torch.inf)
    own_c = c.gather(1, chosen).masked_fill_(~taken, -torch.inf)
    alpha, gamma = own_a[:, i] + own_a[:, j], own_c[:, i] + own_c[:, j]
    score, place = _scores(alpha, gamma).max(1)
    row = torch.arange(len(a), device=a.device)
    p, q = chosen[row, i[place]], chosen[row, j[place]]
    return p, q, score, gamma[row, place] / alpha[row, place]


def _among_frontier(a, c, allowed):
    """The best pair of each image, and whether there is one."""
    kept = _frontier(a, c, allowed)
    largest = int(kept.sum(1).max())
    if largest < 2 or largest > _LARGE:
        found = [_among_all(*row) for row in zip(a, c, kept, strict=True)]
        return (torch.tensor(values, device=a.device) for values in zip(*found, strict=True))
    # Those kept, in rising order; images with fewer of them are filled up with others.
    chosen = kept.byte().topk(largest, dim=1).indices.sort(dim=1).values
    p, q, score, _ = _among(a, c, chosen, kept.gather(1, chosen))
    return p, q, score > 0


def _frontier(a, c, allowed):
    """Which allowed features fewer than two others exceed in a and, beyond rounding, in c.

    In falling order of a, the second largest c so far is max_i min(c_i, max_{j < i} c_j).
    """
    order = a.masked_fill(~allowed, -torch.inf).argsort(dim=1, descending=True)
    ranked = c.masked_fill(~allowed, -torch.inf).gather(1, order)
    empty = torch.full_like(ranked[:, :1], -torch.inf)
    largest = torch.cat([empty, ranked.cummax(1).values[:, :-1]], dim=1)
    second = torch.minimum(ranked, largest).cummax(1).values
    second = torch.cat([empty, second[:, :-1]], dim=1)
    # Entries are at most 1: what c is exceeded by is left after any rounding of sums and products.
    kept = ranked + 16 * torch.finfo(a.dtype).eps >= second
    return torch.zeros_like(allowed).scatter(1, order, kept) & allowed


def _scores(alpha, gamma):
    """Saliency of pairs: the product of the sums where both are positive, else 0."""
    return torch.where((alpha > 0) & (gamma > 0), alpha * gamma, 0.0)


def _among_all(a, c, allowed):
    """The best pair of one image, and whether there is one."""
    features = allowed.nonzero().flatten()
    a, c, count = a[features], c[features], len(features)
    best, first, second = a.new_zeros(()), 0, 0
    rows = max(1, _BLOCK // max(count, 1))
    for start in range(0, count, rows):
        stop = min(start + rows, count)
        # Row p meets the features from p + 1 on; those left of the block have met it.
        alpha, gamma = (v[start:stop, None] + v[None, start:] for v in (a, c))
        scores = _scores(alpha, gamma).triu_(1).flatten()
        place = int(scores.argmax())
        if scores[place] > best:  # strictly: of equal pairs the first is kept
            best = scores[place]
            row, column = divmod(place, count - start)
            first, second = int(features[start + row]), int(features[start + column])
    return first, second, bool(best > 0)
