"""The fast gradient sign method."""

from __future__ import annotations

import math

from advsparse.attacks._ascent import AscentAttack
from advsparse.attacks._base import UnclampedAttack
from advsparse.lazy import torch
from advsparse.settings import settings
from advsparse.shapes import per_image

_HALVINGS = 40
"""Of an interval of step sizes: to less than single precision tells."""


@settings
class FGSM(AscentAttack, UnclampedAttack):
    r"""One step of the size of the budget along the gradient of the cross-entropy H.

    .. math:: x' = x + \epsilon\, \mathrm{sign}\, \nabla_x H(f(x), y)

    and with the gradient divided by its l2 norm in place of its sign for l2. Where that is
    ``signed``, it is a step along the sign again, of such a size that the image is as far away as
    the budget allows in spite of the box,

    .. math:: x' = \mathrm{clip}(x + s\, \mathrm{sign}\, \nabla_x H(f(x), y)), \qquad
              \|x' - x\|_2 = \epsilon,

    or as far as the box goes.

    Source: Goodfellow et al. 2015; frecon2021, section 4; mitro2018; sun2019, section 4.

    Cost: one gradient.
    """

    @property
    def _count(self) -> int:
        return 1

    def _size(self, x):
        return self.threat.radius(x)

    def _ascend(self, uphill, x, rng, run):
        if not self.signed or self.norm == "linf":
            return super()._ascend(uphill, x, rng, run)
        signs = uphill(x).sign()
        return _reaching(x, signs, self.threat)


def _reaching(x, signs, threat):
    """``x`` with a step along ``signs`` that is as long as the radius of ``threat``, in its box."""
    centre, along, radius = x.double(), signs.double(), threat.radius(x.double())
    length = per_image(along.flatten(1).norm(dim=1), along)
    # Without the box it would be this; what the box takes away is made up for by the other entries.
    least = torch.where(length > 0, radius / length, 0.0)
    if not math.isfinite(threat.bounds[1]):
        return (centre + least * along).to(x.dtype)
    most = torch.full_like(least, threat.bounds[1] - threat.bounds[0])

    def at(size):
        return (centre + size * along).clamp(*threat.bounds)

    for _ in range(_HALVINGS):
        middle = (least + most) / 2
        short = per_image((at(middle) - centre).flatten(1).norm(dim=1), x) < radius
        least, most = torch.where(short, middle, least), torch.where(short, most, middle)
    return at(most).to(x.dtype)
