"""Solvers in processes of their own, and what they have been seen to do wrong."""

from __future__ import annotations

import time

import numpy as np
import pytest

from advsparse.certify import _solver
from advsparse.certify._ball import Ball
from advsparse.certify._milp import Formulation, Program, intervals, program
from advsparse.certify._network import ReluNetwork
from advsparse.certify._question import Question
from advsparse.certify._search import _by_program
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
    with pytest.raises(ValueError, match="names a variable twice"):
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
    found = _by_program(Says())(asked, Effort(deadline=time.monotonic() + 1))
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
