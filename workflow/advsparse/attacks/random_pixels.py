"""Random features of an image changed: the control that sparse attacks must beat."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from advsparse.attacks._base import BudgetAttack, Candidate
from advsparse.attacks._checks import not_zero
from advsparse.lazy import torch
from advsparse.settings import settings


@settings
class RandomPixels(BudgetAttack):
    r"""As many features as the budget allows, drawn blindly among those that theta changes.

    .. math:: x'_i = \mathrm{clip}(x_i + \theta) \; \text{for} \; i \in I, \qquad
              |I| = \min(\lfloor \epsilon \rfloor,
              |\{i : \mathrm{clip}(x_i + \theta) \ne x_i\}|)

    A feature is one entry of the array, whatever its channel. What JSMA does with a budget, without
    asking the network.

    Source: a control of this project's own, for mitro2018, table 2.

    Cost: no gradient.
    """

    family = "control"
    randomness = "the features"
    aims = False

    norm: Literal["l0"] = "l0"
    theta: Annotated[float, Field(ge=-1, le=1), AfterValidator(not_zero)] = 1.0
    """Change of a feature; negative to decrease features."""

    @property
    def follows_gradients(self) -> bool:
        return False

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        moved = (x + self.theta).clamp(*self.threat.bounds).flatten(1)
        keys = rng.uniform_like(x).flatten(1)
        # Those that theta would not move come last.
        keys = torch.where(moved != x.flatten(1), keys, 2.0)
        count = min(math.floor(self.eps), moved.shape[1])
        chosen = keys.argsort(dim=1, stable=True)[:, :count]
        found = x.flatten(1).scatter(1, chosen, moved.gather(1, chosen))
        steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        return Candidate(found.reshape(x.shape), steps)
