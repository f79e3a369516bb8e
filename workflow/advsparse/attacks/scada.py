"""SCADA: adversarial perturbations as sparse combinations of learned atoms."""

from __future__ import annotations

import math
from typing import Any, Literal

from advsparse.attacks import _laplace, _stochastic_dictionary
from advsparse.attacks._adversarial_dictionary import StepRule, encode, learn
from advsparse.attacks._base import Candidate, PenaltyAttack
from advsparse.attacks._confirm import at_rows, fooled
from advsparse.attacks._dictionary_problem import Problem, project_atoms
from advsparse.attacks._fitting import Fit, UniversalAttack, clean_logits
from advsparse.attacks._losses import largest, margin
from advsparse.attacks._targets import runner_up
from advsparse.decisions import decided
from advsparse.lazy import torch
from advsparse.settings import (
    Fraction,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    settings,
)
from advsparse.shapes import per_image

_SHRINKINGS = 20
"""Bisections along a ray: the factor is known to a millionth."""

_CLEARANCE = 1e-5
"""How far beyond the boundary an image that fools lies, as a share of the largest logit: more than
the rounding by which the logits of an image differ from batch to batch."""

_DEAD = (
    "every code stayed 0, as lambda1 = {:g} outweighs every gradient: no atom was "
    "learned, and that nothing is fooled says nothing of the model"
)
"""The warning of a dead start."""


@settings
class SCADA(UniversalAttack, PenaltyAttack):
    r"""Attacks x + Dv with a dictionary D learned from some images, a sparse code v for each.

    .. math:: \min_{D, V} \sum_{i=1}^N \lambda_1 \|v_i\|_1 + \lambda_2 \|D v_i\|_2^2
              + H(f(x_i + D v_i), t_i) \quad \text{subject to} \quad \|d_m\|_2 \le 1

    where H is the cross-entropy and t_i the second most probable class on the clean image, unless
    targets are given. A new image keeps D and learns v alone; the image returned is Proj(x + Dv)
    onto [0, 1]. Success is counted as for any attack: untargeted, unless targets are given.

    The stochastic scheme is SADiL: D and V in turn, on mini-batches. Unsupervised coding learns no
    code for a new image: of ``draws`` codes from a Laplace law fitted to V it takes the one that
    fools with the smallest ||Dv||_2, or where none fools the smallest, as in the authors' code.

    Source: frecon2021, problem 2.1 and algorithm 1; the stochastic scheme canu2021, "SADiL".

    Cost: at most ``coding_iterations`` gradients to attack, and backtracks on top; with
    unsupervised coding at most ``draws`` forward passes. To learn, about one gradient of all images
    an iteration, two in the stochastic scheme.

    Learns: ``atoms`` (M x C x H x W), ``codes`` (N x M), ``target`` and ``predicted``, the class of
    the clean image (N), the history ``loss``, ``gradients`` (of each image, until then), ``step``
    and ``backtracks``, and ``dead_start``: with lambda1 above every entry of the first gradient,
    V = 0 is stationary and nothing is learned.

    Trace: ``code`` (N x M), ``target`` (N) and ``unclipped_l2`` (N), ||Dv||_2 before the
    projection.
    """

    scales = 0.5, 100.0
    perturbations = ("atoms",)
    randomness = "the first dictionary, mini-batches, and the codes of unsupervised coding"

    only_applied = frozenset(
        {"coding_iterations", "coding_tolerance", "shorten", "coding", "laplace", "draws"}
    )

    norm: Literal["l2"] = "l2"
    lambda1: NonNegativeFloat = 0.1
    """Weight of ||v||_1, the sparsity of the codes."""
    lambda2: NonNegativeFloat = 0.001
    """Weight of ||Dv||_2^2, the size of the perturbation."""
    atoms: PositiveInt = 8
    """M, the number of atoms."""
    iterations: PositiveInt = 300
    """K, the largest number of iterations that learn D and V."""
    scheme: Literal["joint", "stochastic"] = "joint"
    """How D and V are learned: together, by algorithm 1; or in turn, on mini-batches, an iteration
    being a pass over the images, none of which is searched or ends early."""
    batch_size: PositiveInt = 32
    """|B|, the number of images in a mini-batch of the stochastic scheme."""
    step_decay: NonNegativeFloat = 0.0
    """The stochastic scheme's steps are initial_step / (1 + k)^step_decay in pass k. canu2021
    leaves gamma_k open; 0 is a fixed step."""
    coding: Literal["supervised", "unsupervised"] = "supervised"
    """Whether the code of a new image is learned, or drawn at random."""
    laplace: Literal["global", "atom", "class_atom"] = "atom"
    """What has a scale of its own in the law that codes are drawn from: nothing, each atom, or each
    pair of an atom and a predicted class. A scale is at least 1e-3."""
    draws: PositiveInt = 100
    """Number of codes drawn for each image."""
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

    @property
    def follows_gradients(self) -> bool:
        return self.coding == "supervised"

    def learn(self, oracle, x, y, target, rng) -> Fit:
        at_once = self.batch_size if self.scheme == "stochastic" else len(x)
        logits = clean_logits(oracle, x, at_once)
        goal = runner_up(logits) if target is None else target
        # An image without logits teaches nothing: its code stays 0.
        able = decided(logits)
        if not able.any():
            raise ValueError(
                f"model: its logits are NaN or +infinity for all of {len(x)} images: there is "
                "nothing to learn from"
            )
        start = torch.randn(
            (x[0].numel(), self.atoms), generator=rng.generator("dictionary"), dtype=torch.float32
        ).to(x)
        taught = oracle, x, goal
        if not able.all():
            taught = oracle.restrict(able.nonzero().flatten()), x[able], goal[able]
        problem = Problem(
            taught[0].differentiable, *taught[1:], self.lambda1, self.lambda2, oracle.at_once
        )
        d, own, history, dead = self._solve(
            problem, project_atoms(start) if self.project_start else start, rng
        )
        v = own.new_zeros(len(x), self.atoms)
        v[able] = own
        return Fit(
            {
                "atoms": d.T.reshape(self.atoms, *x.shape[1:]).contiguous(),
                "codes": v,
                "target": goal,
                "predicted": logits.argmax(1),
                "loss": torch.tensor(history.loss, dtype=torch.float64),
                "step": torch.tensor(history.step, dtype=torch.float64),
                "backtracks": torch.tensor(history.backtracks, dtype=torch.int64),
                "gradients": torch.tensor(history.gradients, dtype=torch.int64),
                "dead_start": torch.tensor(dead),
            },
            (_DEAD.format(self.lambda1),) if dead else (),
        )

    def _solve(self, problem, start, rng):
        common: dict[str, Any] = {
            "iterations": self.iterations,
            "dictionary_step": self.dictionary_step,
        }
        if self.scheme == "stochastic":
            return _stochastic_dictionary.learn(
                problem,
                start,
                batch_size=self.batch_size,
                initial_step=self.initial_step,
                decay=self.step_decay,
                generator=rng.generator("batches"),
                **common,
            )
        return learn(
            problem,
            start,
            rule=StepRule(self.step_rule, self.initial_step),
            shrink=self.shrink,
            halvings=self.halvings,
            tolerance=self.tolerance,
            **common,
        )

    def _copies(self, classes, size):
        drawn = self.draws * self.atoms if self.coding == "unsupervised" else 0
        return super()._copies(classes, size) + math.ceil(16 * drawn / size)

    def perturb(self, oracle, x, y, target, rng, fit: Fit) -> Candidate:
        d = fit.arrays["atoms"].to(x).flatten(1).T
        logits = oracle.logits(x)
        goal = runner_up(logits) if target is None else target
        if self.coding == "unsupervised":
            v, steps = self._drawn(oracle, x, y, target, rng, fit, d, logits)
        else:
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
            v, e = factor[:, None] * v, per_image(factor, e) * e
        trace = {
            "code": v,
            "target": goal,
            "unclipped_l2": e.double().flatten(1).norm(dim=1),
        }
        return Candidate(x + e, steps, trace)

    def _drawn(self, oracle, x, y, target, rng, fit, d, logits):
        """The smallest fooling code of those drawn, and how many were tried."""
        codes, predicted = fit.arrays["codes"].to(x), fit.arrays["predicted"].to(y)
        b = _laplace.scales(codes, predicted, self.laplace, logits.shape[1])[logits.argmax(1)]

        def fools(v, rows):
            goal = at_rows(target, rows)
            e = (v @ d.T).reshape(-1, *x.shape[1:])
            return self._fools(oracle.restrict(rows), x[rows], e, y[rows], goal)

        return _laplace.smallest_fooling(_laplace.draw(rng, x, b, self.draws), d, fools)

    def _fools(self, oracle, x, e, y, target):
        """Whether clip(x + e) is adversarial beyond the doubt that rounding leaves."""
        logits = oracle.logits((x + e).clamp(*self.threat.bounds))
        size = largest(logits)
        return fooled(logits, y, target) & (margin(logits, y, target) < -_CLEARANCE * size)

    def _shortest(self, oracle, x, e, y, target):
        """The smallest factor in (0, 1] found by bisection at which x + factor e fools; else 1."""

        def fools(factor):
            return self._fools(oracle, x, per_image(factor, e) * e, y, target)

        high = x.new_ones(len(x))
        low = torch.zeros_like(high)
        able = fools(high)
        for _ in range(_SHRINKINGS):
            middle = (low + high) / 2
            enough = fools(middle)
            high, low = torch.where(enough, middle, high), torch.where(enough, low, middle)
        return torch.where(able, high, 1.0)
