"""What the weight of the penalty makes of a defence by sparse codes."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from advsparse.analyses.transformations import Transformations
from advsparse.settings import PositiveFloat, settings


@settings
class Penalties(Transformations):
    r"""What :class:`~advsparse.analyses.transformations.Transformations` finds, for each of several
    weights lambda of the l1 norm with which the same filters code.

    Filters are those that the defence has learned, at its own weight. Of a grid of attacks it is
    the first point.

    Source: sun2019, section 5.5 and figure 5.
    """

    attacks = 1
    defenses = 1

    weights: list[PositiveFloat] = Field(default_factory=lambda: [0.05, 0.1, 0.2, 0.3, 0.5])
    """The weights."""

    def _sources(self, given):
        return dict(list(super()._sources(given).items())[:2])

    def _defenses(self, given):
        ((_, (defense, learned)),) = given.defenses.items()
        for weight in self.weights:
            yield f"{weight:g}", (replace(defense, weight=weight), learned)
