"""The median of each pixel's neighbourhood."""

from __future__ import annotations

from advsparse.defenses._base import Transformation
from advsparse.settings import OddInt, settings


@settings
class MedianFilter(Transformation):
    r"""Each pixel is replaced by the median of those around it, channel by channel.

    .. math:: t(x)_{c,i,j} = \mathrm{median}\, \{x_{c,i+a,j+b} : |a|, |b| \le (k-1)/2\}

    Beyond the border stands its nearest pixel. The derivative is that of the pixel which is the
    median. A control: what removes single pixels without any learning.

    Source: a control of this project's own, for mitro2018; Xu, Evans and Qi 2018 (spatial
    smoothing).

    Cost: a sorting of k^2 numbers for each entry.

    Attacks: He, Wei, Chen, Carlini and Song 2017 fool networks behind feature squeezing with
    attacks that adapt to it, spatial smoothing included.
    """

    size: OddInt = 3
    """The side k of a neighbourhood."""

    def transformation(self, learned):
        from advsparse.defenses._filters import neighbourhoods

        # Sorted, as the derivative of a median is not deterministic on GPUs.
        return lambda x: neighbourhoods(x, self.size).sort(4).values[..., self.size**2 // 2]
