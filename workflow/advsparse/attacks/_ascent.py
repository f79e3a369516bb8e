r"""Projected gradient ascent: the one loop behind FGSM, BIM and PGD.

The problem, for an objective g that is a function of each image alone:

.. math:: \max_{x'} g(x') \quad \text{subject to} \quad \|x' - x\|_p \le \epsilon,\;
          low \le x' \le high

:func:`ascend` is the loop; :class:`AscentAttack` gives it a classification loss, or any objective.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Literal

from advsparse.arguments import check_tensor
from advsparse.attacks._asking import CONSTANT, slope, undisturbed
from advsparse.attacks._base import BudgetAttack, Candidate
from advsparse.attacks._checks import check_images, check_model
from advsparse.attacks._confirm import at_rows, fooled
from advsparse.attacks._losses import cross_entropy, direction, margin
from advsparse.lazy import torch
from advsparse.modes import recordable
from advsparse.seeding import Random, seeded
from advsparse.settings import PositiveFloat, PositiveInt, settings
from advsparse.shapes import per_image
from advsparse.threat import Threat

Objective = Callable[["torch.Tensor"], "torch.Tensor"]
"""Images N x C x H x W to N values, the value of an image depending on that image alone."""


def ascend(
    objective: Objective,
    x: torch.Tensor,
    threat: Threat,
    *,
    steps: int,
    step: float | torch.Tensor,
    start: torch.Tensor | None = None,
    signed: bool = False,
) -> torch.Tensor:
    r"""The last iterate of x_{k+1} = Proj(x_k + step u(grad g(x_k))), N x C x H x W.

    u(g) is sign(g) for linf and g / ||g||_2 for l2 and relative l2, or that of its sign where
    ``signed``; Proj leads into the ball of ``threat`` around ``x``, then into its box. ``step`` is
    in pixel units, one for all images or N x 1 x 1 x 1; the ascent begins at ``start``, or else at
    ``x``. Cost: ``steps`` gradients.
    """
    return _follow(_slope_of(objective), x, threat, steps, step, start, signed)


def _slope_of(objective: Objective) -> Objective:
    """From images to the gradient of ``objective``, N x C x H x W."""

    def uphill(x):
        point = x.detach().requires_grad_()
        with torch.enable_grad():
            value = objective(point.clone())
        return slope(value, point, refusal=CONSTANT)

    return uphill


def _follow(uphill, x, threat, steps, step, start, signed):
    """:func:`ascend`, given the gradient itself: that of the oracle may be a mean over draws."""
    x_adv, project = (x if start is None else start).detach().clone(), None
    if isinstance(step, torch.Tensor) and step.min() == step.max():
        step = float(step.max())  # with one number for all images no array is read for it
    for _ in range(steps):
        gradient = uphill(x_adv)
        if project is None:
            # Memory is laid out as the gradient is, in which the network has a say.
            x_adv = torch.empty_like(gradient).copy_(x_adv)
            project = _projection(torch.empty_like(gradient).copy_(x), threat)
        x_adv = project(_move(x_adv, direction(gradient, threat.norm, signed=signed), step))
    return x_adv


def _move(x, unit, step):
    """x + step * unit, in place."""
    if isinstance(step, torch.Tensor):
        return x.addcmul_(unit, step)
    return x.add_(unit, alpha=step)


def _projection(x, threat):
    """The projection around ``x``: :meth:`Threat.project`, but for linf in place and one pass."""
    if threat.norm != "linf":
        return lambda x_adv: threat.project(x_adv, x)
    low, high = threat.bounds
    radius = threat.radius(x)
    smallest, largest = (x - radius).clamp_(min=low), (x + radius).clamp_(max=high)
    return lambda x_adv: x_adv.clamp_(smallest, largest)


@settings
class AscentAttack(BudgetAttack):
    """An attack that ascends a loss by projected gradient steps of fixed size.

    A subclass says how many steps there are and of what size, and where they start.
    """

    family = "gradient"

    norm: Literal["linf", "l2", "relative_l2"] = "linf"
    loss: Literal["cross_entropy", "margin"] = "cross_entropy"
    """What is ascended: the cross-entropy H, or minus the margin between the label and the best
    other class (targeted: between the best other class and the target), whose gradient doesn't
    vanish where the network is sure of itself."""
    signed: bool = False
    """Whether steps in l2 go along the sign of the gradient, as those in linf do: sun2019 measures
    the fast gradient sign method by its relative l2 distance."""

    @property
    @abstractmethod
    def _count(self) -> int:
        """Number of steps."""

    @abstractmethod
    def _size(self, x: torch.Tensor) -> torch.Tensor:
        """Step sizes in pixel units, N x 1 x 1 x 1."""

    @property
    def _runs(self) -> int:
        """Number of runs, each from another start; later ones attack what still stands."""
        return 1

    def _start(self, x: torch.Tensor, rng: Random, run: int) -> torch.Tensor:
        """Where a run starts."""
        return x

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        best = x.clone()
        steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        stand = torch.arange(len(x), device=x.device)
        for run in range(self._runs):
            uphill = self._slope(oracle.restrict(stand), y[stand], at_rows(target, stand))
            best[stand] = self._ascend(uphill, x[stand], rng, run)
            steps[stand] += self._count
            if run + 1 < self._runs:
                settled = self.threat.settle(best[stand], x[stand])
                logits = oracle.logits(settled, stand)
                stand = stand[~fooled(logits, y[stand], at_rows(target, stand))]
                if not len(stand):
                    break
        return Candidate(best, steps)

    def _slope(self, oracle, y, target) -> Objective:
        """From images to the gradient of the loss, which may be a mean over draws."""
        return lambda x: oracle.gradient(x, lambda z: self._loss(z, y, target))[2]

    def maximise(
        self,
        module: torch.nn.Module,
        objective: Objective,
        x: torch.Tensor,
        *,
        rng: Random | int = 0,
    ) -> torch.Tensor:
        """The images, within the budget around ``x``, that a run leads to for any ``objective``.

        ``module`` is what the objective evaluates, such as a sparse coder whose reconstruction
        error is attacked (weitzner2023): it is in evaluation mode meanwhile. Of several runs, the
        images of largest objective are returned. x: N x C x H x W in the box of the threat model.
        """
        check_model(module, "module")
        check_tensor("x", x)
        rng = seeded(rng)
        with undisturbed(module, x.device):
            x = recordable(x)
            check_images(x)
            best, largest = x, x.new_full((len(x),), -torch.inf)
            for run in range(self._runs):
                x_adv = self._ascend(_slope_of(objective), x, rng, run)
                x_adv = self.threat.settle(x_adv, x)
                with torch.no_grad():
                    value = objective(x_adv.clone())
                better = value > largest
                best = torch.where(per_image(better, x), x_adv, best)
                largest = torch.where(better, value, largest)
        return best

    def _ascend(self, uphill, x, rng, run):
        start = self._start(x, rng, run)
        steps, size = self._count, self._size(x)
        return _follow(uphill, x, self.threat, steps, size, start, self.signed)

    def _loss(self, logits, y, target):
        if self.loss == "margin":
            return -margin(logits, y, target)
        return cross_entropy(logits, y, target)


@settings
class IteratedAttack(AscentAttack):
    """An ascent of several steps, whose size is given in one of two ways."""

    steps: PositiveInt
    """Number of gradient steps."""
    step: PositiveFloat | None = None
    """Step size in the units of the norm, as eps; none leaves it to ``relative_step``."""
    relative_step: PositiveFloat | None = None
    """Step size as a share of eps."""

    def __post_init__(self) -> None:
        if self.step is not None and self.relative_step is not None:
            raise ValueError("step and relative_step: at most one of them can be given")

    @property
    @abstractmethod
    def _default_step(self) -> float:
        """Step size as a share of eps where none is given."""

    @property
    def _count(self) -> int:
        return self.steps

    def _size(self, x):
        if self.step is not None:
            return Threat(norm=self.norm, eps=self.step).radius(x)
        return self.threat.radius(x) * (self.relative_step or self._default_step)
