"""Nearest: the nearest adversarial image over several attacks, for each image."""

from __future__ import annotations

import logging
from typing import Literal

from advsparse.attacks._base import Candidate, MinimumNormAttack
from advsparse.attacks._confirm import at_rows
from advsparse.attacks._recorder import PassesSpent
from advsparse.attacks.alma import ALMA
from advsparse.attacks.ddn import DDN
from advsparse.attacks.fmn import FMN
from advsparse.attacks.pdpgd import PDPGD
from advsparse.attacks.sigma_zero import SigmaZero
from advsparse.lazy import torch
from advsparse.seeding import Random, stable_seed
from advsparse.settings import NonNegativeFloat, PositiveInt, settings

logger = logging.getLogger(__name__)

_MANY = 400
"""Passes from which on there are several attacks: with fewer the first alone gets nearest."""

_IN_VAIN = 2
"""Attacks in a row that bring an image no nearer before it is left alone."""

Share = tuple[float, MinimumNormAttack]


@settings
class Nearest(MinimumNormAttack):
    r"""The nearest image of several minimum-norm attacks, for each image by itself.

    .. math:: \min_{a \in A} \|x'_a - x\|_p \quad \text{subject to} \quad x'_a \in [0, 1]^P,\;
              C_f(x'_a) \ne y

    where A is FMN, DDN, ALMA and PDPGD for l2, FMN and PDPGD for linf and l1, and sigma-zero and
    FMN for l0, in that order, each with a share of the passes. An image is left alone once
    two attacks in a row have not brought it nearer by ``gain``. With fewer than 400 passes the
    first attack gets all of them: so few are better spent on one.

    Source: an ensemble as that of Croce and Hein 2020a, for distances; the attacks are those of
    Pintor et al. 2021, Rony et al. 2019 and 2021, Cinà et al. 2025, Matyasko and Chau 2021.

    Cost: at most ``total`` forward and backward passes, half as many gradients.

    Trace: ``nearest_by`` (N), the number of the attack that got nearest, from 1, and 0 where none
    found anything.
    """

    family = "ensemble"
    records = True

    norm: Literal["l2", "linf", "l1", "l0"] = "l2"
    total: PositiveInt = 1000
    """Passes for an image where ``passes`` sets no limit."""
    gain: NonNegativeFloat = 1e-3
    """Share by which an attack has to come nearer not to have been in vain."""

    def stages(self, passes: int) -> list[Share]:
        """The attacks, with the share that each has of so many passes."""
        fmn = FMN(norm=self.norm)
        shares: dict[str, list[Share]] = {
            "l2": [
                (0.15, fmn),
                (0.15, DDN()),
                (0.3, ALMA()),
                (0.4, PDPGD()),
            ],
            "linf": [(0.4, fmn), (0.6, PDPGD(norm="linf"))],
            "l1": [(0.3, fmn), (0.7, PDPGD(norm="l1"))],
            "l0": [(0.8, SigmaZero()), (0.2, fmn)],
        }
        chosen = shares[self.norm]
        return chosen if passes >= _MANY else [(1.0, chosen[0][1])]

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        room = oracle.affords(1)
        total = self.total if room is None else room
        stand = torch.arange(len(x), device=x.device)
        by, vain = torch.zeros_like(stand), torch.zeros_like(stand)
        for number, (share, attack) in enumerate(self.stages(total), 1):
            # A pass of a random defence is several.
            part = oracle.restrict(stand).within(int(share * total) * oracle.price)
            before = oracle.nearest[stand]
            numbers = Random(stable_seed(rng.seed, number))
            try:
                attack.perturb(part, x[stand], y[stand], at_rows(target, stand), numbers)
            except PassesSpent:
                logger.info("attack %d: all passes are spent", number)
            after = oracle.nearest[stand]
            by[stand[after < before]] = number
            logger.info("attack %d: %d of %d nearer", number, int((after < before).sum()), len(by))
            gained = after < before * (1 - self.gain)
            vain[stand] = torch.where(gained, 0, vain[stand] + 1)
            stand = stand[(vain[stand] < _IN_VAIN) | after.isinf()]
            if not len(stand):
                break
        return Candidate(oracle.effort, oracle.asked, {"nearest_by": by})
