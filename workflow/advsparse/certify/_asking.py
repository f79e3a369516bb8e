"""Who answers a question: bounds (:func:`advsparse.certify._tree.answer`), or a program."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from advsparse.certify._milp import Formulation, program
from advsparse.certify._question import Question
from advsparse.certify._solver import INFEASIBLE, Solver
from advsparse.certify._tree import Answer, Effort
from advsparse.certify._witness import ascended, shrunk

Asked = Callable[[Question, Effort], Answer]


def by_program(solver: Solver) -> Asked:
    """Ask a solver of mixed-integer programs. Its no is a bound, without a proof."""

    def ask(question: Question, effort: Effort) -> Answer:
        made, pixels = program(question, Formulation("verification", within="ball"))
        left = max(effort.deadline - time.monotonic(), 0.1)
        solved = solver.solve(made.arrays(), seconds=left)
        if solved.point is not None:
            a = np.clip(solved.point[pixels], question.ball.low, question.ball.high)
            # Points of solvers miss what they are to reach by their tolerances.
            for point in (a, ascended(question, question.ball, a)):
                if question.witness(point):
                    return Answer(witness=point)
        return Answer(bound=-np.inf) if solved.status == INFEASIBLE else Answer()

    return ask


def approached(
    question: Question, upper: float, gap: float, ask: Asked, effort: Effort
) -> tuple[float, Question, Answer]:
    """Ask whether anything is nearer than ``upper``, and again for each nearer image that turns up.

    Returns the nearest distance, the last question, and its answer, which is no witness.
    """
    while True:
        inside = question.at(question.ball.below(upper, gap))
        said = ask(inside, effort)
        if said.witness is None:
            return upper, inside, said
        upper = shrunk(inside, said.witness)[1]
