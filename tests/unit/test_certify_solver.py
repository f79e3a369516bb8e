"""Solvers in processes of their own, and what they have been seen to do wrong."""

from __future__ import annotations

import time

import numpy as np
import pytest

from advsparse.certify import _solver
from advsparse.certify._asking import by_program
from advsparse.certify._ball import Ball
from advsparse.certify._milp import Formulation, Program, _maxima, intervals, program
from advsparse.certify._network import ReluNetwork
from advsparse.certify._question import Question
from advsparse.certify._solver import FAILED, INFEASIBLE, LIMIT, OPTIMAL, Solved, Solver
from advsparse.certify._tree import Effort


def network(seed=0, pixels=8, hidden=10, classes=3):
    rng = np.random.default_rng(seed)
    return ReluNetwork(
        (rng.normal(0, 0.6, (hidden, pixels)), rng.normal(0, 0.6, (classes, hidden))),
        (rng.normal(0, 0.2, hidden), rng.normal(0, 0.2, classes)),
        (None,),
    )


def question(net, radius=1.0, norm="linf"):
    x = np.random.default_rng(5).uniform(0, 1, net.pixels)
    label, target = (int(k) for k in np.argsort(-net.logits(x[None])[0])[:2])
    return Question(net, Ball(x, norm, radius), label, target, 1e-4)


def knapsack(limit):
    made = Program()
    v = made.variables(4, 0, 1, integer=True)
    made.cost = [-5.0, -4.0, -3.0, -1.0]
    made.row(v, [4.0, 3.0, 2.0, 1.0], -np.inf, limit)
    return made.arrays()


@pytest.mark.parametrize("name", ["highs", "scip"])
def test_programs_are_solved_one_after_the_other(name):
    with Solver(name) as solver:
        for limit, value in ((5.0, -7.0), (3.0, -4.0), (10.0, -13.0)):
            found = solver.solve(knapsack(limit), 10)
            assert found.status == OPTIMAL and found.value == pytest.approx(value)
            assert found.bound == pytest.approx(value)
        impossible = Program()
        v = impossible.variables(1, 0, 1)
        impossible.row(v, [1.0], 2.0, 3.0)
        assert solver.solve(impossible.arrays(), 10).status == INFEASIBLE


def test_a_variable_twice_in_a_row_is_refused():
    """HiGHS refuses such a model, and then runs as an empty one whose optimum is 0."""
    made = Program()
    v = made.variables(2, 0, 1)
    with pytest.raises(ValueError, match=r"^a row of a program names a variable twice$"):
        made.row([v[0], v[0]], [1.0, 1.0], 0.0, 1.0)


def test_a_model_that_the_solver_refuses_is_no_optimum():
    arrays = knapsack(5.0)
    arrays["index"] = np.array([0, 0, 2, 3], dtype=np.int32)
    with Solver("highs") as solver:
        found = solver.solve(arrays, 10)
    assert (found.status, found.value, found.bound) == (FAILED, np.inf, -np.inf)


def test_a_process_that_does_not_end_is_ended(monkeypatch):
    """HiGHS does not always keep its time limit."""
    monkeypatch.setattr(_solver, "_GRACE", 0.5)
    started = time.monotonic()
    with Solver("highs") as solver:
        solver.solve(knapsack(5.0), 10)
        process = solver._process
        assert process is not None
        process.send_signal(19)  # stopped, as one that stalls
        found = solver.solve(knapsack(5.0), 0.1)
        assert found.status == LIMIT and process.poll() is not None
        assert solver.solve(knapsack(5.0), 10).status == OPTIMAL  # by a new one
    assert time.monotonic() - started < 60


def test_a_process_that_dies_is_a_failure_and_no_answer():
    with Solver("highs") as solver:
        solver.solve(knapsack(5.0), 10)
        assert solver._process is not None
        solver._process.kill()
        solver._process.wait()
        assert solver.solve(knapsack(5.0), 10).status == OPTIMAL


@pytest.mark.parametrize("status", [LIMIT, FAILED, OPTIMAL])
def test_only_a_program_without_solution_answers_with_no(status):
    """A status that is not set, a limit, and a point that is none are no proofs."""
    net = network()

    class Says:
        def solve(self, arrays, seconds, gap=1e-6):
            point = np.zeros(len(arrays["cost"]))  # an image, and no witness
            return Solved(status, 0.0, 0.0, point, 0.0)

    asked = question(net, 0.01)
    asked = Question(net, asked.ball, asked.label, asked.target, 1e3)
    found = by_program(Says())(asked, Effort(deadline=time.monotonic() + 1))
    assert found.witness is None and found.bound == np.inf


def test_intervals_hold_every_value():
    net = network(3, hidden=20)
    asked = question(net)
    low, high = np.maximum(asked.ball.x - 0.2, 0), np.minimum(asked.ball.x + 0.2, 1)
    trials = np.random.default_rng(0).uniform(low, high, (3000, net.pixels))
    ((least, most),) = intervals(net, low, high)
    values = net.values(trials)[1][0]
    assert (values >= least - 1e-12).all() and (values <= most + 1e-12).all()


def test_the_symmetric_bound_is_that_of_the_largest_unit():
    """A smaller M cuts off images: the optimum is then too large, and still called optimal."""
    net = network(1)
    asked = question(net)
    with Solver("highs") as solver:
        right = solver.solve(program(asked, Formulation(bounds="symmetric"))[0].arrays(), 30)
        bounds = intervals(net, np.zeros(net.pixels), np.ones(net.pixels))
        most = max(np.abs(bounds[0][0]).max(), np.abs(bounds[0][1]).max())
        small = [(np.full(10, -0.25 * most), np.full(10, 0.25 * most))]
        wrong = solver.solve(program(asked, Formulation(), known=small)[0].arrays(), 30)
    assert right.status == OPTIMAL
    assert wrong.status == INFEASIBLE or wrong.value > right.value * 1.01


def three():
    """Over the box, its first unit lies in [-0.75, 1.25], its second is on, its third off."""
    first = np.array([[1.0, -1.0], [1.0, 1.0], [-1.0, -1.0]])
    return ReluNetwork(
        (first, np.array([[0.0] * 3, [2.0, -1.0, 1.0]])),
        (np.array([0.25, 0.5, -0.5]), np.array([0.0, 0.5])),
        (None,),
    )


def made_of(formulation, norm="linf", radius=0.5, **more):
    """The program of a question: its variables, (cost, lower, upper, integer), and its rows."""
    asked = Question(three(), Ball(np.array([0.25, 0.75]), norm, radius), 0, 1, 0.125)
    made, pixels = program(asked, formulation, **more)
    assert pixels.tolist() == [0, 1]
    return made, variables_of(made), rows_of(made)


def variables_of(made):
    return list(zip(made.cost, made.lower, made.upper, made.integer, strict=True))


def rows_of(made):
    found = []
    ends = zip(made.start[:-1], made.start[1:], strict=True)
    for (start, end), low, high in zip(ends, made.row_lower, made.row_upper, strict=True):
        pairs = zip(made.index[start:end], made.value[start:end], strict=True)
        found.append((dict(pairs), low, high))
    return found


INF = np.inf
PIXELS = [(0.0, 0.0, 1.0, False)] * 2


def units_from(first, binary):
    """The rows of the three units by interval arithmetic."""
    return [
        ({0: -1.0, 1: 1.0, first: 1.0}, 0.25, INF),
        ({first: 1.0, binary: -1.25}, -INF, 0.0),
        ({0: -1.0, 1: 1.0, first: 1.0, binary: 0.75}, -INF, 1.0),
        ({0: -1.0, 1: -1.0, first + 1: 1.0}, 0.5, 0.5),
    ]


UNITS = [(0.0, 0.0, 1.25, False), (0.0, 0.0, 2.5, False), (0.0, 0.0, 0.0, False)]
BINARY = (0.0, 0.0, 1.0, True)


def margin_from(first):
    return [({first: 2.0, first + 1: -1.0, first + 2: 1.0}, 0.125 - 0.5, INF)]


def test_the_program_of_the_nearest_image():
    made, variables, rows = made_of(Formulation())
    assert variables == [*PIXELS, (1.0, 0.0, 1.0, False), *UNITS, BINARY]
    distance = [
        ({0: 1.0, 2: -1.0}, -INF, 0.25),
        ({0: 1.0, 2: 1.0}, 0.25, INF),
        ({1: 1.0, 2: -1.0}, -INF, 0.75),
        ({1: 1.0, 2: 1.0}, 0.75, INF),
    ]
    assert rows == [*distance, *units_from(3, 6), *margin_from(3)]
    assert made.enough == -INF and made.centre is None and made.squared_radius == INF


def test_the_program_of_units_with_symmetric_bounds():
    _, variables, rows = made_of(Formulation(bounds="symmetric"))
    unit = (0.0, 0.0, 2.5, False)
    assert variables[3:] == [unit] * 3 + [BINARY] * 3
    w, b = three().weights[0], three().biases[0]
    expected = []
    for row, bias, unit, binary in zip(w.tolist(), b, (3, 4, 5), (6, 7, 8), strict=True):
        own = {0: -row[0], 1: -row[1], unit: 1.0}
        expected += [
            (own, bias, INF), ({unit: 1.0, binary: -2.5}, -INF, 0.0),
            (own | {binary: 2.5}, -INF, bias + 2.5),
        ]  # fmt: skip
    assert rows[4:] == [*expected, *margin_from(3)]


def test_the_program_of_a_pattern_and_of_no_binaries():
    _, variables, rows = made_of(Formulation(pattern=np.array([False, True, True])))
    assert [upper for _, _, upper, _ in variables[3:]] == [0.0, 2.5, 0.0]
    assert len(variables) == 6 and not any(integer for *_, integer in variables)
    assert rows[4:7] == [
        ({0: 1.0, 1: -1.0}, -INF, -0.25),
        ({0: -1.0, 1: -1.0, 4: 1.0}, 0.5, 0.5),
        ({0: 1.0, 1: 1.0, 5: 1.0}, -0.5, -0.5),
    ]
    _, variables, rows = made_of(Formulation(relaxed=True))
    assert variables[-1] == (0.0, 0.0, 1.0, False) and rows == made_of(Formulation())[2]
    _, variables, _ = made_of(Formulation(relaxed=True), "l0")
    assert not any(integer for *_, integer in variables)


def test_the_programs_of_distances():
    _, variables, rows = made_of(Formulation(), "l1")
    far, near = (1.0, 0.0, 0.75, False), (1.0, 0.0, 0.25, False)
    assert variables[:6] == [*PIXELS, far, near, near, far]  # up, and down
    own = [({0: 1.0, 2: -1.0, 4: 1.0}, 0.25, 0.25), ({1: 1.0, 3: -1.0, 5: 1.0}, 0.75, 0.75)]
    assert rows == [*own, *units_from(6, 9), *margin_from(6)]
    _, _, rows = made_of(Formulation(within="ball"), "l1")
    assert rows[:3] == [*own, ({2: 1.0, 3: 1.0, 4: 1.0, 5: 1.0}, -INF, 0.5)]
    _, variables, rows = made_of(Formulation(), "l0", 1.5)
    assert variables[:4] == [*PIXELS, (1.0, 0.0, 1.0, True), (1.0, 0.0, 1.0, True)]
    own = [
        ({0: 1.0, 2: -0.75}, -INF, 0.25), ({0: 1.0, 2: 0.25}, 0.25, INF),
        ({1: 1.0, 3: -0.25}, -INF, 0.75), ({1: 1.0, 3: 0.75}, 0.75, INF),
    ]  # fmt: skip
    assert rows == [*own, *units_from(4, 7), *margin_from(4)]
    _, variables, rows = made_of(Formulation("loss"), "l0", 1.5)
    assert variables[2] == (0.0, 0.0, 1.0, True)
    assert rows == [*own, ({2: 1.0, 3: 1.0}, -INF, 1.0), *units_from(4, 7)]
    made, variables, rows = made_of(Formulation(within="ball"), "l2")
    assert made.centre.tolist() == [0.25, 0.75] and made.squared_radius == INF
    assert variables == [*PIXELS, *UNITS, BINARY] and rows == [*units_from(2, 5), *margin_from(2)]
    assert made_of(Formulation("loss"), "l2")[0].squared_radius == 0.25


@pytest.mark.parametrize(("problem", "within"), [("loss", "box"), ("verification", "ball")])
def test_the_largest_margin_is_sought_within_the_ball(problem, within):
    made, variables, rows = made_of(Formulation(problem, within=within), radius=0.5)
    assert variables[:2] == [(0.0, 0.0, 0.75, False), (0.0, 0.25, 1.0, False)]
    assert [cost for cost, *_ in variables[2:5]] == [-2.0, 1.0, -1.0]
    last = margin_from(2)[0]
    assert (rows[-1] == last) == (problem == "verification")
    wanted = 0.5 - (0.125 + 1e-9) - 1e-6 if problem == "verification" else -INF
    assert made.enough == wanted
    # Bounds that are known take the place of others.
    known = [(np.array([-1.0, -1.0, 0.0]), np.array([0.0, 2.0, 3.0]))]
    _, variables, _ = made_of(Formulation(problem, within=within), known=known)
    assert [upper for _, _, upper, _ in variables[2:5]] == [0.0, 2.0, 3.0]
    # The nearest image is sought in the whole box, unless the ball is said to hold it.
    assert made_of(Formulation(), radius=0.5)[1][2] == (1.0, 0.0, 1.0, False)
    near = made_of(Formulation(within="ball"), radius=0.5)[1]
    assert near[:3] == [*variables[:2], (1.0, 0.0, 0.5, False)]


def test_the_program_of_a_maximum():
    """Of units in [0, 3], [1, 2] and [0, 0.5], the third is never the largest."""
    made = Program()
    z = made.variables(5, 0, 9)
    low, high = np.array([0.0, 1.0, 0.0, 0.0, 0.0]), np.array([3.0, 2.0, 0.5, 0.0, 0.0])
    pool = np.array([[0, 1, 2], [2, 3, 4], [3, 4, 3]])
    for relaxed in (False, True):
        made = Program()
        made.variables(5, 0, 9)
        found = _maxima(made, z, pool, low, high, Formulation(relaxed=relaxed))
        assert found.tolist() == [5, 8, 9]
        chosen = (0.0, 0.0, 1.0, not relaxed)
        assert variables_of(made)[5:] == [
            (0.0, 0.0, 3.0, False), chosen, chosen, (0.0, 0.0, 0.5, False), (0.0, 0.0, 0.0, False)
        ]  # fmt: skip
        assert rows_of(made) == [
            ({5: 1.0, 0: -1.0}, 0.0, INF),
            ({5: 1.0, 1: -1.0}, 0.0, INF),
            ({6: 1.0, 7: 1.0}, 1.0, 1.0),
            ({5: 1.0, 0: -1.0, 6: 3.0}, -INF, 3.0),
            ({5: 1.0, 1: -1.0, 7: 2.0}, -INF, 2.0),
            ({8: 1.0, 2: -1.0}, 0.0, INF),
            ({8: 1.0, 2: -1.0}, -INF, 0.0),
            ({9: 1.0, 3: -1.0}, 0.0, INF),
            ({9: 1.0, 3: -1.0}, -INF, 0.0),
        ]


def test_a_solver_is_asked_for_a_verification_in_the_time_that_is_left():
    """Its point is cut off at the box, and only a witness is an answer."""
    asked = question(network(), 0.5)
    told = []

    class Says:
        def solve(self, arrays, seconds, gap=1e-6):
            told.append((arrays, seconds))
            return Solved(INFEASIBLE, np.inf, -np.inf, None, 0.0)

    assert by_program(Says())(asked, Effort(deadline=time.monotonic() + 50)).bound == -np.inf
    by_program(Says())(asked, Effort(deadline=0.0))
    made, _ = program(asked, Formulation("verification", within="ball"))
    (arrays, seconds), (_, least) = told
    assert 49 < seconds <= 50 and least == 0.1
    expected = made.arrays()
    assert arrays.keys() == expected.keys()
    for name, values in expected.items():
        assert np.array_equal(arrays[name], values) and arrays[name].dtype == values.dtype, name
    for name in ("start", "index"):  # as solvers want them
        assert arrays[name].dtype == np.int32
