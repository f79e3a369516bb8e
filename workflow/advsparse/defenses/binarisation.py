"""Each pixel black or white."""

from __future__ import annotations

from advsparse.defenses._base import Transformation
from advsparse.settings import Fraction, settings


@settings
class Binarisation(Transformation):
    r"""Each entry is 1 if it exceeds a threshold, and 0 otherwise.

    .. math:: t(x)_i = 1[x_i > \theta]

    Its derivative is 0 wherever there is one. A control on digits, whose pixels are nearly all one
    or the other.

    Source: a control of this project's own, for mitro2018; Xu, Evans and Qi 2018 (bit depth 1).

    Cost: one comparison for each entry.

    Attacks: He, Wei, Chen, Carlini and Song 2017 fool networks behind feature squeezing with
    attacks that adapt to it, a single bit on MNIST included.
    """

    backward = "identity"

    threshold: Fraction = 0.5
    """The threshold theta."""

    def transformation(self, learned):
        return lambda x: (x > self.threshold).to(x.dtype)
