"""The LASSO's weight for which the residual has a given norm."""

from __future__ import annotations

import torch

from advsparse.coding._fista import Minimised, Problem

WITHIN = 1e-4
"""How far the squared residual may be below the one asked for, relatively."""

GAP = 1e-9
"""Duality gap in units of the squared residual asked for, which then is good to 2 sqrt(2 GAP)."""

ROUNDS = 60
SMALLEST = 1e-10
"""Of the weight that makes the code zero, the least that is tried: what it does not reach, none
does."""


def weights_for(
    problem: Problem, x: torch.Tensor, energy: torch.Tensor, enough: torch.Tensor
) -> tuple[Minimised, torch.Tensor]:
    r"""The codes of least l1 norm with ||x - D a||_2^2 <= energy, and which of them failed.

    Each signal has an ``energy`` of its own, and a duality gap that is ``enough``.

    On a support the squared residual is linear in the squared weight: the secant of the last two
    weights soon hits it. Until it stays within the bracket, energy / ||r||^2 scales the
    squared weight (Chambolle 2004), and bisection has the last word.
    """
    enough = enough.clamp(max=GAP * energy)
    aim = energy * (1 - WITHIN / 2)
    length = x.square().sum(1)
    largest = problem.fine.adjoint(x).abs().amax(1)
    found = Minimised(
        x.new_zeros(len(x), problem.fine.atoms),
        length.clone(),
        torch.zeros_like(length),
        torch.zeros(len(x), dtype=torch.int64, device=x.device),
    )
    failed = ~(length <= energy)
    rows = failed.nonzero().flatten()
    aim, width = aim[rows], energy[rows] * WITHIN / 2
    # Of squared weights: the bracket, the one before and its squared residual, the one to try.
    high = largest[rows].square()
    low, before, was = torch.zeros_like(high), high, length[rows]
    trial = high * aim / was
    for attempt in range(ROUNDS):
        if not len(rows):
            break
        start = found.code[rows] if attempt else None
        tried = problem.minimise(x[rows], trial.sqrt(), enough[rows], start)
        found.code[rows], found.energy[rows], found.gap[rows] = tried.code, tried.energy, tried.gap
        found.iterations[rows] += tried.iterations
        value = tried.energy
        hit = ((value - aim).abs() <= width) & (tried.gap <= enough[rows])
        failed[rows] = ~hit
        below = value <= aim
        low, high = torch.where(below, trial, low), torch.where(below, high, trial)
        secant = trial + (aim - value) * (trial - before) / (value - was)
        scaled = trial * aim / value
        middle = (low + high) / 2
        inside = (secant > low) & (secant < high)
        guess = torch.where((scaled > low) & (scaled < high), scaled, middle)
        before, was, trial = trial, value, torch.where(inside, secant, guess)
        going = ~hit & (trial > (SMALLEST * largest[rows]).square())
        rows, aim, width, low, high, before, was, trial = (
            values[going] for values in (rows, aim, width, low, high, before, was, trial)
        )
    return found, failed
