"""Changes of few features that turn out not to be needed, taken back."""

from __future__ import annotations

from advsparse.attacks._confirm import at_rows, fooled
from advsparse.attacks._losses import margin
from advsparse.lazy import torch


def take_back(oracle, x, found, y, target, rows):
    """``found``, adversarial for the images ``rows``, with as few features changed as still are.

    Each change is first taken back by itself; then those that may be are taken back one after the
    other, in the order of what was left of the margin, where the image stays adversarial.

    Cost: at most two forward passes for each changed feature.
    """
    flat, clean = found[rows].flatten(1), x[rows].flatten(1)
    changed = flat != clean
    used = changed.sum(1)
    most = int(used.max()) if len(rows) else 0
    at = changed.int().argsort(dim=1, descending=True, stable=True)[:, :most]

    def without(place, some):
        here = place[some][:, None]
        trial = flat[some].scatter(1, here, clean[some].gather(1, here))
        logits = oracle.logits(trial.reshape(-1, *x.shape[1:]), rows[some])
        return trial, logits, y[rows[some]], at_rows(target, rows[some])

    left = flat.new_full((len(rows), most), torch.inf)
    for k in range(most):
        some = (used > k).nonzero().flatten()
        _, logits, *goal = without(at[:, k], some)
        left[some, k] = torch.where(fooled(logits, *goal), margin(logits, *goal), torch.inf)
    order = left.argsort(dim=1, stable=True)
    free = left.isfinite().sum(1)
    for k in range(most):
        some = (free > k).nonzero().flatten()
        if not len(some):
            break
        trial, logits, *goal = without(at.gather(1, order[:, k : k + 1])[:, 0], some)
        won = fooled(logits, *goal)
        flat[some[won]] = trial[won]
    return found.index_copy(0, rows, flat.reshape(-1, *x.shape[1:]))
