"""SADiL: SCADA's problem solved by alternating steps on mini-batches (canu2021, slide "SADiL").

    D <- Proj_C(D - gamma_k dF(D, V)/dD),   V <- Soft_{gamma_k lambda1}(V - gamma_k dF(D, V)/dV),

the second with the new D, where each gradient is estimated on a mini-batch B of the N images, the
same for both:

    dF(D, V) ~ N/|B| sum_{i in B} dF_i(D, V)

Each gradient is one of its own. The authors' code adds the gradient in V to those of the steps
before it, which is another algorithm.
"""

from __future__ import annotations

import logging

from advsparse.attacks._adversarial_dictionary import History
from advsparse.attacks._dictionary_problem import Problem, Smooth, project_atoms, soft_threshold
from advsparse.lazy import torch

logger = logging.getLogger(__name__)


def learn(
    problem: Problem,
    d: torch.Tensor,
    *,
    iterations: int,
    batch_size: int,
    initial_step: float,
    dictionary_step: float,
    decay: float,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor, History, bool]:
    """D (P x M) and V (N x M) after ``iterations`` passes, from the dictionary ``d`` and V = 0.

    A pass takes all images in random order, in mini-batches of ``batch_size``, with an alternation
    for each. In pass k the step on V is gamma_k = initial_step / (1 + k)^decay, that on D
    ``dictionary_step`` times as large. No step is searched for: the loss may rise.

    A step on an atom or a code that is not finite is not taken, and an image whose loss is not
    finite is left out of the history.

    Only a mini-batch of images is ever in the network, or the part of it that fits into memory.
    Returns also the history, whose entries are those of passes, and whether V = 0 at the end.
    """
    count = len(problem.x)
    v = problem.x.new_zeros(count, d.shape[1])
    history = History(loss=[_loss(problem, d, v, batch_size)])
    for k in range(iterations):
        gamma = initial_step / (1 + k) ** decay
        order = torch.randperm(count, generator=generator).to(v.device)
        for rows in order.split(batch_size):
            scale = count / len(rows)
            in_d, _ = Smooth(problem, d, v[rows], rows).gradients()
            d = _taken(project_atoms(d - gamma * dictionary_step * scale * in_d), d, 0)
            _, in_v = Smooth(problem, d, v[rows], rows).gradients()
            moved = v.clone()
            moved[rows] -= gamma * scale * in_v
            # The penalty is on all codes, whether their image is in the mini-batch or not.
            v = _taken(soft_threshold(moved, gamma * problem.lambda1), v, 1)
        history.loss.append(_loss(problem, d, v, batch_size))
        history.step.append(gamma)
        history.backtracks.append(0)
        history.gradients.append(2 * (k + 1))
        if (k + 1) % 50 == 0:
            logger.info("pass %d of %d: loss %.6g", k + 1, iterations, history.loss[-1])
    return d, v, history, not bool(v.any())


def _loss(problem, d, v, batch_size):
    """L(D, V), float64, a mini-batch at a time."""
    total = float(problem.penalty(v).sum())
    with torch.no_grad():
        for rows in torch.arange(len(v), device=v.device).split(batch_size):
            total += float(Smooth(problem, d, v[rows], rows).value.nan_to_num(0, 0, 0).sum())
    return total


def _taken(after, before, axis):
    """``after``, with ``before`` in place of the vectors along ``axis`` that are not finite."""
    finite = after.isfinite().all(axis, keepdim=True)
    return after if finite.all() else torch.where(finite, after, before)
