"""The mean of each pixel's neighbourhood."""

from __future__ import annotations

from functools import reduce

from advsparse.defenses._base import Transformation
from advsparse.lazy import torch
from advsparse.settings import OddInt, settings


@settings
class MeanFilter(Transformation):
    r"""Each pixel is replaced by the mean of those around it, channel by channel.

    .. math:: t(x)_{c,i,j} = \frac{1}{k^2} \sum_{|a|, |b| \le (k-1)/2} x_{c,i+a,j+b}

    Beyond the border stands its nearest pixel. A control: what a blur without any learning does.

    Source: a control of this project's own, for mitro2018; Li and Li 2017, section 5.

    Cost: 2 k sums for each entry.

    Attacks: Carlini and Wagner 2017 (ten detection methods): a detector by such a blur is of no use
    once the attack takes the blur for a layer of the network.
    """

    size: OddInt = 3
    """The side k of a neighbourhood."""

    def transformation(self, learned):
        from advsparse.defenses._filters import extended

        def t(x):
            sums = extended(x, self.size)
            for axis in (2, 3):
                places = [sums.narrow(axis, i, x.shape[axis]) for i in range(self.size)]
                sums = reduce(torch.add, places)
            return sums / self.size**2

        return t
