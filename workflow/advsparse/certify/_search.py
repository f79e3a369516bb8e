"""The search for the nearest adversarial image of one image, from both sides."""

from __future__ import annotations

import logging
import time

import numpy as np

from advsparse.certify._asking import Asked, by_program
from advsparse.certify._ball import Ball
from advsparse.certify._certified import REPLAYED, SOLVER, Certified, Target, replayed
from advsparse.certify._network import Array, ReluNetwork
from advsparse.certify._question import Question
from advsparse.certify._solver import Solver
from advsparse.certify._targets import classes
from advsparse.certify._tree import Effort, answer
from advsparse.certify._witness import nearest_found, shrunk
from advsparse.seeding import stable_seed

logger = logging.getLogger(__name__)

LADDER = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
"""Shares of the distance that are proven where the whole is too hard."""

_QUICK = 200
"""Parts that each class is given before the ladder."""
_SHARE = 0.5
"""Of the time that is left, what one question may take."""


def search(method, network: ReluNetwork, x: Array, seed: int) -> Certified:
    """What ``method`` (:class:`advsparse.certify.nearest.Nearest`) finds of the image ``x``."""
    ball = Ball(x.astype(np.float64), method.norm, np.inf)
    label, others = classes(network, ball.x)
    if method.target == label:
        return _itself(ball.x, label)
    chosen = others if method.targets == "all" else others[:1]
    if method.target is not None:
        chosen = [method.target]
    found = Certified(ball.x, label, [Target(target) for target in chosen])
    deadline = found.started + method.seconds
    questions = {
        target: Question(network, ball, label, target, method.confidence) for target in chosen
    }
    for one in found.targets:
        rng = np.random.default_rng(stable_seed(seed, one.target))
        one.witness, one.upper = nearest_found(questions[one.target], rng)
        found.note()
    solver = Solver("highs")
    ask = by_program(solver) if network.pooled else answer
    try:
        _quickly(method, found, questions, deadline, ask)
        _by_steps(method, found, questions, deadline, ask)
    finally:
        solver.close()
    found.seconds = time.monotonic() - found.started
    return found


def _itself(x: Array, label: int) -> Certified:
    """An image that is of the class asked for."""
    own = Target(label, 0.0, REPLAYED, upper=0.0, witness=x)
    found = Certified(x, label, [own])
    found.note()
    return found


def _quickly(method, found: Certified, questions, deadline: float, ask: Asked) -> None:
    """The whole distance for each class, the nearest first, with little effort."""
    for one in sorted(found.targets, key=lambda target: target.upper):
        nodes = min(_QUICK, method.nodes)
        while time.monotonic() < deadline:
            radius = _radius(method, found)
            if not _settled(method, found, one, questions, radius, nodes, deadline, ask):
                break
        found.note()


def _by_steps(method, found: Certified, questions, deadline: float, ask: Asked) -> None:
    """Larger and larger shares of the distance, for classes that are not settled."""
    for share in (*LADDER, 1.0):
        for one in found.targets:
            while time.monotonic() < deadline:
                radius = _radius(method, found, share)
                if one.lower >= radius:
                    break
                left = deadline - time.monotonic()
                limit = deadline if share == 1.0 else time.monotonic() + _SHARE * left
                if not _settled(method, found, one, questions, radius, method.nodes, limit, ask):
                    break
        found.note()


def _radius(method, found: Certified, share: float = 1.0) -> float:
    """The radius to be proven: up to the gap the distance of the nearest witness, or a share."""
    ball = Ball(found.x, method.norm, np.inf)
    most = ball.widest if np.isinf(found.upper) else ball.below(found.upper, method.gap)
    radius = most * share
    return float(np.floor(radius)) if method.norm == "l0" else radius


def _settled(
    method, found, one: Target, questions, radius: float, nodes: int, limit: float, ask: Asked
) -> bool:
    """Ask whether there is an image of a class within a radius. Whether the question is to be asked
    again, of the smaller radius that a new witness gives."""
    question = questions[one.target].at(radius)
    said = ask(question, Effort(nodes=nodes, deadline=limit))
    one.nodes += said.nodes
    if said.witness is not None:
        witness, distance = shrunk(question, said.witness)
        if distance < one.upper:
            one.witness, one.upper = witness, distance
            found.note()
        return distance < found.upper * (1 + 1e-12) and radius > 0
    if said.proof is not None:
        if replayed(question, said.proof):
            one.proven(radius, REPLAYED, said.proof)
        else:
            logger.warning("a proof for class %d did not convince: it is dropped", one.target)
    elif said.bound < question.confidence:
        one.proven(radius, SOLVER)
    found.note()
    return False
