"""The three formal problems on one image, over the radius."""

from __future__ import annotations

import time

from pydantic import Field

from advsparse.certify._base import Certificate
from advsparse.settings import PositiveFloat, settings


@settings
class Radii(Certificate):
    r"""The nearest adversarial image, the largest loss within delta, and robustness at delta.

    .. math:: d^* = \min_a \|a - x\| \;\text{s.t.}\; L(a) \ge \alpha, \qquad
              L^*(\delta) = \max_{\|a - x\| \le \delta} L(a), \qquad
              \forall a: \|a - x\| \le \delta \Rightarrow L(a) < \alpha

    with L = f_t - f_c and t the second most probable class. The first by ``nearest``; the second by
    a mixed-integer program (HiGHS), at each delta between the best image and the solver's bound;
    the third by bounds, as a proof or a counterexample. That L*(delta) reaches alpha where delta
    reaches d*, and that robustness ends there, is three solvers' answers to one question.

    Source: canu2021, "3 formal ways to search for adversarial examples".
    """

    shares: list[PositiveFloat] = Field(
        default_factory=lambda: [0.25, 0.5, 0.75, 0.9, 0.99, 1.01, 1.1, 1.25, 1.5], min_length=1
    )
    """The radii delta, as shares of the nearest distance."""

    def row(self, network, x, seed=0):
        import numpy as np

        from advsparse.certify._radii import over_radii

        started = time.monotonic()
        found = over_radii(self, network, x, seed)
        return found | {"seconds": np.array([time.monotonic() - started])}
