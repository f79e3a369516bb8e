"""The fast gradient sign method."""

from __future__ import annotations

from advsparse.attacks._ascent import AscentAttack
from advsparse.attacks._base import UnclampedAttack
from advsparse.settings import settings


@settings
class FGSM(AscentAttack, UnclampedAttack):
    r"""One step of the size of the budget along the gradient of the cross-entropy H.

    .. math:: x' = x + \epsilon\, \mathrm{sign}\, \nabla_x H(f(x), y)

    and with the gradient divided by its l2 norm in place of its sign for l2.

    Source: Goodfellow et al. 2015; frecon2021, section 4; mitro2018; sun2019, section 4.

    Cost: one gradient.
    """

    @property
    def _count(self) -> int:
        return 1

    def _size(self, x):
        return self.threat.radius(x)
