r"""Bounds of units for images that are adversarial: the margin is at least alpha.

With a bound of the margin, c . a + k, every image that the question is about has c . a + k >=
alpha. By weak duality a unit with h <= w . a + b is, for any lambda >= 0, at most

.. math:: \max_{a \in \mathcal{A}} (w + \lambda c) \cdot a + b + \lambda (k - \alpha).

Tighter bounds make a tighter line, and that one tighter bounds again.
"""

from __future__ import annotations

import numpy as np

from advsparse.certify._ball import Ball
from advsparse.certify._lines import Line, State, unit_lines
from advsparse.certify._network import Array, ReluNetwork

_HALVINGS = 7
"""Of the interval that holds the best lambda; a bound is not much better for being the best."""
_GROWTHS = 12
_LEAST = 1e-9
"""A bound that is better by no more of itself is left as it was."""


def initial(network: ReluNetwork, ball: Ball) -> State:
    """Bounds over the ball, layer by layer, of the question as a whole."""
    state = State(*(np.zeros((1, sum(network.hidden))) for _ in range(2)))
    for layer, units in enumerate(network.hidden):
        rows, part, at = np.arange(units), np.zeros(units, dtype=int), network.units(layer)
        bounds = []
        for sign in (-1.0, 1.0):
            c, k = unit_lines(network, state, layer, part, rows, np.full(units, sign))
            bounds.append(ball.support(c) + k)
        state.lower[0, at], state.upper[0, at] = -bounds[0], bounds[1]
    return state


Multipliers = list[tuple[Array, Array]]
"""For each part: units from 1 on, negative for lower bounds, and their lambdas."""


def tighten(
    network: ReluNetwork,
    ball: Ball,
    state: State,
    line: Line,
    confidence: float,
    chosen: Array,
) -> Multipliers:
    """Tighten the bounds of ``state``, of the units ``chosen`` (B x U). Returns what of it was of
    use."""
    units: list[list[Array]] = [[] for _ in chosen]
    lambdas: list[list[Array]] = [[] for _ in chosen]
    for layer in range(len(network.hidden)):
        start = network.starts[layer]
        part, row = (chosen & state.unstable)[:, network.units(layer)].nonzero()
        if not len(part):
            continue
        part, row = np.tile(part, 2), np.tile(row, 2)
        sign = np.repeat([1.0, -1.0], len(part) // 2)
        w, b = unit_lines(network, state, layer, part, row, sign)
        rest = line.k[part] - confidence
        found, taken = _least(ball, w, b, line.c, rest, part)
        place = (part, row + start)
        before = np.where(sign > 0, state.upper[place], -state.lower[place])
        better = found < before - _LEAST * np.abs(before)
        for sense, bounds in ((1.0, state.upper), (-1.0, state.lower)):
            there = better & (sign == sense)
            bounds[part[there], row[there] + start] = sense * found[there]
        for one in np.unique(part[better]):
            own = better & (part == one)
            units[one].append(((row + start + 1) * sign)[own].astype(np.int64))
            lambdas[one].append(taken[own])
    return [
        (np.concatenate(u), np.concatenate(t)) if u else (np.zeros(0, np.int64), np.zeros(0))
        for u, t in zip(units, lambdas, strict=True)
    ]


def _least(
    ball: Ball, w: Array, b: Array, c: Array, rest: Array, part: Array
) -> tuple[Array, Array]:
    """The least of the bounds over lambda for each row, nearly, and the lambda: a convex function,
    whose slope at lambda is c . a + rest at the maximiser a."""
    c = c[part]
    slope = ball.slopes(c)
    low, high = np.zeros(len(w)), np.zeros(len(w))
    trial = np.abs(w).sum(1) / np.maximum(np.abs(c).sum(1), 1e-300)
    for count in range(_GROWTHS + _HALVINGS):
        falling = slope(w + trial[:, None] * c) + rest < 0
        low, high = np.where(falling, trial, low), np.where(falling, high, trial)
        endless = high == 0
        if count >= _HALVINGS and not endless.any():
            break
        trial = np.where(endless, 4 * trial, (low + high) / 2)
    best, chosen = ball.support(w) + b, np.zeros(len(w))
    for t in (low, trial, high):
        value = ball.support(w + t[:, None] * c) + b + t * rest
        better = value < best
        best, chosen = np.where(better, value, best), np.where(better, t, chosen)
    return best, chosen
