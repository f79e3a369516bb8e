"""Distances to the nearest adversarial image: bounds beside mixed-integer programs (HiGHS)."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from advsparse.certify import _comparing
from advsparse.certify._asking import approached, by_program
from advsparse.certify._ball import Ball
from advsparse.certify._certified import replayed
from advsparse.certify._extract import relu_network
from advsparse.certify._milp import Formulation
from advsparse.certify._network import ReluNetwork
from advsparse.certify._proof import Proof
from advsparse.certify._question import Question
from advsparse.certify._solver import Solver
from advsparse.certify._targets import classes
from advsparse.certify._tree import Effort, answer
from advsparse.certify._witness import nearest_found
from advsparse.certify.formulations import Formulations
from advsparse.data.digits import Digits
from benchmarks.attacks import OURS
from benchmarks.coders import CoderComparison

IMAGES, SEED = 5, 0
METHOD = Formulations(seconds=120)


def comparisons() -> Iterator[CoderComparison]:
    """The comparisons, cheapest first; each on one thread, the attack in each time."""
    yield _replaying()
    for size, units in ((8, 32), (8, 64)):
        yield _nearest(size, units, "box, symmetric bounds", 0.1)
    yield _nearest(28, 32, "attack's ball", 0.1)
    yield _fixed()


@cache
def _trained(size: int, units: int) -> tuple[ReluNetwork, np.ndarray]:
    """A network of one hidden layer, trained on digits, and test images that it gets right."""
    with tempfile.TemporaryDirectory() as folder:
        data = Digits(size=size).load(Path(folder))
    x, y = (torch.from_numpy(of("train")) for of in (data.images, data.labels))
    torch.manual_seed(SEED)
    pixels = size * size
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(pixels, units), nn.ReLU(), nn.Linear(units, len(data.classes))
    )
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(40):
        for rows in torch.randperm(len(x)).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimiser.step()
    network = relu_network(model, (1, size, size))
    images = data.images("test").reshape(-1, pixels).astype(np.float64)
    right = network.logits(images).argmax(1) == data.labels("test")
    return network, images[right][:IMAGES]


def _questions(size: int, units: int) -> list[Question]:
    """Of each image the question about its second most probable class, over the whole box."""
    network, images = _trained(size, units)
    found = []
    for x in images:
        label, others = classes(network, x)
        found.append(Question(network, Ball(x, "linf", 1.0), label, others[0], 1e-4))
    return found


def _attacked(question: Question) -> float:
    return nearest_found(question, np.random.default_rng(SEED))[1]


def _by_bounds(question: Question) -> tuple[float, Question, Proof]:
    """The distance, and the question and the proof that nothing is nearer."""
    upper, effort = _attacked(question), Effort(nodes=100_000)
    upper, inside, said = approached(question, upper, METHOD.gap, answer, effort)
    assert said.proof is not None, "answered"
    return upper, inside, said.proof


def _minimised(question: Question, solver: Solver, *, near: bool) -> float:
    """The distance that a program minimises, over the box or within the attack's ball."""
    if near:
        question = question.at(_attacked(question) * (1 + 1e-6))
        formulation = Formulation(within="ball")
    else:
        formulation = Formulation(bounds="symmetric")
    return _comparing._nearest(METHOD, question, formulation, solver)[2]


def _distances(values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


_compared = partial(
    CoderComparison,
    quality="distance",
    threads=1,
    equal=2 * METHOD.gap,
    section="certificates",
)


def _nearest(size: int, units: int, where: str, goal: float) -> CoderComparison:
    questions, solver = _questions(size, units), Solver("highs")
    near = where == "attack's ball"
    return _compared(
        f"Nearest adversarial image, {units} units, {size} x {size}: program over the {where}",
        f"{IMAGES} test images of digits of {size} x {size} pixels, a network with {units} hidden "
        "units, linf, towards the second most probable class, proven to a gap of 1e-5; the peer "
        "minimises the distance as a mixed-integer program; the attack is part of each time, where "
        "it is used, one thread",
        {
            OURS: lambda: _distances([_by_bounds(question)[0] for question in questions]),
            "HiGHS": lambda: _distances(
                [_minimised(question, solver, near=near) for question in questions]
            ),
        },
        runs=3,
        goal=goal,
    )


def _fixed() -> CoderComparison:
    """Two ways of the project's own: the radius fixed, or the distance minimised."""
    questions, solver = _questions(28, 32), Solver("highs")

    def fixed() -> torch.Tensor:
        found = []
        for question in questions:
            upper = _attacked(question)
            effort = Effort(deadline=time.monotonic() + METHOD.seconds)
            found.append(approached(question, upper, METHOD.gap, by_program(solver), effort)[0])
        return _distances(found)

    return _compared(
        "Nearest adversarial image: radius fixed",
        "the same images of 28 x 28 pixels and 32 units: the largest margin within a radius just "
        "below the attack's as a mixed-integer program, beside that which minimises the distance "
        "within the attack's ball; both by HiGHS, one thread",
        {
            OURS: fixed,
            "distance minimised": lambda: _distances(
                [_minimised(question, solver, near=True) for question in questions]
            ),
        },
        runs=3,
        goal=0.5,
    )


def _replaying() -> CoderComparison:
    questions = _questions(28, 32)
    proven = [_by_bounds(question) for question in questions]

    def replay() -> torch.Tensor:
        accepted = [replayed(inside, proof) for _, inside, proof in proven]
        return _distances([upper for (upper, *_), ok in zip(proven, accepted, strict=True) if ok])

    return _compared(
        "Checking a certificate",
        "the proofs of the same images of 28 x 28 pixels and 32 units replayed with rounding "
        "outwards, beside finding them, one thread",
        {
            OURS: replay,
            "proving": lambda: _distances([_by_bounds(question)[0] for question in questions]),
        },
        runs=5,
        goal=0.3,
    )
