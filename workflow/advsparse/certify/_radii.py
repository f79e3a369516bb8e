"""What :mod:`.radii` measures."""

from __future__ import annotations

import time

import numpy as np

from advsparse.certify._ball import Ball
from advsparse.certify._milp import Formulation, program
from advsparse.certify._network import Array, ReluNetwork
from advsparse.certify._question import Question
from advsparse.certify._solver import Solver
from advsparse.certify._targets import classes
from advsparse.certify._tree import Answer, Effort, answer
from advsparse.certify.nearest import Nearest

ROBUST, OPEN, ADVERSARIAL = 1, 0, -1


def _verdict(said: Answer) -> int:
    if said.proof is not None:
        return ROBUST
    return OPEN if said.witness is None else ADVERSARIAL


def over_radii(method, network: ReluNetwork, x: Array, seed: int) -> dict[str, Array]:
    """The three answers at each of the radii of ``method``."""
    label, others = classes(network, x)
    nearest = Nearest(
        norm=method.norm,
        targets="second",
        confidence=method.confidence,
        seconds=method.seconds,
    ).certify(network, x, seed)
    distance = nearest.upper if np.isfinite(nearest.upper) else 1.0
    question = Question(network, Ball(x, method.norm, 0.0), label, others[0], method.confidence)
    g = question.objective[1]
    each = method.seconds / len(method.shares)
    loss, bound, verdict = [], [], []
    with Solver("scip" if method.norm == "l2" else "highs") as solver:
        for share in method.shares:
            inside = question.at(share * distance)
            made, _ = program(inside, Formulation("loss", within="ball"))
            solved = solver.solve(made.arrays(), each)
            loss.append(g - solved.value)
            bound.append(g - solved.bound)
            said = answer(inside, Effort(deadline=time.monotonic() + each))
            verdict.append(_verdict(said))
    return {
        "prediction": np.array([label]),
        "target": np.array([others[0]]),
        "lower": np.array([nearest.lower]),
        "upper": np.array([nearest.upper]),
        "radius": np.array([method.shares]) * distance,
        "loss": np.array([loss]),
        "loss_bound": np.array([bound]),
        "verdict": np.array([verdict]),
    }
