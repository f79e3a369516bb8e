"""Logit-space projected gradient ascent."""

from __future__ import annotations

import copy
from typing import Annotated, Literal

from pydantic import Field

from advsparse.attacks._base import BudgetAttack, Candidate
from advsparse.attacks._losses import cross_entropy
from advsparse.lazy import torch
from advsparse.settings import PositiveFloat, PositiveInt, settings


@settings
class LSPGA(BudgetAttack):
    r"""Gradient ascent in the logits of a choice among a few values of each entry.

    .. math:: u_{k+1} = u_k + \xi\, \mathrm{sign}\, \nabla_u H\Big( f\Big( \sum_j
              \mathrm{softmax}(u_k / \delta_k)_j\, c(v_j) \Big), y \Big), \qquad
              \delta_{k+1} = \delta_k / a, \qquad x' = v_{\arg\max_j u_j}

    with values v evenly spaced in the ball around each entry, u standard normal at first and
    :math:`\delta_0 = 1`. c(v) is the code of v where a thermometer stands in front of f, whose code
    has no derivative, and of values with the same code one is in question; else it is v.

    The step of the authors is short beside the start, which then decides most; their code,
    moreover, overwrites the sign by the gradient itself.

    Source: Buckman, Roy, Raffel and Goodfellow 2018, section 4 (7 steps of 0.01, a = 1.2).

    Cost: ``steps`` gradients.
    """

    family = "gradient"
    randomness = "the logits at the start"

    norm: Literal["linf"] = "linf"
    steps: PositiveInt = 7
    """Number of gradient steps."""
    step: PositiveFloat = 0.01
    """Step size xi, in logits."""
    annealing: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 1.2
    """What the temperature delta is divided by after each step: a."""
    values: Annotated[int, Field(ge=2, le=256)] = 3
    """Number of values v; with 3, both ends of the ball and its middle. A thermometer needs as many
    as reach each level within the ball."""

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        offsets = torch.linspace(-1, 1, self.values, dtype=x.dtype, device=x.device)
        around = x[:, None] + self.threat.radius(x)[:, None] * offsets[:, None, None, None]
        # The middle is x itself, whatever rounding makes of it.
        values = torch.where(offsets[:, None, None, None] == 0, x[:, None], around)
        values = values.clamp(*self.threat.bounds)
        codes, oracle = _coded(values, oracle)
        logits = torch.stack([rng.normal_like(x, j) for j in range(self.values)], dim=1)
        logits = logits.masked_fill(_repeated(codes), -torch.inf)
        low, high, temperature = codes.amin(1), codes.amax(1), 1.0
        for _ in range(self.steps):
            p = (logits / temperature).softmax(1)
            mixed = torch.clamp((p[:, :, :, None] * codes).sum(1), low, high).flatten(1, 2)
            slope = oracle.gradient(mixed, lambda z: cross_entropy(z, y, target))[2]
            along = (codes * slope.unflatten(1, codes.shape[2:4])[:, None]).sum(3)
            along = p * (along - (p * along).sum(1, keepdim=True))
            logits = logits + self.step * along.sign()
            temperature /= self.annealing
        chosen = logits.argmax(1, keepdim=True)
        steps = torch.full((len(x),), self.steps, dtype=torch.int64, device=x.device)
        return Candidate(values.gather(1, chosen)[:, 0], steps)


def _coded(values, oracle):
    """What a network is given for each of the ``values`` (N x V x C x H x W), along an axis after
    the channels, and that network's oracle."""
    from advsparse.defenses._defended import InFront
    from advsparse.defenses.thermometer import Code

    front = getattr(oracle.model, "transformation", None)
    if not (isinstance(oracle.model, InFront) and isinstance(front, Code)):
        return values[:, :, :, None], oracle
    behind = copy.copy(oracle)  # which shares the counters
    behind.model = oracle.model.model
    code = front(values.flatten(0, 1)).unflatten(0, values.shape[:2])
    return code.unflatten(2, (values.shape[2], front.levels)), behind


def _repeated(codes):
    """Whether an earlier value has the same code, N x V x C x H x W."""
    found = torch.zeros_like(codes[:, :, :, 0], dtype=torch.bool)
    for j in range(1, codes.shape[1]):
        found[:, j] = (codes[:, :j] == codes[:, j : j + 1]).all(3).any(1)
    return found
