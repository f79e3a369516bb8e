"""Projected gradient descent."""

from __future__ import annotations

from advsparse.attacks._ascent import IteratedAttack
from advsparse.settings import PositiveInt, settings


@settings
class PGD(IteratedAttack):
    r"""Steps of fixed size along the gradient of the cross-entropy H, projected after each.

    .. math:: x_{k+1} = \mathrm{Proj}(x_k + \alpha\, u(\nabla_x H(f(x_k), y)))

    where Proj leads into the ball around the clean image and into [0, 1], and u(g) is sign(g) for
    linf and g / ||g||_2 for l2. The last iterate is returned. Where no step size is given it is
    2.5 eps / steps, as by Madry et al.

    Source: Madry et al. 2018; frecon2021, section 4; weitzner2023.

    Cost: ``steps`` gradients a restart, and a forward pass between two of them.
    """

    randomness = "the starting points, unless ``random_start`` is false"

    steps: PositiveInt = 40
    """Number of gradient steps."""
    random_start: bool = True
    """Whether to start from a point drawn uniformly from the ball instead of the clean image."""
    restarts: PositiveInt = 1
    """Runs from different random starts; each attacks only the images that still stand."""

    @property
    def _default_step(self) -> float:
        return 2.5 / self.steps

    @property
    def _runs(self) -> int:
        return self.restarts if self.random_start else 1

    def _start(self, x, rng, run):
        # Two streams a run: the l2 ball draws a direction and a radius.
        return self.threat.random_start(x, rng, 2 * run) if self.random_start else x
