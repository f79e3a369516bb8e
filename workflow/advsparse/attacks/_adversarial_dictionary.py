"""The proximal-gradient solvers behind SCADA (frecon2021, section 3, algorithm 1).

The problem, over a dictionary D (P x M, columns d_m) and codes V (M x N, columns v_i):

    minimise  sum_i  lambda1 ||v_i||_1 + lambda2 ||D v_i||_2^2 + H(f(x_i + D v_i), t_i)
    subject to  ||d_m||_2 <= 1

Here codes are rows, N x M, as images are. F is the smooth part (the last two terms), Omega the
first term with the constraint.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field

from advsparse.attacks._dictionary_problem import Problem, Smooth, project_atoms, soft_threshold
from advsparse.lazy import torch

logger = logging.getLogger(__name__)

_FEASIBLE = 1e-4
"""How far rounding may take the norm of an atom above 1."""


@dataclass
class History:
    """What happened in each iteration."""

    loss: list[float] = field(default_factory=list)
    """L(D, V) before the first iteration (infinite for an infeasible D), then after each."""
    step: list[float] = field(default_factory=list)
    """gamma_k, the step on the codes."""
    backtracks: list[int] = field(default_factory=list)
    """i_k, how often the search halved."""
    gradients: list[int] = field(default_factory=lambda: [0])
    """Gradients of each image's loss that were taken until then, beside ``loss``."""


@dataclass(frozen=True)
class StepRule:
    """How gamma_k is proposed before the line search has its say."""

    name: str
    initial: float

    def following(self, gamma: float, shrink: float, moved: tuple, gradients: tuple) -> float:
        """The next step, from the last one, what the search made of it, and the last change.

        ``adaptive`` doubles a step that passed at once and otherwise keeps to what the search
        accepted; ``secant`` takes 0.9 / L with L = <du, dg> / <du, du> over (D, V), the estimate of
        the authors' code; ``fixed`` stays.
        """
        if self.name == "adaptive":
            return 2 * gamma if shrink == 1 else gamma * shrink
        if self.name == "secant":
            length = sum(float(m.square().sum()) for m in moved)
            curvature = sum(float((m * g).sum()) for m, g in zip(moved, gradients, strict=True))
            return 0.9 * length / curvature if curvature > 1e-12 * length > 0 else gamma
        return gamma


def learn(
    problem: Problem,
    d: torch.Tensor,
    *,
    iterations: int,
    rule: StepRule,
    dictionary_step: float,
    shrink: float,
    halvings: int,
    tolerance: float,
) -> tuple[torch.Tensor, torch.Tensor, History, bool]:
    """Algorithm 1: D and V together, from the dictionary ``d`` and V = 0.

    ``dictionary_step`` is the ratio of the step on D to gamma_k, the step on V; with 1 this is the
    algorithm as printed. The search tries V + s dV for s = 1, shrink, shrink^2, ... and accepts, as
    printed, when L falls by at least shrink times what s h_k promises; after ``halvings`` failures,
    or once L falls by less than ``tolerance`` of itself, learning ends. At a dictionary whose atoms
    are longer than 1, L is infinite, and the first step is accepted whatever comes of it.

    Returns D (P x M), V (N x M), the history, and whether the start was dead, with V = 0 at the
    end: from V = 0 the gradient in D is 0, and V leaves 0 only where a gradient exceeds lambda1.
    """
    v = problem.x.new_zeros(len(problem.x), d.shape[1])
    smooth = Smooth(problem, d, v)
    loss = float((smooth.value + problem.penalty(v)).sum())
    if float(d.norm(dim=0).max()) > 1 + _FEASIBLE:
        loss = math.inf
    history = History(loss=[loss])
    gamma, dead = rule.initial, False
    old = None
    for k in range(iterations):
        gradients = smooth.gradients()
        if k == 0 and float(gradients[1].abs().max()) <= problem.lambda1:
            d, dead = project_atoms(d), True
            break
        if old is not None:
            change = tuple(g - o for g, o in zip(gradients, old[1], strict=True))
            gamma = rule.following(gamma, *old[2:], old[0], change)
        gamma_d = gamma * dictionary_step
        half = (
            project_atoms(d - gamma_d * gradients[0]),
            soft_threshold(v - gamma * gradients[1], gamma * problem.lambda1),
        )
        moves = (half[0] - d, half[1] - v)
        h = float((problem.penalty(half[1]) - problem.penalty(v)).sum())
        for move, gradient, size in zip(moves, gradients, (gamma_d, gamma), strict=True):
            h += float((gradient * move).double().sum())
            h += float(move.double().square().sum()) / (2 * size)
        accepted, s = None, 1.0
        for failures in range(halvings):
            trial = (d + s * moves[0], v + s * moves[1])
            smooth = Smooth(problem, *trial)
            new = float((smooth.value + problem.penalty(trial[1])).sum())
            if new <= loss + shrink * s * h:
                accepted, backtracks = trial, failures
                break
            s *= shrink
        if accepted is None:
            logger.info("iteration %d: no step lowers the loss %.6g; learning ends", k + 1, loss)
            break
        d, v = accepted
        old = (tuple(s * m for m in moves), gradients, s)
        history.step.append(gamma)
        history.backtracks.append(backtracks)
        history.loss.append(new)
        history.gradients.append(k + 1)
        if (k + 1) % 50 == 0:
            logger.info("iteration %d of %d: loss %.6g, step %.3g", k + 1, iterations, new, gamma)
        falling = math.isinf(loss) or loss - new > tolerance * abs(loss)
        loss = new
        if not falling:
            logger.info("iteration %d: the loss has settled at %.6g", k + 1, loss)
            break
    return d, v, history, dead or not bool(v.any())


def encode(
    problem: Problem,
    d: torch.Tensor,
    *,
    iterations: int,
    initial_step: float,
    shrink: float,
    halvings: int,
    tolerance: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Algorithm 1 without its steps on D, for each image by itself, from v = 0.

    Each image has its own step (doubled when it passed at once, else as the search left it), search
    and end: a decrease below ``tolerance``. Returns V (N x M), losses (float64, N) and the number
    of iterations (N).
    """
    count = len(problem.x)
    v = problem.x.new_zeros(count, d.shape[1])
    rows = torch.arange(count, device=v.device)
    loss, gradient = _value_and_gradient(problem, d, v, rows)
    gamma = v.new_full((count,), initial_step)
    steps = torch.zeros(count, dtype=torch.int64, device=v.device)
    for _ in range(iterations):
        g, start, size = gradient[rows], v[rows], gamma[rows, None]
        move = soft_threshold(start - size * g, size * problem.lambda1) - start
        h = (
            problem.penalty(start + move)
            - problem.penalty(start)
            + (g * move).double().sum(1)
            + move.double().square().sum(1) / (2 * size.squeeze(1))
        )
        s = torch.ones_like(gamma[rows])
        pending = torch.arange(len(rows), device=v.device)
        before = loss[rows]
        for _ in range(halvings):
            at = rows[pending]
            trial = start[pending] + s[pending, None] * move[pending]
            new, slope = _value_and_gradient(problem, d, trial, at)
            passed = new <= before[pending] + shrink * s[pending] * h[pending]
            done = at[passed]
            v[done], loss[done], gradient[done] = trial[passed], new[passed], slope[passed]
            pending = pending[~passed]
            if not len(pending):
                break
            s[pending] *= shrink
        gamma[rows] = torch.where(s == 1, 2 * gamma[rows], gamma[rows] * s)
        steps[rows] += 1
        # An image whose search failed has not moved either, and ends here too.
        rows = rows[before - loss[rows] > tolerance]
        if not len(rows):
            break
    return v, loss, steps


def _value_and_gradient(problem, d, v, rows):
    """L_i at ``v`` (float64) and the gradient of its smooth part, for some images."""
    graph = problem.smooth(d, v, rows)
    in_e = problem.slope(graph)
    return graph[0].detach() + problem.penalty(v), in_e @ d
