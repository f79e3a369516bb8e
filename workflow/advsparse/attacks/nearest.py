"""Nearest: the nearest adversarial image over several attacks, for each image."""

from __future__ import annotations

import logging
from typing import Literal

from advsparse.attacks._base import Candidate, MinimumNormAttack
from advsparse.attacks._confirm import at_rows
from advsparse.attacks._recorder import PassesSpent
from advsparse.attacks.alma import ALMA
from advsparse.attacks.fab import FAB
from advsparse.attacks.fmn import FMN
from advsparse.attacks.minimal_apgd import MinimalAPGD
from advsparse.attacks.pdpgd import PDPGD
from advsparse.attacks.shrinking_square import ShrinkingSquare
from advsparse.attacks.sigma_zero import SigmaZero
from advsparse.lazy import torch
from advsparse.seeding import Random, stable_seed
from advsparse.settings import PositiveInt, settings

logger = logging.getLogger(__name__)

_MANY = 400
"""Passes from which on there are several attacks: with fewer the first alone gets nearest."""

_FAB = 0.25
"""The share of FAB in linf."""

_BLIND = 0.5
"""The share of the search without gradients, on images where these lead nowhere."""

Share = tuple[float, MinimumNormAttack]


@settings
class Nearest(MinimumNormAttack):
    r"""The nearest image of several minimum-norm attacks, for each image by itself.

    .. math:: \min_{a \in A} \|x'_a - x\|_p \quad \text{subject to} \quad x'_a \in [0, 1]^P,\;
              C_f(x'_a) \ne y

    where A is FMN (of three walks), ALMA and PDGD for l2, FMN, FAB and minimal APGD for linf, FMN
    and PDPGD for l1, and sigma-zero and PDPGD for l0, in that order, each with a share of the
    passes: which of them gets nearest differs from image to image, and where a network masks
    gradients it is another than elsewhere. With fewer than 400 passes the first gets all, FMN for
    a single walk: so few are better spent on one.

    Images on which the first finds nothing, or that have no gradient, get half of the passes for a
    search without any, :class:`ShrinkingSquare`, which l0 has none of. Elsewhere it does not
    pay, even on a network that masks its gradients: the others get nearer with its passes.

    Source: an ensemble as that of Croce and Hein 2020a, for distances; the attacks are those of
    Pintor et al. 2021, Rony et al. 2021, Croce and Hein 2020a and 2020b, Cinà et al. 2025, Matyasko
    and Chau 2021.

    Cost: at most ``total`` forward and backward passes, half as many gradients.

    Trace: ``nearest_by`` (N), the number of the attack that got nearest, from 1, and 0 where none
    found anything; that of the search without gradients is one more than there are attacks.
    """

    family = "ensemble"
    randomness = "starting points, and what is done without gradients"
    records = True

    norm: Literal["l2", "linf", "l1", "l0"] = "l2"
    total: PositiveInt = 1000
    """Passes for an image where ``passes`` sets no limit."""

    def stages(self, passes: int) -> list[Share]:
        """The attacks, with the share that each has of so many passes."""
        fmn = FMN(norm=self.norm)
        # A step of FAB is a gradient and a look.
        fab = FAB(norm="linf", targets=1, steps=max(1, int(_FAB * passes) // 3))
        # Where gradients are masked it gets nearer than with the proximal operator, else as near.
        pdgd = PDPGD(step=0.1, proximal=False)
        shares: dict[str, list[Share]] = {
            "l2": [(0.25, FMN(restarts=3)), (0.2, ALMA()), (0.55, pdgd)],
            "linf": [(0.15, fmn), (_FAB, fab), (0.6, MinimalAPGD())],
            "l1": [(0.3, fmn), (0.7, PDPGD(norm="l1"))],
            "l0": [(0.5, SigmaZero()), (0.5, PDPGD(norm="l0"))],
        }
        if passes >= _MANY:
            return shares[self.norm]
        # One walk: so few steps are not enough for three.
        return [(1.0, SigmaZero() if self.norm == "l0" else fmn)]

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        room = oracle.affords(1)
        total = self.total if room is None else room
        by = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        stages = self.stages(total)

        def let(number, share, attack, oracle, rows):
            # A pass of a random defence is several.
            part = oracle.within(int(share * total) * oracle.price)
            before, goal = oracle.nearest, at_rows(target, rows)
            try:
                attack.perturb(part, x[rows], y[rows], goal, Random(stable_seed(rng.seed, number)))
            except PassesSpent:
                logger.info("attack %d: all passes are spent", number)
            nearer = oracle.nearest < before
            by[rows[nearer]] = number
            logger.info("attack %d: %d of %d nearer", number, int(nearer.sum()), len(rows))

        everything = torch.arange(len(x), device=x.device)
        for number, (share, attack) in enumerate(stages, 1):
            let(number, share, attack, oracle, everything)
            lost = oracle.nearest.isinf() | oracle.zero_gradient().to(x.device)
            # Where the first gets all passes, what is left of them are one or two.
            if number == 1 < len(stages) and self.norm != "l0" and lost.any():
                rows, blind = everything[lost], ShrinkingSquare(norm=self.norm)
                let(len(stages) + 1, _BLIND, blind, oracle.restrict(rows), rows)
        return Candidate(oracle.effort, oracle.asked, {"nearest_by": by})
