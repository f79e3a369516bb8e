"""Auto-PGD: projected gradient ascent that chooses its own step sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from advsparse.attacks._base import BudgetAttack, Candidate
from advsparse.attacks._climb import Climb, SparseClimb, project_l1
from advsparse.attacks._confirm import at_rows
from advsparse.lazy import torch
from advsparse.settings import PositiveInt, Share, settings

_PHASES = ((3, 0.3), (2, 0.3), (1, 0.4))
"""Radii, in multiples of eps, and shares of the steps within them, in the authors' code."""


@settings
class APGD(BudgetAttack):
    r"""Gradient ascent with momentum whose step eta is halved where the loss l stops rising.

    .. math:: z_{k+1} = P(x_k + \eta\, u(\nabla l(x_k))), \qquad
              x_{k+1} = P(x_k + \alpha (z_{k+1} - x_k) + (1 - \alpha)(x_k - x_{k-1}))

    with eta = 2 eps at first, alpha = 0.75, P the projection onto the ball and into [0, 1], u(g)
    the sign of g for linf and g / ||g||_2 for l2. At a checkpoint w_j, an image's eta is halved and
    the image goes back to its best point if the loss rose in fewer than rho (w_j - w_{j-1}) of the
    steps since the last one, or if neither eta nor the best loss has changed since then.

    l1 goes without momentum: eta = eps at first, u(g) has the signs of the largest entries of g, a
    fifth of all at first, divided by their number, and P is the exact projection onto what [0, 1]
    leaves of the ball. Every 4 % of the steps, the entries that an image's best point changes are
    counted, and two thirds as many move from then on. If they are fewer than 95 % of those at the
    last count, the image goes back to its best point with eta = eps; else eta is divided by 1.5,
    down to eps / 10.

    ``loss`` is the cross-entropy, the DLR loss, or its targeted form, which makes one run for each
    of the classes with the largest logits on the clean image. An image leaves once it is
    adversarial, and that point is returned; else the one of largest loss in the last run.

    Source: Croce and Hein 2020a, "Auto-PGD" and the loss DLR; weitzner2023, supplement; for l1
    Croce and Hein 2021, "Mind the box" (l1-APGD).

    Cost: at most ``steps`` gradients and one forward pass per restart and target class.

    Trace: ``loss`` (N), the largest loss of the last run, and ``halvings`` (N), how often that run
    made eta smaller.
    """

    family = "gradient"
    randomness = "the starting points"

    norm: Literal["linf", "l2", "l1"] = "linf"
    loss: Literal["ce", "dlr", "targeted_dlr"] = "ce"
    """What is ascended. dlr needs at least 3 classes, targeted_dlr 4."""
    steps: PositiveInt = 100
    """Number of gradient steps of a run."""
    restarts: PositiveInt = 1
    """Runs from different random starts; each attacks only the images that still stand."""
    targets: PositiveInt = 9
    """Number of target classes that targeted_dlr tries, K - 1 at most."""
    rho: Share = 0.75
    """Share of rising steps below which the step size is halved, but for l1."""
    shrinking: bool = False
    """Whether runs in l1 begin in larger balls, of 3 eps for three tenths of the steps and of 2 eps
    for as many, as in the authors' AutoAttack: few entries matter there from the start."""

    def __post_init__(self) -> None:
        if self.shrinking and self.norm != "l1":
            raise ValueError(f"shrinking: for norm l1 alone, not {self.norm}")

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        best = x.clone()
        steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        trace = {"loss": x.new_zeros(len(x)), "halvings": torch.zeros_like(steps)}
        stand = torch.arange(len(x), device=x.device)
        run = 0
        for aim in self._aims(oracle, x, y, target):
            for _ in range(self.restarts):
                clean, label = x[stand], y[stand]
                # What counts is leaving the label, whatever class the loss leads to.
                goal = at_rows(target, stand)
                # Two streams a run: the l2 ball draws a direction and a radius.
                labels = label, at_rows(aim, stand), goal
                for climb in self._climbs(oracle.restrict(stand), clean, rng, 2 * run, labels):
                    steps[stand] += climb.steps
                best[stand], trace["loss"][stand] = climb.best, climb.top
                trace["halvings"][stand] = climb.halvings
                run += 1
                stand = stand[~climb.found]
                if not len(stand):
                    return Candidate(best, steps, trace)
        return Candidate(best, steps, trace)

    def _climbs(self, oracle, x, rng, stream, labels) -> Iterator[Climb]:
        """A run, or those in ever smaller balls, of which the last one counts."""
        ways = self.loss, self.rho
        if self.norm != "l1":
            climb = Climb(self.threat, oracle, x, self.threat.random_start(x, rng, stream), *ways)
            climb.run(self.steps, *labels)
            yield climb
            return
        point, left, warm = x + rng.normal_like(x, stream), self.steps, False
        for factor, share in _PHASES if self.shrinking else ((1, 1.0),):
            ball = replace(self.threat, eps=factor * self.eps)
            count = int(share * self.steps) if factor > 1 else left
            point = project_l1(point, x, ball)
            if count:
                climb = SparseClimb(ball, oracle, x, point, *ways, warm=warm)
                climb.run(count, *labels, ends=factor == 1)
                yield climb
                point, left, warm = climb.best, left - count, True

    def _aims(self, oracle, x, y, target):
        """For each run the classes (N) that the loss leads to, or none to lead away from y."""
        if self.loss != "targeted_dlr" or target is not None:
            return [target]
        return list(leading_classes(oracle.logits(x), y, self.targets).T)


def leading_classes(logits: torch.Tensor, y: torch.Tensor, count: int) -> torch.Tensor:
    """The classes other than ``y`` with the largest logits, in falling order, N x count.

    Where there are fewer other classes than ``count``, all of them.
    """
    others = logits.scatter(1, y[:, None], -torch.inf)
    return others.topk(min(count, logits.shape[1] - 1), dim=1).indices
