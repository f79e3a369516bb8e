"""What walks around the boundary share: how many steps they take, how long these are, and sizes."""

from __future__ import annotations

import math

from advsparse.lazy import torch

_ORDER = {"linf": math.inf, "l2": 2.0, "l1": 1.0, "l0": 0.0}
_DUAL = {"linf": 1.0, "l2": 2.0, "l1": math.inf}


def steps_within(oracle, steps: int | None, otherwise: int, passes: int = 2) -> int:
    """The steps that were asked for, or as many as the limit leaves room for, or ``otherwise``.

    passes: what each of them takes.
    """
    if steps is not None:
        return steps
    room = oracle.affords(passes)
    return otherwise if room is None else max(1, room)


def annealed(first: float, last: float, k: int, steps: int) -> float:
    """What falls from ``first`` towards ``last`` along half a cosine, at step ``k`` of ``steps``."""
    return last + (first - last) * (1 + math.cos(math.pi * k / steps)) / 2


def size(d: torch.Tensor, norm: str) -> torch.Tensor:
    """The norm of each perturbation, N; of l0 the number of entries that are not 0."""
    return torch.linalg.vector_norm(d.flatten(1), ord=_ORDER[norm], dim=1)


def dual_size(gradient: torch.Tensor, norm: str) -> torch.Tensor:
    """The norm of each gradient that is dual to that of perturbations, above 0."""
    found = torch.linalg.vector_norm(gradient.flatten(1), ord=_DUAL[norm], dim=1)
    return found.clamp(min=torch.finfo(gradient.dtype).tiny)
