"""The basic iterative method."""

from __future__ import annotations

from advsparse.attacks._ascent import IteratedAttack
from advsparse.settings import PositiveInt, settings


@settings
class BIM(IteratedAttack):
    r"""FGSM in small steps from the clean image, projected after each.

    .. math:: x_0 = x, \qquad x_{k+1} = \mathrm{Proj}(x_k + \alpha\, u(\nabla_x H(f(x_k), y)))

    where H is the cross-entropy, Proj leads into the ball around the clean image and into [0, 1],
    and u(g) is sign(g) for linf and g / ||g||_2 for l2. The last iterate is returned. Where no step
    size is given it is 1.25 eps / steps: Kurakin et al. make 1.25 eps steps of one grey level.

    Source: Kurakin et al. 2017, "Basic iterative method"; sun2019, section 4.

    Cost: ``steps`` gradients.
    """

    steps: PositiveInt = 10
    """Number of gradient steps."""

    @property
    def _default_step(self) -> float:
        return 1.25 / self.steps
