r"""Proofs replayed with rounding outwards: numpy and a hundred lines that trust nobody.

Nothing of what found a proof is used here, and no solver. A proof (:mod:`._proof`) names lower
slopes, multipliers and divisions; the bounds that follow are computed anew, and whatever the names
are, they are true: that they suffice is what is checked. A float64 result of n operations differs
from the real one by at most n 2^-53 / (1 - n 2^-53) of the sum of the sizes of what was added
(Higham 2002, chapter 3); each such error is added to the bound, in the direction that hurts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LINE, BOUND, SPLIT, CLOSE = range(4)

_UNIT = 2.0**-53


class Refused(ValueError):
    """Why a proof proves nothing."""


def _gamma(n: int) -> float:
    """A bound of the relative error of sums of n products, with room for computing the bound."""
    return 2 * (n + 16) * _UNIT


@dataclass
class Case:
    """What is to be proven: no a in the ball, within the box, has f_target - f_label >= alpha."""

    weights: list[np.ndarray]
    biases: list[np.ndarray]
    x: np.ndarray
    norm: str
    radius: float
    label: int
    target: int
    confidence: float
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        self.hidden = [len(bias) for bias in self.biases[:-1]]
        self.starts = np.cumsum([0, *self.hidden])
        self.a_low, self.a_high = np.full_like(self.x, self.low), np.full_like(self.x, self.high)
        if self.norm == "linf":
            self.a_low = np.maximum(self.low, np.nextafter(self.x - self.radius, -np.inf))
            self.a_high = np.minimum(self.high, np.nextafter(self.x + self.radius, np.inf))
        self.a_size = np.maximum(np.abs(self.a_low), np.abs(self.a_high))

    def largest(self, c: np.ndarray) -> np.ndarray:
        """At least the maximum of c . a over ball and box, for each row of ``c``."""
        down, up = self.x - self.a_low, self.a_high - self.x
        if self.norm == "linf":
            terms = np.maximum(c * self.a_low, c * self.a_high)
            return terms.sum(1) + _gamma(c.shape[1]) * np.abs(terms).sum(1)
        gains = np.maximum(c * up, -c * down)
        if self.norm == "l0":
            count = min(int(self.radius), c.shape[1])
            extra = -np.partition(-gains, max(count - 1, 0), axis=1)[:, :count].sum(1)
        elif self.norm == "l1":
            mu = self._threshold(c, np.where(c > 0, up, down))[:, None]
            over = np.maximum(np.maximum((c - mu) * up, (-c - mu) * down), 0)
            extra = over.sum(1) + mu[:, 0] * self.radius
        elif self.norm == "l2":
            mu = self._multiplier(c, up, down)[:, None]
            step = np.clip(c / mu, -down, up)
            extra = (c * step - mu / 2 * step**2).sum(1) + mu[:, 0] / 2 * self.radius**2
            gains = np.abs(c * step) + mu * step**2 + mu / 2 * self.radius**2
        else:
            raise Refused(f"the norm {self.norm!r} is unknown")
        size = np.abs(c) @ np.abs(self.x) + gains.sum(1) + np.abs(extra)
        return c @ self.x + extra + _gamma(c.shape[1]) * size

    def _threshold(self, c: np.ndarray, room: np.ndarray) -> np.ndarray:
        """For l1, the size of c below which the radius is spent; any other would be valid too."""
        order = np.argsort(-np.abs(c), axis=1)
        spent = np.cumsum(np.take_along_axis(room, order, 1), axis=1) >= self.radius
        place = np.where(spent.any(1), spent.argmax(1), -1)
        size = np.take_along_axis(np.abs(c), order[np.arange(len(c)), place][:, None], 1)[:, 0]
        return np.where(place < 0, 0.0, size)

    def _multiplier(self, c: np.ndarray, up: np.ndarray, down: np.ndarray) -> np.ndarray:
        """For l2, a multiplier of the squared radius; any positive one would be valid too."""
        top = np.linalg.norm(c, axis=1) / max(self.radius, 1e-300) + 1e-300
        bottom = top * 1e-12
        for _ in range(60):
            middle = np.sqrt(top * bottom)
            far = np.linalg.norm(np.clip(c / middle[:, None], -down, up), axis=1) > self.radius
            bottom, top = np.where(far, middle, bottom), np.where(far, top, middle)
        return np.clip(top, 1e-100, 1e100)  # of rows of zeros, and of no radius, too


@dataclass
class _State:
    low: np.ndarray
    high: np.ndarray

    def copy(self) -> _State:
        return _State(self.low.copy(), self.high.copy())

    def known(self) -> np.ndarray:
        """1 of units that are on, -1 of those that are off, 0 of the others."""
        return np.where(self.low >= 0, 1.0, np.where(self.high <= 0, -1.0, 0.0))


def replay(case: Case, integers: np.ndarray, reals: np.ndarray) -> None:
    """Raises Refused unless the instructions prove the case."""
    if not 0 <= case.radius < np.inf or case.label == case.target:
        raise Refused("the question makes no sense")
    numbers, values = iter(integers.tolist()), iter(reals.tolist())
    try:
        with np.errstate(all="ignore"):  # what is not a number is below nothing
            _replay(case, numbers, values)
    except (StopIteration, RuntimeError, IndexError) as error:
        raise Refused("the proof ends early, or names a unit that there is not") from error
    if next(numbers, None) is not None or next(values, None) is not None:
        raise Refused("the proof goes on after its end")


def _replay(case: Case, numbers, values) -> None:
    state = _first(case)
    c, k = np.zeros((1, len(case.x))), np.array([np.inf])
    waiting = [(state, c, k)]
    while waiting:
        state, c, k = waiting.pop()
        while True:
            code = next(numbers)
            if code == LINE:
                slopes = (state.high > -state.low).astype(float)
                units = _units(case, numbers, 0)
                slopes[units] = [next(values) for _ in units]
                betas = np.zeros(len(slopes))
                units = _units(case, numbers, 0)
                betas[units] = [next(values) for _ in units]
                if not ((slopes >= 0) & (slopes <= 1)).all():
                    raise Refused("a slope is not between 0 and 1")
                if not ((betas >= 0) & ((betas == 0) | (state.known() != 0))).all():
                    raise Refused("a multiplier is negative, or of a unit that may be on or off")
                row = case.weights[-1][case.target] - case.weights[-1][case.label]
                end = case.biases[-1][case.target] - case.biases[-1][case.label]
                slack = np.array([_gamma(1) * (np.abs(row) @ _most(case, state, -1) + abs(end))])
                line = (row[None], np.array([end]), slack)
                c, k = _through(case, state, len(case.hidden) - 1, *line, slopes, betas)
            elif code == BOUND:
                units = _units(case, numbers, 1)
                _bound(case, state, units, np.array([next(values) for _ in units]), c, k)
            elif code == SPLIT:
                unit = _one(case, next(numbers))
                off = state.copy()
                state.low[unit] = max(state.low[unit], 0.0)
                off.high[unit] = min(off.high[unit], 0.0)
                waiting.append((off, c, k))
            elif code == CLOSE:
                empty = (state.low > state.high).any()
                if not (empty or case.largest(c)[0] + k[0] < case.confidence):
                    raise Refused("a part of the proof is left open")
                break
            else:
                raise Refused(f"there is no instruction {code}")


def _one(case: Case, unit: int) -> int:
    if not 0 <= unit < case.starts[-1]:
        raise Refused(f"there is no unit {unit}")
    return unit


def _units(case: Case, numbers, first: int) -> list[int]:
    count = next(numbers)
    units = [next(numbers) for _ in range(count)]
    for unit in units:
        _one(case, abs(unit) - 1 if first else unit)
    return units


def _at(case: Case, layer: int) -> slice:
    return slice(case.starts[layer], case.starts[layer + 1])


def _most(case: Case, state: _State, layer: int) -> np.ndarray:
    """The largest value of each unit of a layer after its ReLU."""
    layer = layer % len(case.hidden)
    return np.maximum(state.high[_at(case, layer)], 0)


def _first(case: Case) -> _State:
    """Bounds of all units over the ball."""
    size = int(case.starts[-1])
    state = _State(np.zeros(size), np.zeros(size))
    for layer in range(len(case.hidden)):
        for sign in (-1.0, 1.0):
            c, k = _unit_lines(case, state, layer, np.arange(case.hidden[layer]), sign)
            bound = case.largest(c) + k
            if sign < 0:
                state.low[_at(case, layer)] = -bound
            else:
                state.high[_at(case, layer)] = bound
    return state


def _bound(case: Case, state: _State, units, lambdas, c, k) -> None:
    """Bounds of units where c . a + k >= alpha, layer by layer."""
    if not (np.isfinite(lambdas) & (lambdas >= 0)).all() or not np.isfinite(k[0]):
        raise Refused("a multiplier is negative, or of no line")
    units = np.array(units, dtype=int)
    for layer in range(len(case.hidden)):
        at = _at(case, layer)
        for sign in (1.0, -1.0):
            own = (units * sign > at.start) & (units * sign <= at.stop)
            rows = (np.abs(units[own]) - 1 - at.start).astype(int)
            if not len(rows):
                continue
            w, b = _unit_lines(case, state, layer, rows, sign)
            t = lambdas[own]
            moved = w + t[:, None] * c
            rest = k[0] - case.confidence
            slack = _gamma(2) * ((np.abs(w) + t[:, None] * np.abs(c)) @ case.a_size)
            slack += _gamma(2) * (np.abs(b) + t * (abs(k[0]) + case.confidence))
            found = case.largest(moved) + b + t * rest + slack
            place = rows + at.start
            if sign > 0:
                state.high[place] = np.minimum(state.high[place], found)
            else:
                state.low[place] = np.maximum(state.low[place], -found)


def _unit_lines(case: Case, state: _State, layer: int, rows: np.ndarray, sign: float):
    flow, k = sign * case.weights[layer][rows], sign * case.biases[layer][rows]
    if layer == 0:
        return flow, k
    slopes = (state.high > -state.low).astype(float)
    zero = np.zeros(len(rows))
    return _through(case, state, layer - 1, flow, k, zero, slopes, np.zeros(len(slopes)))


def _through(case: Case, state: _State, layer: int, flow, k, slack, slopes, betas):
    """From a bound flow . z + k, of z after the ReLUs of ``layer``, to one c . a + k of pixels."""
    for below in reversed(range(layer + 1)):
        at = _at(case, below)
        low, high = state.low[at], state.high[at]
        unstable = (low < 0) & (high > 0)
        far = np.maximum(np.abs(low), np.abs(high))
        chord = np.where(unstable, high / np.where(unstable, high - low, 1.0), low >= 0)
        chord = np.clip(chord, 0.0, 1.0)
        # Above max(h, 0) at both ends of [low, high], whatever the slope was rounded to.
        above = np.where(unstable, np.maximum(-chord * low, (1 - chord) * high), 0.0)
        above = above * (1 + 8 * _UNIT)
        slope = np.where(unstable & (flow < 0), slopes[at], chord)
        constant = np.where(flow > 0, above, 0.0)
        pushed = state.known()[at] * betas[at]
        d = flow * slope + pushed
        slack = slack + _gamma(2) * ((np.abs(flow) * slope + np.abs(pushed)) @ far)
        weight, bias = case.weights[below], case.biases[below]
        terms = np.abs(flow * constant).sum(1) + np.abs(d) @ np.abs(bias) + np.abs(k)
        slack = slack + _gamma(2 * len(bias)) * terms
        k = k + (flow * constant).sum(1) + d @ bias
        reach = _most(case, state, below - 1) if below else case.a_size
        slack = slack + _gamma(len(bias)) * ((np.abs(d) @ np.abs(weight)) @ reach)
        flow = d @ weight
    return flow, k + slack * (1 + 1e-9)


def margin_at_least(case: Case, a: np.ndarray) -> float:
    """A margin that the image ``a`` has at least, rounding counted."""
    z, wrong = a, np.zeros_like(a)
    for weight, bias in zip(case.weights[:-1], case.biases[:-1], strict=True):
        size = np.abs(weight) @ np.abs(z) + np.abs(bias)
        wrong = np.abs(weight) @ wrong * (1 + 1e-9) + _gamma(weight.shape[1]) * size
        z = np.maximum(weight @ z + bias, 0)
    row = case.weights[-1][case.target] - case.weights[-1][case.label]
    end = case.biases[-1][case.target] - case.biases[-1][case.label]
    size = np.abs(row) @ (np.abs(z) + wrong) + abs(end)
    return float(row @ z + end - np.abs(row) @ wrong * (1 + 1e-9) - _gamma(len(row)) * size)
