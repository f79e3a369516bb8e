"""The formulations of one question, one after the other: what :mod:`.formulations` measures."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from advsparse.certify._asking import Asked, approached, by_program
from advsparse.certify._ball import Ball
from advsparse.certify._milp import Formulation, Program, program
from advsparse.certify._network import Array, ReluNetwork
from advsparse.certify._question import Question
from advsparse.certify._solver import OPTIMAL, Solved, Solver
from advsparse.certify._targets import classes
from advsparse.certify._tree import Effort, answer
from advsparse.certify._witness import nearest_found
from advsparse.seeding import stable_seed

_WIDER = 1 + 1e-6
"""The ball of an attack, so that rounding does not shut its own image out."""


def compared(method, network: ReluNetwork, x: Array, seed: int) -> dict[str, Array]:
    """Seconds, bounds and whether they met, of each formulation of ``method``."""
    label, others = classes(network, x)
    question = Question(network, Ball(x, method.norm, np.inf), label, others[0], method.confidence)
    with Solver("scip" if method.norm == "l2" else "highs") as solver:
        # To start a process is no part of any formulation.
        warm = Program()
        warm.variables(1, 0, 1, 1.0)
        solver.solve(warm.arrays(), 1)
        rows = np.array(list(_measured(method, question, solver, seed)))
    return {
        "prediction": np.array([label]),
        "target": np.array([others[0]]),
        "spent": rows[None, :, 0],
        "lower": rows[None, :, 1],
        "upper": rows[None, :, 2],
        "closed": rows[None, :, 3].astype(bool),
    }


Measured = tuple[float, float, float, bool]
"""Seconds, lower and upper bound, and whether they met."""


def _measured(method, question: Question, solver: Solver, seed: int) -> Iterator[Measured]:
    wide = question.at(question.ball.widest)
    for bounds in ("symmetric", "interval"):
        yield _nearest(method, wide, Formulation(bounds=bounds), solver)
    started = time.monotonic()
    rng = np.random.default_rng(stable_seed(seed, question.target))
    a, upper = nearest_found(question, rng)
    attack = time.monotonic() - started
    if a is None:
        nothing = (attack, 0.0, np.inf, False)
        yield from [nothing] * 5
        return
    near = question.at(upper * _WIDER)
    found = _nearest(method, near, Formulation(within="ball"), solver)
    yield (found[0] + attack, *found[1:])
    yield _approached(method, question, upper, attack, by_program(solver))
    if question.network.pooled:  # of which bounds know nothing
        yield attack, 0.0, upper, False
    else:
        yield _approached(method, question, upper, attack, answer)
    relaxed = _solved(method, near, Formulation(within="ball", relaxed=True), solver)
    lower = _distance(method, relaxed.bound) if relaxed.status == OPTIMAL else 0.0
    yield attack + relaxed.seconds, lower, np.inf, False
    pattern = np.concatenate([h[0] > 0 for h in question.network.values(a[None])[1]])
    fixed = _solved(method, near, Formulation(within="ball", pattern=pattern), solver)
    yield attack + fixed.seconds, 0.0, min(_distance(method, fixed.value), upper), False


def _solved(method, question: Question, formulation: Formulation, solver: Solver) -> Solved:
    made, _ = program(question, formulation)
    return solver.solve(made.arrays(), method.seconds, method.gap)


def _distance(method, value: float) -> float:
    """A distance from the value of a program: l2 minimises its square."""
    return float(np.sqrt(max(value, 0.0))) if method.norm == "l2" else max(value, 0.0)


def _nearest(method, question: Question, formulation: Formulation, solver: Solver) -> Measured:
    solved = _solved(method, question, formulation, solver)
    closed = solved.status == OPTIMAL
    return solved.seconds, _distance(method, solved.bound), _distance(method, solved.value), closed


def _approached(method, question: Question, upper: float, attack: float, ask: Asked) -> Measured:
    """Radii just below the nearest image so far, until one holds none; by whoever is asked."""
    started = time.monotonic()
    effort = Effort(nodes=100_000, deadline=started + method.seconds)
    upper, inside, said = approached(question, upper, method.gap, ask, effort)
    closed = said.bound < question.confidence
    spent = attack + time.monotonic() - started
    return spent, inside.ball.radius if closed else 0.0, upper, closed
