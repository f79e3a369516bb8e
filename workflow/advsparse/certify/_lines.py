r"""Linear bounds of a network's units and margin, by substitution from the last layer to the first.

Of a unit whose h lies in [l, u], l < 0 < u, the ReLU lies between two lines,

.. math:: s h \le \max(h, 0) \le \frac{u}{u - l} (h - l), \qquad 0 \le s \le 1,

and any lower slope s will do (Zhang et al. 2018, CROWN; Xu et al. 2021 choose it). Units that are
known to be on or off, as a part of the question has them or because no adversarial image has them
otherwise, pay for that with multipliers beta >= 0 of h >= 0 or h <= 0 (Wang et al. 2021,
beta-CROWN).

All is done for B parts of a question at once; units of all layers are counted through.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from advsparse.certify._network import Array, ReluNetwork


@dataclass
class State:
    """What is known of h of the U hidden units in each part, B x U each."""

    lower: Array
    upper: Array

    def rows(self, rows: Array | slice) -> State:
        """Copies of some of the parts."""
        return State(self.lower[rows].copy(), self.upper[rows].copy())

    @classmethod
    def joined(cls, states: list[State]) -> State:
        return cls(
            np.concatenate([state.lower for state in states]),
            np.concatenate([state.upper for state in states]),
        )

    @property
    def unstable(self) -> Array:
        return (self.lower < 0) & (self.upper > 0)

    @property
    def known(self) -> Array:
        """1 of units that are on, -1 of those that are off, 0 of the others."""
        return np.where(self.lower >= 0, 1.0, np.where(self.upper <= 0, -1.0, 0.0))

    def width(self) -> Array:
        """The summed width of the bounds of units that are not stable, B."""
        return np.where(self.unstable, self.upper - self.lower, 0.0).sum(1)

    def decide(self, unit: int, on: bool) -> None:
        """Take a unit to be on, or off."""
        if on:
            self.lower[:, unit] = np.maximum(self.lower[:, unit], 0.0)
        else:
            self.upper[:, unit] = np.minimum(self.upper[:, unit], 0.0)


@dataclass
class Line:
    """Upper bounds c . a + k of the margin, B x P and B, and what they came from, B x U."""

    c: Array
    k: Array
    coefficients: Array
    """Of max(h, 0)."""
    slope: Array
    """Of the line taken in its place."""
    constant: Array


def chord(low: Array, high: Array) -> tuple[Array, Array]:
    """Slope and constant of the upper line of units with these bounds."""
    unstable = (low < 0) & (high > 0)
    slope = np.where(unstable, high / np.where(unstable, high - low, 1.0), low >= 0)
    return slope, np.where(unstable, -slope * low, 0.0)


def default_slopes(low: Array, high: Array) -> Array:
    """The lower slope that takes off the smaller triangle; of stable units that of the chord."""
    return (high > -low).astype(float)


def margin_line(
    network: ReluNetwork,
    objective: tuple[Array, float],
    state: State,
    slopes: Array,
    betas: Array,
) -> Line:
    """The bound of the margin with these lower slopes and multipliers of stable units, B x U."""
    v, g = objective
    slope, constant = chord(state.lower, state.upper)
    coefficients = np.empty_like(slope)
    unstable, forced = state.unstable, state.known * betas
    flowing, k = np.broadcast_to(v, (len(slope), len(v))), np.full(len(slope), g)
    for layer in reversed(range(len(network.hidden))):
        at = network.units(layer)
        below = (flowing < 0) & unstable[:, at]
        slope[:, at] = np.where(below, slopes[:, at], slope[:, at])
        constant[:, at] = np.where(below, 0.0, constant[:, at])
        coefficients[:, at] = flowing
        d = flowing * slope[:, at] + forced[:, at]
        k = k + (flowing * constant[:, at]).sum(1) + d @ network.biases[layer]
        flowing = d @ network.weights[layer]
    return Line(flowing, k, coefficients, slope, constant)


def unit_lines(
    network: ReluNetwork, state: State, layer: int, part: Array, row: Array, sign: Array
) -> tuple[Array, Array]:
    """Upper bounds c . a + k of sign * h, for ``row`` of a layer in ``part``: J x P, and J."""
    d = sign[:, None] * network.weights[layer][row]
    k = sign * network.biases[layer][row]
    for below in reversed(range(layer)):
        at = network.units(below)
        low, high = state.lower[part, at], state.upper[part, at]
        slope, constant = chord(low, high)
        least = np.where((low < 0) & (high > 0), default_slopes(low, high), slope)
        k = k + (np.maximum(d, 0) * constant).sum(1)
        d = np.where(d > 0, d * slope, d * least)
        k = k + d @ network.biases[below]
        d = d @ network.weights[below]
    return d, k


def relaxed_values(network: ReluNetwork, line: Line, a: Array) -> Array:
    """h at ``a`` (B x P) where every ReLU is the line that the bound took, B x U."""
    found, z = np.empty_like(line.slope), a
    for layer in range(len(network.hidden)):
        at = network.units(layer)
        found[:, at] = z @ network.weights[layer].T + network.biases[layer]
        z = line.slope[:, at] * found[:, at] + line.constant[:, at]
    return found
