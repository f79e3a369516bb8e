"""Our attacks, fitted to the budget by their limit of passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from advsparse import registry
from benchmarks.attacks import OURS
from benchmarks.equal_cost.contender import Contender, Task

Options = Callable[[Task], dict[str, Any]]


def own() -> list[Contender]:
    """All of them; those without options spend what they are given by themselves."""
    every = ("l2", "linf", "l1", "l0")
    return [
        _attack("nearest", every),
        _attack("fmn", every),
        _attack("ddn", ("l2",)),
        _attack("alma", ("l2", "l1")),
        _attack("pdpgd", every),
        _attack("pdpgd", ("l2",), _pdgd, "pdpgd without the proximal operator, step 0.1", "PDGD"),
        _attack("sigma_zero", ("l0",)),
        _attack("fab", ("l2", "linf"), _fab, "1 target, 3 from 300 passes on"),
        _attack("minimal_apgd", ("linf",)),
        _attack("deepfool", ("l2", "linf")),
        _attack("lbfgs", ("l2",), _lbfgs, "searches and their length fitted"),
        _attack("cw", ("l2",), _cw, "box clip, first c 1, no abort, 5 searches"),
        _attack("jsma", ("l0",), _jsma, "probabilities; 1 target, 9 from 300 passes on"),
    ]


def _attack(
    kind: str,
    norms: tuple[str, ...],
    options: Options = lambda task: {},
    said: str = "",
    name: str = "",
) -> Contender:
    def run(network, task: Task):
        spec = {"kind": kind, "norm": task.norm, "passes": task.budget, **options(task)}
        attack = registry.from_spec("attacks", spec)
        return attack(network, task.x, task.y, rng=task.seed)

    return Contender(OURS, name or kind, norms, run, said)


MANY = 300
"""Passes from which on several targets are tried."""


def _fab(task: Task) -> dict[str, Any]:
    targets = 3 if task.budget >= MANY else 1
    # A step is a gradient and a look; the clean image, the targets and the secants take 6.
    return {"targets": targets, "steps": max(1, (task.budget - 8) // (3 * targets))}


def _pdgd(task: Task) -> dict[str, Any]:
    return {"proximal": False, "step": 0.1}


def _lbfgs(task: Task) -> dict[str, Any]:
    searches = 9 if task.budget >= MANY else 4
    return {"search_steps": searches, "iterations": max(1, task.budget // (2 * searches) - 1)}


def _cw(task: Task) -> dict[str, Any]:
    return {
        "box": "clip",
        "abort_early": False,
        "initial_weight": 1.0,
        "search_steps": 5,
        "iterations": max(1, task.budget // 10),
    }


def _jsma(task: Task) -> dict[str, Any]:
    return {"space": "probabilities", "targets": 9 if task.budget >= MANY else 1}
