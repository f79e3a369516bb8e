"""What it is to fool, and whether an image that does still does so once it is returned."""

from __future__ import annotations

from advsparse.decisions import decided
from advsparse.lazy import torch


def fooled(logits: torch.Tensor, y: torch.Tensor, target: torch.Tensor | None) -> torch.Tensor:
    """Which predictions leave ``y``, or reach ``target`` where there is one; bool, N.

    Logits that are NaN or +infinity predict nothing, and so do neither.
    """
    prediction = logits.argmax(1)
    reached = prediction != y if target is None else prediction == target
    return reached & decided(logits)


def at_rows(labels: torch.Tensor | None, rows: torch.Tensor | slice) -> torch.Tensor | None:
    """Those of the labels, where there are any: an untargeted attack has no targets."""
    return None if labels is None else labels[rows]


def confirm(threat, oracle, point, logits, x, y, target, rows):
    """Which of the points that fool by ``logits`` still do in the threat model, exactly.

    Settling a point in the ball and the box may move an entry by a unit in the last place, and a
    point may lie as near to the boundary as that: it is settled and looked at again, which costs
    one pass for an image that has been found.

    point, logits: for the images ``rows`` of x, y, target. Returns a mask over ``rows`` and the
    settled points where it is true.
    """
    won = fooled(logits, y[rows], at_rows(target, rows))
    if not won.any():
        return won, point[won]
    at = rows[won]
    settled = threat.settle(point[won], x[at])
    goal = at_rows(target, at)
    sure = fooled(oracle.logits(settled, at), y[at], goal)
    won[won.clone()] = sure
    return won, settled[sure]
