"""Fewer levels for each entry."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from advsparse.defenses._base import Transformation
from advsparse.settings import settings


@settings
class BitDepth(Transformation):
    r"""Each entry is rounded to the nearest of the 2^b levels that b bits tell apart.

    .. math:: t(x)_i = \frac{\mathrm{round}\big((2^b - 1)\, x_i\big)}{2^b - 1}

    Its derivative is 0 wherever there is one. At a single bit it is ``binarisation`` at one half.

    Source: Xu, Evans and Qi 2018 (feature squeezing).

    Cost: a few operations for each entry.

    Attacks: He, Wei, Chen, Carlini and Song 2017 fool networks behind feature squeezing with
    attacks that adapt to it. Athalye, Carlini and Wagner 2018: the transformations of Guo et al.
    leave an accuracy of 0 at an l2 norm of 0.05 (ImageNet), fewer bits included, by BPDA.
    """

    backward = "identity"

    bits: Annotated[int, Field(ge=1, le=8)] = 4
    """The number b of bits of an entry; 1 for digits, 4 or 5 for photographs."""

    def transformation(self, learned):
        largest = 2**self.bits - 1
        return lambda x: (x.clamp(0, 1) * largest).round() / largest
