"""The pair of features with the largest saliency, exact although few pairs are looked at."""

from __future__ import annotations

from typing import NamedTuple

from advsparse.lazy import torch

_TIERS = (24, 64, 256)
"""How many candidates are tried before all pairs are. One image in 70 needs more than the first."""

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
    amount to. Where that fails, the w of the pair found and more candidates are tried, at last all.
    """
    a, c = _scaled(a), _scaled(c)
    count, features = a.shape
    first = torch.zeros(count, dtype=torch.int64, device=a.device)
    second, found = first.clone(), torch.zeros_like(first, dtype=torch.bool)
    slope = a.new_ones(count) if slope is None else slope.clone()
    best = torch.zeros_like(slope)
    open_ = torch.arange(count, device=a.device)
    for size in _TIERS:
        if not len(open_) or size >= features:
            break
        part = (a[open_], c[open_], allowed[open_]) if len(open_) < count else (a, c, allowed)
        p, q, score, w, proven = _among_candidates(*part, slope[open_], size)
        first[open_], second[open_], best[open_], slope[open_] = p, q, score, w
        found[open_] = score > 0
        open_ = open_[~proven]
    for i in open_.tolist():
        first[i], second[i], found[i] = _among_all(a[i], c[i], allowed[i], best[i])
    return Pairs(first * found, second * found, found, slope)


def _scaled(v: torch.Tensor) -> torch.Tensor:
    """Each row times the power of two that brings its largest entry into [1/2, 1)."""
    exponent = torch.frexp(v.abs().amax(1, keepdim=True)).exponent
    one = torch.ones_like(v[:, :1])
    if exponent.abs().max() < 100:
        return v * torch.ldexp(one, -exponent)
    # In two factors: one alone overflows for subnormal numbers.
    half = exponent.div(2, rounding_mode="floor")
    return v * torch.ldexp(one, -half) * torch.ldexp(one, half - exponent)


def _among_candidates(a, c, allowed, slope, size):
    """The best pair of the ``size`` features with the largest u, and whether it is proven best."""
    w = slope[:, None]
    u = torch.addcdiv(w * a, c, w).masked_fill_(~allowed, -torch.inf)
    values, chosen = u.topk(size, dim=1)
    # In the order of the features, so that the first of equal pairs is the one looked for.
    chosen = chosen.sort(dim=1).values
    taken = u.gather(1, chosen) > -torch.inf
    i, j = torch.triu_indices(size, size, 1, device=a.device)
    own_a = a.gather(1, chosen).masked_fill_(~taken, -torch.inf)
    own_c = c.gather(1, chosen).masked_fill_(~taken, -torch.inf)
    alpha, gamma = own_a[:, i] + own_a[:, j], own_c[:, i] + own_c[:, j]
    score, place = _scores(alpha, gamma).max(1)
    row = torch.arange(len(a), device=a.device)
    p, q = chosen[row, i[place]], chosen[row, j[place]]
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
    better = (gamma[row, place] / alpha[row, place]).sqrt()
    # A weight so far off that dividing by it rounds everything else away is no use.
    usable = found & (better > 1e-3) & (better < 1e3)
    return p, q, score, torch.where(usable, better, slope), proven


def _scores(alpha, gamma):
    """Saliency of pairs: the product of the sums where both are positive, else 0."""
    return torch.where((alpha > 0) & (gamma > 0), alpha * gamma, 0.0)


def _among_all(a, c, allowed, known):
    """The best pair of one image, of saliency ``known`` at least, and whether there is one.

    A feature is left out only where even the largest possible partner leads nowhere. Rounding
    preserves order, so that no pair of a feature left out can exceed what it is compared with.
    """
    a_most, c_most = (v.where(allowed, -torch.inf).max() for v in (a, c))
    alpha, gamma = a + a_most, c + c_most
    useful = allowed & (alpha > 0) & (gamma > 0) & (alpha * gamma >= known)
    features = useful.nonzero().flatten()
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
