"""SCADA: adversarial perturbations as sparse combinations of learned atoms."""

from __future__ import annotations

from typing import Literal

from advsparse.attacks._adversarial_dictionary import (
    Problem,
    StepRule,
    encode,
    learn,
    project_atoms,
)
from advsparse.attacks._base import Candidate, Fit, PenaltyAttack, UniversalAttack
from advsparse.attacks._losses import margin
from advsparse.lazy import torch
from advsparse.settings import (
    Fraction,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    settings,
)

_SHRINKINGS = 20
"""Bisections along a ray: the factor is known to a millionth."""

_CLEARANCE = 1e-5
"""How far beyond the boundary a ray ends, as a share of the largest logit: more than the rounding
by which the logits of an image differ from batch to batch."""


@settings
class SCADA(UniversalAttack, PenaltyAttack):
    r"""Attacks x + Dv with a dictionary D learned from some images, a sparse code v for each.

    .. math:: \min_{D, V} \sum_{i=1}^N \lambda_1 \|v_i\|_1 + \lambda_2 \|D v_i\|_2^2
              + H(f(x_i + D v_i), t_i) \quad \text{subject to} \quad \|d_m\|_2 \le 1

    where H is the cross-entropy and t_i the second most probable class on the clean image, unless
    targets are given (frecon2021, problem 2.1, algorithm 1). A new image keeps D and learns v
    alone; the image returned is Proj(x + Dv) onto [0, 1]. Success is counted as for any attack:
    untargeted, unless targets are given. Learning costs about one gradient of all images an
    iteration, an attack at most ``coding_iterations`` gradients, and backtracks on top.

    ``fit`` gives the arrays ``atoms`` (M x C x H x W), ``codes`` (N x M), ``target`` (N), the
    history ``loss``, ``step`` and ``backtracks``, and ``dead_start``: with lambda1 above every
    entry of the first gradient, V = 0 is stationary and nothing is learned. The attack's trace has
    ``code`` (N x M), ``target`` and ``unclipped_l2``, ||Dv||_2 before the projection.
    """

    only_applied = frozenset({"coding_iterations", "coding_tolerance", "shorten"})

    norm: Literal["l2"] = "l2"
    lambda1: NonNegativeFloat = 0.1
    """Weight of ||v||_1, the sparsity of the codes."""
    lambda2: NonNegativeFloat = 0.001
    """Weight of ||Dv||_2^2, the size of the perturbation."""
    atoms: PositiveInt = 8
    """M, the number of atoms."""
    iterations: PositiveInt = 300
    """K, the largest number of iterations that learn D and V."""
    coding_iterations: PositiveInt = 100
    """Largest number of iterations that learn the code of a new image."""
    step_rule: Literal["adaptive", "secant", "fixed"] = "adaptive"
    """How gamma_k is proposed: doubled after a step that passed at once and otherwise what the
    search left; 0.9 over a secant estimate of the Lipschitz constant (the authors' code); fixed."""
    initial_step: PositiveFloat = 0.1
    """gamma_0, the first step on the codes."""
    dictionary_step: PositiveFloat = 0.01
    """The step on D as a multiple of the step on V; 1 is the algorithm as printed."""
    project_start: bool = True
    """Whether the first dictionary, standard normal, is projected onto the unit balls. As printed
    (false) it is infeasible, with atoms of norm about sqrt(P): the loss at the start is infinite,
    and the first step goes unchecked."""
    shrink: Fraction = 0.5
    """delta, the factor of the backtracking."""
    halvings: PositiveInt = 30
    """Failed backtracks after which a search gives up."""
    tolerance: NonNegativeFloat = 1e-6
    """Learning ends once the loss falls by less than this share of itself."""
    coding_tolerance: NonNegativeFloat = 1e-6
    """The coding of an image ends once its loss falls by less than this."""
    shorten: bool = False
    """Whether each perturbation that fools is shortened along its ray to the decision boundary.
    Not part of the paper's method: figures show it as a series of its own."""

    def learn(self, oracle, x, y, target, rng) -> Fit:
        goal = runner_up(oracle.logits(x)) if target is None else target
        start = torch.randn(
            (x[0].numel(), self.atoms), generator=rng.generator("dictionary"), dtype=torch.float32
        ).to(x)
        d, v, history, dead = learn(
            Problem(oracle.differentiable, x, goal, self.lambda1, self.lambda2),
            project_atoms(start) if self.project_start else start,
            iterations=self.iterations,
            rule=StepRule(self.step_rule, self.initial_step),
            dictionary_step=self.dictionary_step,
            shrink=self.shrink,
            halvings=self.halvings,
            tolerance=self.tolerance,
        )
        return Fit(
            {
                "atoms": d.T.reshape(self.atoms, *x.shape[1:]).contiguous(),
                "codes": v,
                "target": goal,
                "loss": torch.tensor(history.loss, dtype=torch.float64),
                "step": torch.tensor(history.step, dtype=torch.float64),
                "backtracks": torch.tensor(history.backtracks, dtype=torch.int64),
                "dead_start": torch.tensor(dead),
            }
        )

    def perturb(self, oracle, x, y, target, rng, fit: Fit) -> Candidate:
        d = fit.arrays["atoms"].to(x).flatten(1).T
        goal = runner_up(oracle.logits(x)) if target is None else target
        v, _, steps = encode(
            Problem(oracle.differentiable, x, goal, self.lambda1, self.lambda2),
            d,
            iterations=self.coding_iterations,
            initial_step=self.initial_step,
            shrink=self.shrink,
            halvings=self.halvings,
            tolerance=self.coding_tolerance,
        )
        e = (v @ d.T).reshape(x.shape)
        if self.shorten:
            factor = self._shortest(oracle, x, e, y, target)
            v, e = factor[:, None] * v, factor.reshape(-1, 1, 1, 1) * e
        trace = {
            "code": v,
            "target": goal,
            "unclipped_l2": e.double().flatten(1).norm(dim=1),
        }
        return Candidate(x + e, steps, trace)

    def _shortest(self, oracle, x, e, y, target):
        """The smallest factor in (0, 1] found by bisection at which x + factor e fools; else 1."""

        def fools(factor):
            x_adv = (x + factor.reshape(-1, 1, 1, 1) * e).clamp(*self.threat.bounds)
            logits = oracle.logits(x_adv)
            return margin(logits, y, target) < -_CLEARANCE * logits.abs().amax(1)

        high = x.new_ones(len(x))
        low = torch.zeros_like(high)
        able = fools(high)
        for _ in range(_SHRINKINGS):
            middle = (low + high) / 2
            enough = fools(middle)
            high, low = torch.where(enough, middle, high), torch.where(enough, low, middle)
        return torch.where(able, high, 1.0)


def runner_up(logits: torch.Tensor) -> torch.Tensor:
    """The second most probable class of each row of ``logits``."""
    return logits.topk(2, dim=1).indices[:, 1]
