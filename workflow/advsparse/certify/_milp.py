r"""The slides' formulations: ReLUs as linear constraints with binary variables b.

.. math:: z \ge 0, \quad z \ge h, \quad z \le u b, \quad z \le h - l (1 - b)

with l <= h <= u: symmetric, -l = u = M of the largest |h| of a layer, or asymmetric, by interval
arithmetic, when units whose bounds have one sign need no binary. A maximum of units is y >= z_k,
y <= z_k + (max_j u_j) (1 - q_k) with one q_k = 1.

Three problems: the nearest adversarial image, the largest margin within a radius, and whether the
radius holds an adversarial image at all. Source: canu2021, "Exact search for adversarial examples
as a MIP"; Tjeng et al. 2019.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from advsparse.certify._network import Array, ReluNetwork
from advsparse.certify._question import Question

_MORE = 1e-6
"""Margin beyond that of a witness at which a program need not look for more."""


@dataclass
class Program:
    """min cost . v + quadratic sum_i (v_i - centre_i)^2 over the first P variables, with rows."""

    cost: list[float] = field(default_factory=list)
    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    integer: list[bool] = field(default_factory=list)
    row_lower: list[float] = field(default_factory=list)
    row_upper: list[float] = field(default_factory=list)
    start: list[int] = field(default_factory=lambda: [0])
    index: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    centre: Array | None = None
    """Of the squared distance, where the norm is l2."""
    squared_radius: float = np.inf
    """Its bound; infinite where it is what is minimised."""
    enough: float = -np.inf
    """A cost at which the search may end."""

    def variables(
        self, count: int, lower, upper, cost: float = 0.0, *, integer: bool = False
    ) -> Array:
        """New variables; their numbers."""
        first = len(self.cost)
        self.cost += [cost] * count
        self.lower += np.broadcast_to(lower, count).astype(float).tolist()
        self.upper += np.broadcast_to(upper, count).astype(float).tolist()
        self.integer += [integer] * count
        return np.arange(first, first + count)

    def row(self, index, value, lower: float, upper: float) -> None:
        """lower <= value . v[index] <= upper. Raises ValueError for a variable named twice, of
        which solvers make an empty model."""
        index, value = np.asarray(index), np.asarray(value, dtype=float)
        if len(np.unique(index)) < len(index):
            raise ValueError("a row of a program names a variable twice")
        kept = value != 0
        self.index += index[kept].tolist()
        self.value += value[kept].tolist()
        self.start.append(len(self.index))
        self.row_lower.append(lower)
        self.row_upper.append(upper)

    def arrays(self) -> dict[str, Array]:
        """What a solver is told."""
        found = {
            "cost": np.array(self.cost),
            "lower": np.array(self.lower),
            "upper": np.array(self.upper),
            "integer": np.array(self.integer),
            "row_lower": np.array(self.row_lower),
            "row_upper": np.array(self.row_upper),
            "start": np.array(self.start, dtype=np.int32),
            "index": np.array(self.index, dtype=np.int32),
            "value": np.array(self.value),
            "squared_radius": np.array(self.squared_radius),
            "enough": np.array(self.enough),
        }
        return found | ({} if self.centre is None else {"centre": self.centre})


@dataclass(frozen=True)
class Formulation:
    """Which program a question becomes."""

    problem: str = "nearest"
    """``nearest``, ``loss`` or ``verification``."""
    bounds: str = "interval"
    """``interval``, asymmetric, or ``symmetric``."""
    within: str = "box"
    """Where bounds hold and images may lie: in the ``box``, or in the question's ``ball``."""
    relaxed: bool = False
    """Binaries may be anything between 0 and 1: a lower bound of the distance."""
    pattern: Array | None = None
    """Fixed binaries: which hidden units are on. An upper bound of the distance."""


def intervals(network: ReluNetwork, low: Array, high: Array) -> list[tuple[Array, Array]]:
    """Bounds of h of each hidden layer by interval arithmetic, for pixels between ``low`` and
    ``high``."""
    found = []
    for weight, bias, pool in zip(
        network.weights[:-1], network.biases[:-1], network.pools, strict=True
    ):
        up, down = np.maximum(weight, 0), np.minimum(weight, 0)
        bounds = (up @ low + down @ high + bias, up @ high + down @ low + bias)
        found.append(bounds)
        low, high = (np.maximum(bound, 0) for bound in bounds)
        if pool is not None:
            low, high = low[pool].max(1), high[pool].max(1)
    return found


def program(
    question: Question, formulation: Formulation, known: list[tuple[Array, Array]] | None = None
) -> tuple[Program, Array]:
    """The program of a question, and the numbers of its pixels' variables.

    ``known``: bounds of h in place of those of the formulation. The largest margin is minimised as
    minus the margin, and a verification seeks it too, until it has enough.
    """
    made = Program()
    ball, network = question.ball, question.network
    inside = formulation.within == "ball"
    low, high = np.full_like(ball.x, ball.low), np.full_like(ball.x, ball.high)
    if ball.norm == "linf" and (inside or formulation.problem != "nearest"):
        low, high = np.maximum(low, ball.x - ball.radius), np.minimum(high, ball.x + ball.radius)
    bounds = known or intervals(network, low, high)
    if formulation.bounds == "symmetric":
        largest = [max(np.abs(low).max(), np.abs(high).max()) for low, high in bounds]
        bounds = [(np.full_like(low, -m), np.full_like(low, m)) for m, (low, _) in
                  zip(largest, bounds, strict=True)]  # fmt: skip
    pixels = made.variables(network.pixels, low, high)
    _distance(made, question, formulation, pixels)
    z = pixels
    for layer, (least, most) in enumerate(bounds):
        z = _relus(made, network, layer, z, least, most, formulation)
    v, g = question.objective
    if formulation.problem != "nearest":
        for number, weight in zip(z, v, strict=True):
            made.cost[number] = -float(weight)
    if formulation.problem != "loss":
        made.row(z, v, question.confidence - g, np.inf)
    if formulation.problem == "verification":
        # Points that just suffice would miss what they are to reach by the solver's tolerance.
        made.enough = g - question.wanted - _MORE
    return made, pixels


def _distance(made: Program, question: Question, formulation: Formulation, pixels: Array) -> None:
    ball, sought = question.ball, formulation.problem == "nearest"
    limit = ball.radius if formulation.within == "ball" or not sought else np.inf
    x, count = ball.x, len(ball.x)
    match ball.norm:
        case "linf":
            if sought:
                eps = made.variables(1, 0, min(limit, ball.high - ball.low), 1.0)[0]
                for pixel, value in zip(pixels, x, strict=True):
                    made.row([pixel, eps], [1, -1], -np.inf, value)
                    made.row([pixel, eps], [1, 1], value, np.inf)
        case "l1":
            # a = x + up - down
            up = made.variables(count, 0, ball.high - x, float(sought))
            down = made.variables(count, 0, x - ball.low, float(sought))
            for pixel, plus, minus, value in zip(pixels, up, down, x, strict=True):
                made.row([pixel, plus, minus], [1, -1, 1], value, value)
            if np.isfinite(limit):
                both = np.concatenate([up, down])
                made.row(both, np.ones(2 * count), -np.inf, limit)
        case "l0":
            changed = made.variables(count, 0, 1, float(sought), integer=not formulation.relaxed)
            for pixel, own, value in zip(pixels, changed, x, strict=True):
                made.row([pixel, own], [1, -(ball.high - value)], -np.inf, value)
                made.row([pixel, own], [1, value - ball.low], value, np.inf)
            if np.isfinite(limit):
                made.row(changed, np.ones(count), -np.inf, np.floor(limit))
        case "l2":
            made.centre = x
            made.squared_radius = np.inf if sought else limit**2


def _relus(
    made: Program,
    network: ReluNetwork,
    layer: int,
    z: Array,
    least: Array,
    most: Array,
    formulation: Formulation,
) -> Array:
    """The units of a hidden layer after their ReLU and pooling; the numbers of their variables."""
    weight, bias = network.weights[layer], network.biases[layer]
    found = made.variables(len(bias), 0, np.maximum(most, 0))
    on = None
    if formulation.pattern is not None:
        on = formulation.pattern[network.units(layer)]
    for unit, number in enumerate(found):
        low, high = float(least[unit]), float(most[unit])
        index, row = np.append(z, number), np.append(-weight[unit], 1.0)
        if on is not None:
            if on[unit]:  # z = h >= 0
                made.row(index, row, bias[unit], bias[unit])
            else:
                made.upper[number] = 0.0
                made.row(z, weight[unit], -np.inf, -bias[unit])
        elif low >= 0:
            made.row(index, row, bias[unit], bias[unit])
        elif high <= 0:
            made.upper[number] = 0.0
        else:
            binary = made.variables(1, 0, 1, integer=not formulation.relaxed)[0]
            made.row(index, row, bias[unit], np.inf)
            made.row([number, binary], [1, -high], -np.inf, 0.0)
            # z - h - l b <= -l
            made.row(np.append(index, binary), np.append(row, -low), -np.inf, bias[unit] - low)
    pool = network.pools[layer]
    if pool is None:
        return found
    return _maxima(made, found, pool, np.maximum(least, 0), np.maximum(most, 0), formulation)


def _maxima(
    made: Program, z: Array, pool: Array, low: Array, high: Array, formulation: Formulation
) -> Array:
    """The maxima of groups of units, each within its bounds."""
    found = []
    for group in pool:
        # What is never the largest is left out.
        members = [unit for unit in group if high[unit] > low[group].max()] or [
            group[high[group].argmax()]
        ]
        top = float(high[members].max())
        number = made.variables(1, 0, top)[0]
        found.append(number)
        for unit in members:
            made.row([number, z[unit]], [1, -1], 0.0, np.inf)
        if len(members) == 1:
            made.row([number, z[members[0]]], [1, -1], -np.inf, 0.0)
            continue
        chosen = made.variables(len(members), 0, 1, integer=not formulation.relaxed)
        made.row(chosen, np.ones(len(members)), 1.0, 1.0)
        for unit, one in zip(members, chosen, strict=True):
            reach = top - float(low[unit])
            made.row([number, z[unit], one], [1, -1, reach], -np.inf, reach)
    return np.array(found)
