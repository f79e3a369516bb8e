"""The published attacks, with as many steps as the budget allows.

Settings are the libraries' own but for what is said; first radii, and rates where it is said, are
set with hindsight, in the peers' favour.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

from benchmarks.equal_cost.contender import Contender, Task

ORDER = {"l0": 0, "l1": 1, "l2": 2, "linf": math.inf}
"""Norms as adv-lib has them."""

_BISECTIONS = 10
_APGD = f"`minimal_apgd`, {_BISECTIONS} bisections"
_ALMA = "the first step goes 0.1 (l2) or 0.5 (l1) far; alpha 0.5 below 200 steps"
_EAD = "5 searches, 3 below 300 passes, first c 10, no abort; L1 decides"
_PDPGD = "l0: the 2/3 operator, rate 0.3; linf: a tenth of the first radius as rate"

Options = Callable[[Task], dict[str, Any]]


def published() -> list[Contender]:
    """All of them."""
    every = ("l2", "linf", "l1", "l0")
    steps = {"num_steps": _pairs}
    return [
        _advlib("ddn", "ddn", ("l2",), _of(steps=_pairs, levels=None), "no rounding to levels"),
        _advlib("fmn", "fmn", every, _of(norm=_order, steps=_pairs)),
        _advlib("alma", "alma", ("l2", "l1"), _alma, _ALMA),
        _advlib("PDGD", "pdgd", ("l2",), _of(**steps)),
        _advlib("pdpgd", "pdpgd", every, _pdpgd, _PDPGD),
        _advlib("sigma_zero", "sigma_zero", ("l0",), _of(**steps)),
        _advlib("fab", "fab", ("l2", "linf", "l1"), _fab, "1 target, 3 from 300 passes on"),
        _advlib("apgd", "minimal_apgd", ("l2", "linf", "l1"), _apgd, _APGD),
        _advlib("TR", "tr", ("l2", "linf"), _tr, "first step a tenth of the first radius"),
        _advlib("VFGA", "vfga", ("l0",), _vfga, "10 samples", repeats=True),
        _torchattacks_fab("1 target, 3 from 300 passes on; eps 0, so that none is left out"),
        _foolbox("deepfool", ("l2", "linf"), _deepfool, "all 10 classes"),
        _foolbox("ead", ("l1",), _ead, _EAD),
    ]


def _pairs(task: Task) -> int:
    """Steps of one forward and one backward pass."""
    return task.budget // 2


def _order(task: Task) -> float:
    return ORDER[task.norm]


def _of(**options: Any) -> Options:
    """Options, those that are functions of the task for this one."""
    return lambda task: {
        name: value(task) if callable(value) else value for name, value in options.items()
    }


def _advlib(
    name: str,
    function: str,
    norms: tuple[str, ...],
    options: Options,
    said: str = "",
    repeats: bool = False,
) -> Contender:
    def run(network, task: Task):
        attacks = importlib.import_module("adv_lib.attacks")
        if function == "minimal_apgd":
            attacks = importlib.import_module("adv_lib.attacks.auto_pgd")
        return getattr(attacks, function)(network, task.x, task.y, **options(task))

    return Contender("adv-lib", name, norms, run, said, repeats)


def _alma(task: Task) -> dict[str, Any]:
    steps = _pairs(task)
    first = {"l2": 0.1, "l1": 0.5}[task.norm]
    alpha = 0.9 if steps >= 200 else 0.5
    return {"num_steps": steps, "distance": task.norm, "init_lr_distance": first, "α": alpha}


def _pdpgd(task: Task) -> dict[str, Any]:
    options: dict[str, Any] = {"norm": _order(task), "num_steps": _pairs(task)}
    if task.norm == "l0":
        options |= {"proximal_operator": 23, "primal_lr": 0.3}
    if task.norm == "linf":
        options["primal_lr"] = task.radius / 10
    return options


def _targets(task: Task) -> int:
    return 3 if task.budget >= 300 else 1


def _fab_steps(task: Task) -> int:
    # A step is a gradient and a look.
    return max(1, (task.budget - 8) // (3 * _targets(task)))


def _fab(task: Task) -> dict[str, Any]:
    return {
        "norm": _order(task),
        "n_iter": _fab_steps(task),
        "restarts": _targets(task),
        "targeted_restarts": True,
    }


def _apgd(task: Task) -> dict[str, Any]:
    # A step is a gradient; each run looks at its start and its end.
    steps = max(1, task.budget // (2 * _BISECTIONS) - 1)
    return {
        "norm": _order(task),
        "max_eps": task.radius,
        "binary_search_steps": _BISECTIONS,
        "n_iter": steps,
    }


def _tr(task: Task) -> dict[str, Any]:
    return {"iter": task.budget // 3, "p": _order(task), "eps": task.radius / 10}


def _vfga(task: Task) -> dict[str, Any]:
    # A step is a gradient and a look at 10 samples in both directions.
    return {"targeted": False, "n_samples": 10, "max_iter": task.budget // 22 + 1}


def _torchattacks_fab(said: str) -> Contender:
    def run(network, task: Task):
        import torchattacks

        norm = {"l2": "L2", "linf": "Linf"}[task.norm]
        options = {"norm": norm, "eps": 0.0, "seed": task.seed, "multi_targeted": True}
        attack = torchattacks.FAB(network, steps=_fab_steps(task), **options)
        attack.n_target_classes = _targets(task)
        return attack(task.x, task.y)

    return Contender("torchattacks", "fab", ("l2", "linf"), run, said)


def _foolbox(name: str, norms: tuple[str, ...], make: Callable[[Any, Task], Any], said: str):
    def run(network, task: Task):
        import foolbox

        wrapped = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
        return make(foolbox.attacks, task)(wrapped, task.x, task.y, epsilons=None)

    return Contender("foolbox", name, norms, run, said)


def _deepfool(attacks: Any, task: Task):
    kind = {"l2": attacks.L2DeepFoolAttack, "linf": attacks.LinfDeepFoolAttack}[task.norm]
    return kind(steps=task.budget // 11, candidates=10)


def _ead(attacks: Any, task: Task):
    searches = 5 if task.budget >= 300 else 3
    return attacks.EADAttack(
        binary_search_steps=searches,
        steps=task.budget // (3 * searches),  # which look at the new iterate, too
        initial_const=10.0,
        abort_early=False,
        decision_rule="L1",
    )
