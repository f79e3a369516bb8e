"""Our attacks as AttackBench runs them: ``python -m benchmarks.equal_cost.adapter``.

It prints what attackbenchlib finds of some attacks beside what is counted here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.data import DataLoader, TensorDataset

from advsparse.attacks._base import Attack
from benchmarks.equal_cost import packages


def adapted(attack: Attack) -> Callable[..., torch.Tensor]:
    """The attack as a function that attackbenchlib's ``run_attack`` calls.

    It should have a limit of ``passes`` of at most the benchmark's budget, less the one pass by
    which that looks at what is returned: beyond its budget the network calls everything correct.
    """
    packages.stand_in("wandb")
    import attackbench

    def attacked(model, inputs, labels, **kwargs):
        return attack(model, inputs, labels, rng=0).x

    name = type(attack).__name__
    return attackbench.create_custom_attack(attacked, attack_name=name)


def evaluated(
    attack: Attack, network: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, budget: int
) -> dict[str, Any]:
    """What ``run_attack`` returns, of all images in one batch."""
    function = adapted(attack)
    import attackbench

    # A wrapper of its own, which hooks into the network, for each call.
    wrapped = torch.nn.Sequential(network)
    return attackbench.run_attack(
        wrapped,
        DataLoader(TensorDataset(x, y), batch_size=len(x)),
        function,
        attack.threat.norm,
        device=torch.device("cpu"),
        query_budget=budget,
        debug=True,
    )


def main() -> None:
    from advsparse.attacks.ddn import DDN
    from advsparse.attacks.deepfool import DeepFool
    from advsparse.attacks.fab import FAB
    from advsparse.attacks.fmn import FMN
    from advsparse.attacks.nearest import Nearest
    from benchmarks.equal_cost.counter import Counted
    from benchmarks.equal_cost.networks import networks

    torch.set_num_threads(1)
    budget = 100
    network = networks(None)["plain"]()
    x, y = network.drawn(16, 0)
    print(f"{'attack':10} {'by':12} success  #F + #B  median l2")
    for kind in (DDN, FMN, FAB, DeepFool, Nearest):
        attack = kind(passes=budget - 1)
        theirs = evaluated(attack, network.model, x, y, budget)
        passes = torch.tensor(theirs["num_forwards"]) + torch.tensor(theirs["num_backwards"])
        success = torch.tensor(theirs["adv_success"])
        _row(kind, "attackbench", success, passes, torch.tensor(theirs["distances"]["l2"]))
        counted = Counted(network.model, x, y, "l2", budget)
        result = attack(counted, x, y)
        _row(kind, "here", result.success, counted.passes, counted.distance)


def _row(kind: type, by: str, success: torch.Tensor, passes: torch.Tensor, d: torch.Tensor) -> None:
    share, mean = success.double().mean(), passes.double().mean()
    print(f"{kind.__name__:10} {by:12} {share:7.2f} {mean:8.1f} {d.median():10.4f}")


if __name__ == "__main__":
    main()
