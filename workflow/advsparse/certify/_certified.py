"""What is known of one image: bounds of its distance to the nearest adversarial image."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from advsparse.certify._network import Array, ReluNetwork
from advsparse.certify._proof import Proof
from advsparse.certify._question import Question
from advsparse.certify._replay import Case, Refused, replay

OPEN, SOLVER, REPLAYED = range(3)
"""What a lower bound rests on: nothing, a solver's word, or a proof that was replayed."""

WORDS = ("open", "solver, not replayed", "replayed")


@dataclass
class Target:
    """What is known of one class."""

    target: int
    lower: float = 0.0
    """No image that is nearer is taken for that class, with the confidence."""
    status: int = OPEN
    """What the lower bound rests on."""
    proof: Proof | None = None
    upper: float = np.inf
    """The distance of the nearest witness."""
    witness: Array | None = None
    nodes: int = 0

    def proven(self, radius: float, status: int, proof: Proof | None = None) -> None:
        """A radius within which there is none; kept if it is the largest so far."""
        if radius > self.lower or self.status == OPEN:
            self.lower, self.status, self.proof = radius, status, proof


@dataclass
class Certified:
    """One image's bounds, from its targets', and how they came about."""

    x: Array
    label: int
    targets: list[Target]
    started: float = field(default_factory=time.monotonic)
    events: list[tuple[float, float, float]] = field(default_factory=list)
    """Seconds since the start, lower and upper bound: each time that one has moved."""
    seconds: float = 0.0

    @property
    def lower(self) -> float:
        return min(target.lower for target in self.targets)

    @property
    def upper(self) -> float:
        return self.nearest.upper

    @property
    def nearest(self) -> Target:
        """The class of the nearest witness."""
        return min(self.targets, key=lambda target: target.upper)

    @property
    def status(self) -> int:
        """What the weakest of the lower bounds rests on."""
        return min(target.status for target in self.targets)

    def note(self) -> None:
        """Add to the history, if a bound has moved."""
        now = (self.lower, self.upper)
        if not self.events or self.events[-1][1:] != now:
            self.events.append((time.monotonic() - self.started, *now))

    def arrays(self) -> dict[str, Array]:
        """The image as an artifact has it, with a first axis of 1 where images are counted."""
        proofs = [one.proof.arrays() if one.proof else _NOTHING for one in self.targets]
        integers, reals = zip(*proofs, strict=True)
        nearest = self.nearest
        witness = self.x if nearest.witness is None else nearest.witness
        seconds, lower, upper = np.array(self.events).T
        targets = self.targets
        return {
            "prediction": np.array([self.label]),
            "x": self.x.astype(np.float32)[None],
            "lower": np.array([self.lower]),
            "upper": np.array([self.upper]),
            "status": np.array([self.status]),
            "nearest": np.array([nearest.target]),
            "witness": witness[None],
            "seconds": np.array([self.seconds]),
            "targets": np.array([[one.target for one in targets]]),
            "target_lower": np.array([[one.lower for one in targets]]),
            "target_upper": np.array([[one.upper for one in targets]]),
            "target_status": np.array([[one.status for one in targets]]),
            "target_nodes": np.array([[one.nodes for one in targets]]),
            "proof_integer_ends": np.cumsum([len(part) for part in integers])[None],
            "proof_real_ends": np.cumsum([len(part) for part in reals])[None],
            "proof_integers": np.concatenate(integers),
            "proof_reals": np.concatenate(reals),
            "event_seconds": seconds,
            "event_lower": lower,
            "event_upper": upper,
        }


_NOTHING = (np.zeros(0, dtype=np.int32), np.zeros(0))


def case_of(
    network: ReluNetwork,
    x: Array,
    norm: str,
    radius: float,
    label: int,
    target: int,
    confidence: float,
    *box: float,
) -> Case:
    """A question as the one has it who replays proofs."""
    layers = (list(network.weights), list(network.biases))
    return Case(*layers, x, norm, radius, label, target, confidence, *box)


def replayed(question: Question, proof: Proof) -> bool:
    """Whether a proof convinces the one who replays it."""
    ball, classes = question.ball, (question.label, question.target)
    near = (ball.x, ball.norm, ball.radius)
    case = case_of(question.network, *near, *classes, question.confidence, ball.low, ball.high)
    try:
        replay(case, *proof.arrays())
    except Refused:
        return False
    return True
