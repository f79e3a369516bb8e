"""``python -m advsparse.certify._worker highs|scip``: solves the programs that stdin gives it."""

from __future__ import annotations

import os
import sys

import numpy as np

from advsparse.certify._network import Array
from advsparse.certify._solver import FAILED, INFEASIBLE, LIMIT, OPTIMAL, receive, send

_TOLERANCE, _SCIP_TOLERANCE = 1e-9, 1e-8


def main() -> None:
    # What solvers print, who they are among it, must not get between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    solve = {"highs": highs, "scip": scip}[sys.argv[1]]
    while True:
        try:
            arrays = receive(sys.stdin.buffer)
        except EOFError:
            return
        send(answers, solve(arrays))


def highs(given: dict[str, Array]) -> dict[str, Array]:
    """By HiGHS, of linear programs."""
    import highspy

    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(given["cost"]), len(given["row_lower"])
    model.col_cost_, model.col_lower_ = given["cost"], given["lower"]
    model.col_upper_ = given["upper"]
    model.row_lower_, model.row_upper_ = given["row_lower"], given["row_upper"]
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_, model.a_matrix_.index_ = given["start"], given["index"]
    model.a_matrix_.value_ = given["value"]
    whole, real = highspy.HighsVarType.kInteger, highspy.HighsVarType.kContinuous
    integer = bool(given["integer"].any())
    if integer:
        model.integrality_ = [whole if one else real for one in given["integer"]]
    solver = highspy.Highs()
    options = {
        "output_flag": False,
        "threads": 1,
        "time_limit": float(given["seconds"]),
        "mip_rel_gap": float(given["gap"]),
        "mip_feasibility_tolerance": _TOLERANCE,
        "primal_feasibility_tolerance": _TOLERANCE,
        "dual_feasibility_tolerance": _TOLERANCE,
        "mip_allow_restart": False,  # with them, tiny models have stalled
        "objective_target": float(given["enough"]),
    }
    for name, value in options.items():
        solver.setOptionValue(name, value)
    # A model that is refused runs as an empty one, whose optimum is 0.
    if solver.passModel(model) == highspy.HighsStatus.kError:
        return failed()
    solver.run()
    status, info = solver.getModelStatus(), solver.getInfo()
    kind = highspy.HighsModelStatus
    said = {
        kind.kOptimal: OPTIMAL, kind.kObjectiveTarget: OPTIMAL,
        kind.kInfeasible: INFEASIBLE, kind.kTimeLimit: LIMIT,
    }.get(status, FAILED)  # fmt: skip
    found = failed() | {"status": np.array(said)}
    if said in (OPTIMAL, LIMIT):
        values = np.array(solver.getSolution().col_value)
        feasible = info.primal_solution_status == int(
            highspy.SolutionStatus.kSolutionStatusFeasible
        )
        if len(values) == model.num_col_ and feasible:
            found |= {"point": values, "value": np.array(info.objective_function_value)}
        if integer:
            found["bound"] = np.array(info.mip_dual_bound)
        elif said == OPTIMAL:
            found["bound"] = np.array(info.objective_function_value)
    return found


def scip(given: dict[str, Array]) -> dict[str, Array]:
    """By SCIP, of programs with a squared distance too."""
    from pyscipopt import Model, quicksum

    model = Model()
    model.hideOutput()
    limits = {"limits/time": float(given["seconds"]), "limits/gap": float(given["gap"])}
    for name, value in (limits | {"numerics/feastol": _SCIP_TOLERANCE}).items():
        model.setParam(name, value)
    model.setParam("parallel/maxnthreads", 1)
    kinds = ["B" if one else "C" for one in given["integer"]]
    infinite = [None if np.isinf(value) else float(value) for value in given["upper"]]
    v = [
        model.addVar(vtype=kind, lb=float(low), ub=high)
        for kind, low, high in zip(kinds, given["lower"], infinite, strict=True)
    ]
    starts = given["start"]
    for row, (low, high) in enumerate(zip(given["row_lower"], given["row_upper"], strict=True)):
        own = slice(starts[row], starts[row + 1])
        pairs = zip(given["value"][own], given["index"][own], strict=True)
        terms = quicksum(float(value) * v[index] for value, index in pairs)
        if low == high:
            model.addCons(terms == float(low))
            continue
        if np.isfinite(low):
            model.addCons(terms >= float(low))
        if np.isfinite(high):
            model.addCons(terms <= float(high))
    cost = quicksum(float(c) * one for c, one in zip(given["cost"], v, strict=True) if c)
    if "centre" in given:
        far = quicksum((one - float(x)) ** 2 for one, x in zip(v, given["centre"], strict=False))
        if np.isfinite(given["squared_radius"]):
            model.addCons(far <= float(given["squared_radius"]))
        else:
            squared = model.addVar(lb=0.0, ub=None)
            model.addCons(far <= squared)
            cost = cost + squared
    model.setObjective(cost, "minimize")
    model.optimize()
    status = model.getStatus()
    said = {"optimal": OPTIMAL, "gaplimit": OPTIMAL, "infeasible": INFEASIBLE}.get(
        status, LIMIT if status == "timelimit" else FAILED
    )
    found = failed() | {"status": np.array(said)}
    if said in (OPTIMAL, LIMIT):
        found["bound"] = np.array(model.getDualbound())
        if model.getNSols():
            best = model.getBestSol()
            found["value"] = np.array(model.getObjVal())
            found["point"] = np.array([model.getSolVal(best, one) for one in v])
    return found


def failed() -> dict[str, Array]:
    """An answer that says nothing."""
    return {
        "status": np.array(FAILED), "value": np.array(np.inf), "bound": np.array(-np.inf)
    }  # fmt: skip


if __name__ == "__main__":
    main()
