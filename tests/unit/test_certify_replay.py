"""What a replay refuses: the checker is only worth something if it says no."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from advsparse.certify._ball import NORMS, Ball
from advsparse.certify._certified import replayed
from advsparse.certify._network import ReluNetwork
from advsparse.certify._proof import BOUND, CLOSE, LINE, SPLIT, Proof
from advsparse.certify._question import Question
from advsparse.certify._replay import Case, Refused, margin_at_least, replay
from advsparse.certify._tree import Effort, answer
from advsparse.certify._witness import nearest_found, shrunk

ALPHA = 1e-4


def network(seed=0, pixels=10, hidden=(24,), classes=3):
    rng = np.random.default_rng(seed)
    sizes = [pixels, *hidden, classes]
    pairs = list(itertools.pairwise(sizes))
    return ReluNetwork(
        tuple(rng.normal(0, 1.5 / np.sqrt(n), (m, n)) for n, m in pairs),
        tuple(rng.normal(0, 0.3, m) for _, m in pairs),
        (None,) * len(hidden),
    )


def proven(norm="linf", hidden=(24,), *, branched=False):
    """A question that is answered with no just below the nearest witness, its proof, and the
    witness' distance."""
    for seed in range(20):
        net = network(seed, hidden=hidden)
        x = np.random.default_rng(seed).uniform(0, 1, net.pixels)
        label, target = (int(k) for k in np.argsort(-net.logits(x[None])[0])[:2])
        question = Question(net, Ball(x, norm, 1.0), label, target, ALPHA)
        a, least = nearest_found(question, np.random.default_rng(0))
        while a is not None:
            radius = least - 1 if norm == "l0" else least * (1 - 1e-4)
            found = answer(question.at(radius), Effort(rounds=2, node_units=4))
            if found.witness is None:
                break
            a, least = shrunk(question, found.witness)
        if a is not None and found.proof is not None and (found.nodes > 1) >= branched:
            return question.at(radius), found.proof, least, a
    raise AssertionError("no seed leads to such a proof")


def case_of(question):
    net, ball = question.network, question.ball
    return Case(
        list(net.weights), list(net.biases), ball.x, ball.norm, ball.radius,
        question.label, question.target, question.confidence,
    )  # fmt: skip


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("hidden", [(24,), (8, 8)])
def test_a_proof_holds_for_its_radius_and_for_none_that_has_a_witness(norm, hidden):
    question, proof, least, _ = proven(norm, hidden)
    assert replayed(question, proof)
    beyond = least if norm == "l0" else least * (1 + 1e-9)
    assert not replayed(question.at(beyond), proof)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_no_altered_proof_is_taken_where_there_is_a_witness(norm):
    """Whatever the numbers are: the bounds that they lead to are computed anew."""
    question, proof, least, _ = proven(norm, branched=True)
    question = question.at(least * (1 + 1e-9))
    integers, reals = proof.arrays()
    rng = np.random.default_rng(0)
    for _ in range(200):
        changed, values = integers.copy(), reals.copy()
        if rng.random() < 0.5 and len(values):
            rows = rng.integers(len(values), size=rng.integers(1, 6))
            values[rows] = rng.choice([0.0, 1.0, 0.5, 1e6, -1.0, np.nan, np.inf], len(rows))
        else:
            rows = rng.integers(len(changed), size=rng.integers(1, 4))
            changed[rows] = rng.integers(-30, 30, len(rows))
        with pytest.raises(Refused):
            replay(case_of(question), changed, values)


def test_each_part_of_a_tree_is_needed():
    """Of a division, neither side may be left out or closed without a reason."""
    question, proof, _, _ = proven(branched=True)
    integers, reals = proof.arrays()
    assert SPLIT in integers and replayed(question, proof)
    for ended in range(len(integers)):
        with pytest.raises(Refused):
            replay(case_of(question), integers[:ended], reals)
    with pytest.raises(Refused, match="goes on after its end"):
        replay(case_of(question), np.append(integers, CLOSE), reals)
    with pytest.raises(Refused, match="left open"):
        replay(case_of(question), np.array([CLOSE]), np.zeros(0))


@pytest.mark.parametrize(
    ("integers", "reals", "said"),
    [
        ([LINE, 1, 0, 0, CLOSE], [1.5], "a slope is not between 0 and 1"),
        ([LINE, 1, 0, 0, CLOSE], [np.nan], "a slope is not between 0 and 1"),
        ([LINE, 0, 1, 3, CLOSE], [-1.0], "a multiplier is negative, or of a unit that may be"),
        ([LINE, 0, 1, 99, CLOSE], [1.0], "there is no unit 99"),
        ([LINE, 0, 1, -1, CLOSE], [1.0], "there is no unit"),
        ([LINE, 0, 0, BOUND, 1, 1, CLOSE], [-2.0], "a multiplier is negative, or of no line"),
        ([BOUND, 1, 1, CLOSE], [1.0], "a multiplier is negative, or of no line"),
        ([SPLIT, 99], [], "there is no unit 99"),
        ([7], [], "there is no instruction 7"),
        ([], [], "the proof ends early"),
    ],
)
def test_what_makes_no_sense_is_refused(integers, reals, said):
    question, *_ = proven()
    with pytest.raises(Refused, match=said):
        replay(case_of(question), np.array(integers, dtype=int), np.array(reals))


def test_multipliers_of_units_that_may_be_on_or_off_are_refused():
    """h >= 0 is true of a unit that is on, and of no other."""
    question, *_ = proven()
    case = case_of(question)
    proof = Proof()
    nothing = np.zeros(0)
    units = np.arange(24)
    proof.line(units, np.zeros(24), units, np.full(24, 5.0))
    proof.close()
    del nothing
    with pytest.raises(Refused, match="a unit that may be on or off"):
        replay(case, *proof.arrays())


def test_other_weights_images_or_classes_are_other_questions():
    """A proof that is carried over proves nothing, unless it happens to prove that too."""
    question, proof, least, witness = proven()
    net = question.network
    moved = ReluNetwork(
        (net.weights[0], net.weights[1] * np.array([[1.0], [1.3], [0.7]])), net.biases, net.pools
    )
    logits = moved.logits(witness[None])[0]
    for other in (
        Question(moved, question.ball, question.label, question.target, ALPHA),
        Question(net, Ball(witness, "linf", least), question.label, question.target, ALPHA),
    ):
        if replayed(other, proof):  # then it is true
            trials = other.ball.x + np.random.default_rng(0).uniform(
                -other.ball.radius, other.ball.radius, (5000, net.pixels)
            )
            assert (other.margin(np.clip(trials, 0, 1)) < ALPHA).all()
    assert np.isfinite(logits).all()
    at_witness = Question(net, Ball(witness, "linf", 1e-9), question.label, question.target, ALPHA)
    assert not replayed(at_witness, proof)


def test_the_margin_of_a_witness_counts_its_rounding():
    question, _, _, witness = proven()
    case = case_of(question)
    exact = float(question.margin(witness)[0])
    least = margin_at_least(case, witness)
    assert exact - 1e-10 < least < exact
    assert least >= ALPHA


def test_rounding_is_outwards():
    """Bounds of exact integer arithmetic lie within those of the replay: weights and pixels are
    multiples of a power of two, so that the true values are known exactly."""
    from fractions import Fraction

    rng = np.random.default_rng(3)
    w = rng.integers(-(2**30), 2**30, (6, 40)) / 2**30
    x = rng.integers(0, 2**30, 40) / 2**30
    radius = 3 / 2**10
    case = Case([w, w[:, :6]], [np.zeros(6), np.zeros(6)], x, "linf", radius, 0, 1, 0.0)
    bound = case.largest(w)
    for row, found in zip(w, bound, strict=True):
        low = [max(Fraction(0), Fraction(v) - Fraction(radius)) for v in x]
        high = [min(Fraction(1), Fraction(v) + Fraction(radius)) for v in x]
        pairs = zip(row, low, high, strict=True)
        true = sum(max(Fraction(c) * a, Fraction(c) * b) for c, a, b in pairs)
        assert Fraction(found) >= true and float(Fraction(found) - true) < 1e-11
