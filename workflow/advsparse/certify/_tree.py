"""Branch and bound: a question is answered with no by bounds, or divided by a unit on or off.

In each part the bound of the margin is made small, the bounds of the units are tightened with it
(:mod:`_tightening`), and so on until nothing moves. What is not proven then is divided at the unit
whose relaxation costs most. Parts are worked on many at a time, those with the largest bounds
first.
"""

from __future__ import annotations

import heapq
import itertools
import time
from dataclasses import dataclass, field

import numpy as np

from advsparse.certify._lines import State, relaxed_values
from advsparse.certify._multipliers import Choice, improve, settle, start
from advsparse.certify._network import Array
from advsparse.certify._proof import Proof
from advsparse.certify._question import SLACK, Question
from advsparse.certify._tightening import initial, tighten
from advsparse.certify._witness import ascended

_SHRINKS = 0.98
"""Of the width of all bounds, what is left after a round for it to be the last but one."""
_AT_ONCE = 16
"""Parts that are divided at once."""


@dataclass(frozen=True)
class Effort:
    """How much work a question is worth."""

    nodes: int = 1000
    """Parts that may be looked at."""
    rounds: int = 20
    """Rounds of tightening of the whole."""
    steps: int = 30
    """Steps towards better slopes in a round of the whole."""
    node_steps: int = 14
    """Steps in each of the two rounds of a part."""
    node_units: int = 32
    """Units of a part whose bounds are tightened: those whose relaxations cost most."""
    deadline: float = float("inf")
    """The time, as :func:`time.monotonic` has it, at which to give up."""


@dataclass
class Answer:
    """No, with a proof; yes, with a witness; or neither, for want of effort."""

    proof: Proof | None = None
    witness: Array | None = None
    nodes: int = 1
    bound: float = np.inf
    """The largest margin that is left possible; below the confidence with a proof."""


@dataclass
class _Node:
    """A part of the question."""

    state: State
    slopes: Array
    betas: Array
    proof: Proof = field(default_factory=Proof)
    """What was done in it."""
    bound: float = np.inf
    a: Array | None = None
    """Where the bound is largest."""
    unit: int | None = None
    """What it is to be divided by; none where nothing is left."""
    parts: list[_Node] = field(default_factory=list)
    closed: bool = False

    def whole(self) -> Proof:
        """The proof of it and of all its parts."""
        found = Proof()
        waiting = [self]
        while waiting:  # not by recursion: trees can be deep
            node = waiting.pop()
            found.add(node.proof)
            if node.parts:
                assert node.unit is not None
                found.split(node.unit)
                waiting += reversed(node.parts)
            else:
                found.close()
        return found


def answer(question: Question, effort: Effort | None = None) -> Answer:
    """The answer to a question about a network without pooling."""
    effort = effort or Effort()
    state = initial(question.network, question.ball)
    first = start(question, state)
    root = _Node(state, first.slopes, first.betas)
    everything = state.lower.shape[1]
    _bound(question, [root], effort.rounds, effort.steps, everything, effort.deadline)
    order, count = itertools.count(), 1
    waiting = [] if root.closed else [(-root.bound, next(order), root)]
    news = [root]
    while True:
        for node in news:
            if not node.closed and node.a is not None and question.witness(node.a):
                return Answer(witness=node.a, nodes=count)
        if not waiting:
            return Answer(root.whole(), nodes=count, bound=question.confidence - SLACK)
        largest = waiting[0][2]
        assert largest.a is not None
        found = ascended(question, question.ball, largest.a)
        if question.witness(found):
            return Answer(witness=found, nodes=count)
        over = count >= effort.nodes or time.monotonic() > effort.deadline
        if over or largest.unit is None:
            return Answer(nodes=count, bound=largest.bound)
        chosen = [heapq.heappop(waiting)[2] for _ in range(min(_AT_ONCE, len(waiting)))]
        news = [part for node in chosen if node.unit is not None for part in _divided(node)]
        for node in chosen:
            if node.unit is None:
                heapq.heappush(waiting, (-node.bound, next(order), node))
        _bound(question, news, 1, effort.node_steps, effort.node_units, np.inf)
        count += len(news)
        for node in news:
            if not node.closed:
                heapq.heappush(waiting, (-node.bound, next(order), node))


def _divided(node: _Node) -> list[_Node]:
    """The parts in which a node's unit is on, and off."""
    assert node.unit is not None
    for on in (True, False):
        state = node.state.rows(slice(None))
        state.decide(node.unit, on)
        node.parts.append(_Node(state, node.slopes, node.betas))
    del node.state, node.slopes, node.betas  # of no more use
    return node.parts


def _bound(
    question: Question, nodes: list[_Node], rounds: int, steps: int, few: int, deadline: float
) -> None:
    """Bound the margin in each part, and tighten bounds with it, for as long as that pays."""
    last = np.full(len(nodes), rounds)
    for count in range(rounds + 1):
        live = [index for index, node in enumerate(nodes) if not node.closed]
        if not live or count > last[live].max():
            return
        state = State.joined([nodes[index].state for index in live])
        choice = improve(
            question,
            state,
            np.concatenate([nodes[index].slopes for index in live]),
            np.concatenate([nodes[index].betas for index in live]),
            steps,
        )
        costs = _costs(question, state, choice)
        proven = choice.proves(question)
        for row, index in enumerate(live):
            one = slice(row, row + 1)
            node = nodes[index]
            node.slopes, node.betas = choice.slopes[one], choice.betas[one]
            node.bound, node.a = float(choice.bound[row]), choice.a[row]
            dearest = int(costs[row].argmax())
            node.unit = dearest if costs[row, dearest] > 0 else None
            if node.unit is None and not proven[row]:
                settled = settle(question, state.rows(one), node.slopes, node.betas)
                node.betas, node.bound = settled.betas, float(settled.bound[0])
                node.a, proven[row] = settled.a[0], settled.proves(question)[0]
            if proven[row]:
                _tell(question, node, state.rows(one))
                node.closed = True
        if count == rounds or time.monotonic() > deadline:
            return
        wanted = _most(costs, few) & ~proven[:, None]
        before = state.width()
        told = tighten(
            question.network, question.ball, state, choice.line, question.confidence, wanted
        )
        shrunk = state.width() <= _SHRINKS * before
        for row, index in enumerate(live):
            node, (units, lambdas) = nodes[index], told[row]
            if node.closed:
                continue
            if not len(units):
                last[index] = count  # the line is as good as it gets
                continue
            _tell(question, node, node.state)
            node.proof.bound(units, lambdas)
            node.state = state.rows(slice(row, row + 1))
            node.closed = _contradictory(node.state)
            if not shrunk[row]:
                last[index] = min(last[index], count + 1)  # a last look with what has been won


def _contradictory(state: State) -> bool:
    """Whether the bounds of some unit leave it no value, by more than rounding."""
    return bool((state.lower > state.upper + SLACK * (1 + np.abs(state.lower))).any())


def _tell(question: Question, node: _Node, state: State) -> None:
    """Write down the slopes and multipliers of a part."""
    units = state.unstable[0].nonzero()[0]
    stable = ((state.known[0] != 0) & (node.betas[0] > 0)).nonzero()[0]
    node.proof.line(units, node.slopes[0, units], stable, node.betas[0, stable])


def _costs(question: Question, state: State, choice: Choice) -> Array:
    """What the relaxation of each unit costs at the maximiser, B x U; 0 of stable ones alone."""
    values = relaxed_values(question.network, choice.line, choice.a)
    line = choice.line
    cost = line.coefficients * (line.slope * values + line.constant - np.maximum(values, 0))
    return np.where(state.unstable, np.maximum(cost, 0) + 1e-15, 0.0)


def _most(costs: Array, few: int) -> Array:
    """Where the ``few`` largest costs of each row are."""
    if few >= costs.shape[1]:
        return costs > 0
    least = np.partition(costs, -few, axis=1)[:, -few]
    return (costs >= least[:, None]) & (costs > 0)
