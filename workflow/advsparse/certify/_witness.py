r"""The nearest adversarial image that linearisation finds: upper bounds for certificates.

DeepFool that always starts from the image x: with the margin m and its gradient at a,

.. math:: a \leftarrow \arg\min_{a' \in [0,1]^P} \|a' - x\|
          \;\text{s.t.}\; m(a) + \nabla m(a) \cdot (a' - a) \ge \alpha,

exact in every norm (:func:`advsparse.certify._ball.nearest`), from many starts at once; then steps
towards the maximum of the margin within shrinking balls.
"""

from __future__ import annotations

import numpy as np

from advsparse.certify._ball import Ball, nearest
from advsparse.certify._network import Array
from advsparse.certify._question import Question

_STARTS, _STEPS, _ELSEWHERE = 24, 12, 16
_CUTS = 40
_ROUNDS, _ASCENT = 12, 20


def nearest_found(question: Question, rng: np.random.Generator) -> tuple[Array | None, float]:
    """A witness, whatever the question's radius, and its distance; none and infinity if none is
    found."""
    ball = question.ball
    x = ball.x
    noise = (
        rng.uniform(-1, 1, (_STARTS - 1, len(x))) * np.geomspace(0.01, 0.5, _STARTS - 1)[:, None]
    )
    a = np.concatenate([x[None], np.clip(x + noise, ball.low, ball.high)])
    best, least = None, np.inf
    for _ in range(_STEPS):
        margin, gradient = question.network.slope(a, question.label, question.target)
        # What is needed from x on: the linear model's value there is m(a) + g . (x - a).
        need = question.wanted - margin - ((x - a) * gradient).sum(1)
        a = nearest(ball, gradient, need * (1 + 1e-9) + 1e-12)
        best, least = _kept(question, a, best, least)
    if best is None:  # where nothing leads there from the image, from elsewhere in the box
        wide = Ball(x, "linf", ball.high - ball.low, ball.low, ball.high)
        for start in rng.uniform(ball.low, ball.high, (_ELSEWHERE, len(x))):
            found = ascended(question, wide, start)
            best, least = _kept(question, found[None], best, least)
    return (None, np.inf) if best is None else shrunk(question, best)


def shrunk(question: Question, a: Array) -> tuple[Array, float]:
    """A witness at most as far as ``a`` is, by ascents of the margin in smaller and smaller balls;
    and its distance."""
    best, least = _cut(question, a[None])
    whole = question.ball.norm == "l0"
    factor = 0.9
    for _ in range(_ROUNDS):
        ball = question.ball.of(least - 1 if whole else least * factor)
        if ball.radius <= 0:
            break
        found = ascended(question, ball, best[0])
        if question.margin(found)[0] >= question.wanted:
            nearer, distance = _cut(question, found[None])
            if distance < least:
                best, least = nearer, distance
                continue
        factor = 1 - (1 - factor) / 2
        if whole or factor > 1 - 1e-6:
            break
    return best[0], least


def ascended(question: Question, ball, a: Array) -> Array:
    """The point of largest margin among linear maximisers from ``a`` on, and points between."""
    a = ball.x + _pulled(a - ball.x, ball)
    best, most = a, question.margin(a)[0]
    for _ in range(_ASCENT):
        _, gradient = question.network.slope(a[None], question.label, question.target)
        _, corner = ball.largest(gradient)
        shares = np.array([1.0, 0.6, 0.3, 0.1])[:, None]
        trials = a + shares * (corner - a)
        if ball.norm == "l0":
            trials = corner
        margins = question.margin(trials)
        chosen = int(margins.argmax())
        if margins[chosen] <= most + 1e-12:
            break
        a = best = trials[chosen]
        most = margins[chosen]
        if most >= question.wanted:
            break
    return best


def _pulled(d: Array, ball) -> Array:
    """A step into a smaller ball: shortened; of l0, its smallest entries dropped."""
    if ball.norm == "linf":
        return np.clip(d, -ball.radius, ball.radius)
    if ball.norm == "l0":
        kept = np.argsort(-np.abs(d))[: int(ball.radius)]
        found = np.zeros_like(d)
        found[kept] = d[kept]
        return found
    size = float(ball.distance(ball.x + d))
    return d * min(1.0, ball.radius / max(size, 1e-300))


def _kept(question: Question, a: Array, best, least):
    """The nearer of the witnesses among ``a`` and the one that was there."""
    won = question.margin(a) >= question.wanted
    if won.any():
        distances = np.where(won, question.ball.distance(a), np.inf)
        row = int(distances.argmin())
        if distances[row] < least:
            return a[row], float(distances[row])
    return best, least


def _cut(question: Question, a: Array) -> tuple[Array, float]:
    """Witnesses moved towards x for as long as they remain some: N x P, and the least distance.

    linf cuts entries off, the others shorten the step; of l0 entries are put back one by one.
    """
    x, ball = question.ball.x, question.ball
    a = a.copy()
    if ball.norm == "l0":
        return _pruned(question, a)
    d, low, high = a - x, np.zeros(len(a)), np.ones(len(a))
    size = np.abs(d).max(1)
    for _ in range(_CUTS):
        middle = (low + high) / 2
        if ball.norm == "linf":
            trial = x + np.clip(d, -(middle * size)[:, None], (middle * size)[:, None])
        else:
            trial = x + middle[:, None] * d
        won = question.margin(trial) >= question.wanted
        a = np.where(won[:, None], trial, a)
        low, high = np.where(won, low, middle), np.where(won, middle, high)
    distances = ball.distance(a)
    row = int(distances.argmin())
    return a[row : row + 1], float(distances[row])


def _pruned(question: Question, a: Array) -> tuple[Array, float]:
    one = a[0]
    x = question.ball.x
    for pixel in sorted((one != x).nonzero()[0], key=lambda i: abs(one[i] - x[i])):
        kept = one[pixel]
        one[pixel] = x[pixel]
        if question.margin(one)[0] < question.wanted:
            one[pixel] = kept
    return one[None], float(question.ball.distance(one))
