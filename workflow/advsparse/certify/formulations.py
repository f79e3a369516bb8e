"""The slides' formulations beside each other, and beside bounds: what each takes, what it finds."""

from __future__ import annotations

import time

from advsparse.certify._base import Certificate
from advsparse.settings import PositiveFloat, settings

NAMES = (
    "symmetric bounds, box",
    "asymmetric bounds, box",
    "asymmetric bounds, attack's ball",
    "fixed radius, attack's ball",
    "bounds under the margin constraint",
    "LP relaxation, attack's ball",
    "attack's binaries, attack's ball",
)
"""What is measured, in the order of the arrays' second axis. The last two bound from one side."""


@settings
class Formulations(Certificate):
    r"""The distance to the second most probable class, found in several ways.

    .. math:: \min_{a, b} \|a - x\| \;\text{s.t.}\; z \ge 0,\; z \ge h,\; z \le u b,\;
              z \le h - l (1 - b),\; f_t(a) - f_c(a) \ge \alpha

    as a mixed-integer program (HiGHS; SCIP in l2) with symmetric bounds -l = u = M of the largest
    unit, M from interval arithmetic over the box of all images; with asymmetric ones, which decide
    some binaries beforehand; with those over the ball that an attack leaves; with the radius fixed
    just below the attack's, where the largest margin is sought in the place of the distance. Beside
    them the bounds of ``nearest``; the relaxation of the binaries, a lower bound; and the binaries
    of the attack's image, an upper bound. Times include the attack, where it is used.

    Source: canu2021, "Exact search for adversarial examples as a MIP", "MIP acceleration using
    asymmetric bounds".
    """

    gap: PositiveFloat = 1e-5
    """Relative gap at which the solver stops, and below which a radius is taken from the attack's.
    """

    def row(self, network, x, seed=0):
        import numpy as np

        from advsparse.certify._comparing import compared

        started = time.monotonic()
        found = compared(self, network, x, seed)
        return found | {"seconds": np.array([time.monotonic() - started])}
