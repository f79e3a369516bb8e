"""Slopes and multipliers that make the bound of the margin small."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from advsparse.certify._lines import Line, State, default_slopes, margin_line, relaxed_values
from advsparse.certify._network import Array, ReluNetwork
from advsparse.certify._question import SLACK, Question

_RATE, _DECAY = 0.3, 0.93
_MOMENTUM, _MEAN_SQUARE = 0.8, 0.95
_PATIENT = 100
"""Steps where every unit is known and no program helps."""
_PRICE = 1e4
"""What a unit that is not as it should be costs in the program of :func:`settle`, in the margin's
own measure."""


@dataclass
class Choice:
    """Lower slopes and betas in each of B parts, and what they come to."""

    slopes: Array
    """B x U."""
    betas: Array
    line: Line
    bound: Array
    """The largest c . a + k in the ball, B."""
    a: Array
    """Where it is, B x P."""

    def proves(self, question: Question) -> Array:
        return self.bound < question.confidence - SLACK


def choose(question: Question, state: State, slopes: Array, betas: Array) -> Choice:
    """What these slopes and multipliers come to."""
    line = margin_line(question.network, question.objective, state, slopes, betas)
    value, a = question.ball.largest(line.c)
    return Choice(slopes, betas, line, value + line.k, a)


def start(question: Question, state: State) -> Choice:
    slopes = default_slopes(state.lower, state.upper)
    return choose(question, state, slopes, np.zeros_like(slopes))


def improve(question: Question, state: State, slopes: Array, betas: Array, steps: int) -> Choice:
    """Better ones by ``steps`` of Adam on the bound, a convex function for one hidden layer; fewer
    once they prove what they have to."""
    now = choose(question, state, slopes, betas)
    bound = now.bound.copy()
    slopes, betas = slopes.copy(), betas.copy()  # the best so far
    scale = _of_layers(question.network, now.line.coefficients)
    mean, square = np.zeros((2, *slopes.shape)), np.zeros((2, *slopes.shape))
    unstable, known = state.unstable, state.known
    for step in range(steps):
        if (bound < question.confidence - SLACK).all():
            break
        values = relaxed_values(question.network, now.line, now.a)
        coefficients = now.line.coefficients
        moving = unstable & (coefficients < 0)
        gradient = np.stack([
            np.where(moving, coefficients * values, 0.0), known * values * scale
        ])  # fmt: skip
        mean = _MOMENTUM * mean + (1 - _MOMENTUM) * gradient
        square = _MEAN_SQUARE * square + (1 - _MEAN_SQUARE) * gradient**2
        size = np.sqrt(square / (1 - _MEAN_SQUARE ** (step + 1))) + 1e-12
        move = _RATE * _DECAY**step * mean / (1 - _MOMENTUM ** (step + 1)) / size
        now = choose(
            question,
            state,
            np.clip(now.slopes - move[0], 0, 1),
            np.maximum(now.betas - scale * move[1], 0),
        )
        better = now.bound < bound
        bound = np.where(better, now.bound, bound)
        slopes = np.where(better[:, None], now.slopes, slopes)
        betas = np.where(better[:, None], now.betas, betas)
    return choose(question, state, slopes, betas)


def _of_layers(network: ReluNetwork, coefficients: Array) -> Array:
    """The mean size of each layer's coefficients, B x U: what betas are measured in."""
    found = np.empty_like(coefficients)
    for layer in range(len(network.hidden)):
        at = network.units(layer)
        found[:, at] = np.abs(coefficients[:, at]).mean(1, keepdims=True) + 1e-12
    return found


def settle(question: Question, state: State, slopes: Array, betas: Array) -> Choice:
    """The best betas of one part in which every unit is on or off. In linf and l1 they are
    from a linear program, and ``a`` is the image of largest margin; in other norms from more steps,
    or from the program over the box, whichever is better.
    """
    given = choose(question, state, slopes, betas)
    ball, network = question.ball, question.network
    exact = ball.norm in ("linf", "l1")
    if not exact:
        given = improve(question, state, slopes, betas, _PATIENT)
    rows, constants = [], []
    w, b = network.weights[0], network.biases[0]
    for layer in range(len(network.hidden)):
        rows.append(w), constants.append(b)
        on = (state.lower[0, network.units(layer)] >= 0).astype(float)
        following = network.weights[layer + 1] * on
        w, b = following @ w, following @ b + network.biases[layer + 1]
    c = w[question.target] - w[question.label]
    a, k, s = np.concatenate(rows), np.concatenate(constants), state.known[0]
    # What a unit must not be is allowed at a price: then there always is a solution, and where it
    # had to be paid, what was asked for is impossible.
    sizes = np.abs(a).sum(1).max(initial=1e-12)
    price = _PRICE * (np.abs(c).sum() + 1e-12) / max(sizes, 1e-12)
    # a = x + up - down, of which l1 bounds the sum.
    down, up = ball.rooms
    signed = s[:, None] * a
    matrix = np.hstack([-signed, signed, -np.eye(len(a))])
    right = s * (k + a @ ball.x)
    if ball.norm == "l1":
        spent = np.concatenate([np.ones(2 * len(ball.x)), np.zeros(len(a))])
        matrix, right = np.vstack([matrix, spent]), np.append(right, ball.radius)
    ends = np.concatenate([up, down, np.full(len(a), np.inf)])
    found = linprog(
        np.concatenate([-c, c, np.full(len(a), price)]),
        A_ub=matrix,
        b_ub=right,
        bounds=np.stack([np.zeros_like(ends), ends], 1),
        method="highs",
    )
    if found.status != 0:
        return given
    betas = np.maximum(-found.ineqlin.marginals[: len(a)], 0)[None]
    chosen = choose(question, state, slopes, betas)
    if not exact:
        return chosen if chosen.bound[0] < given.bound[0] else given
    if chosen.bound[0] < given.bound[0]:
        moved = found.x[: len(up)] - found.x[len(up) : 2 * len(up)]
        chosen.a = np.clip(ball.x + moved, ball.low, ball.high)[None]
        return chosen
    return given
