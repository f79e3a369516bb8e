"""Filters that are learned from images, for convolutional sparse codes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from advsparse.arguments import check_real
from advsparse.lazy import torch
from advsparse.modes import exactly
from advsparse.seeding import Random, seeded
from advsparse.settings import PositiveFloat, PositiveInt, settings

if TYPE_CHECKING:
    from advsparse.coding._filter_updates import LearnedFilters

logger = logging.getLogger(__name__)


@settings
class FilterLearning:
    r"""Filters d for convolutional sparse codes of the images x_n.

    .. math:: \min_{d, z_1, \dots, z_N} \sum_n \frac12 \sum_c \Big\|x_{n,c} - \sum_k d_{k,c}
              \circledast z_{n,k}\Big\|_2^2 + \lambda \|z_n\|_1 \quad \text{s.t.} \quad
              \|d_k\|_2 \le 1

    in passes over the images, which go on periodically. A pass takes one step of ADMM for the codes
    of all images, which it goes on with, and then a projected gradient step for one filter after
    the other; or, with a ``batch_size``, it codes each mini-batch anew and fits the filters to all
    codes seen so far, of which older ones count less and less (Mairal et al. 2010, section 3.4).

    It starts from normal numbers. Filters that end shorter than 1 are lengthened, which makes no
    objective worse.

    Source: sun2019, section 3.3; Wohlberg 2014; Garcia-Cardona and Wohlberg 2018.
    """

    filters: PositiveInt = 64
    """The number K of filters."""
    size: PositiveInt = 8
    """Height and width of a filter in pixels."""
    weight: PositiveFloat = 0.2
    """The weight lambda of the l1 norm."""
    zero_mean: bool = True
    """Whether filters have mean 0 in each channel."""
    passes: PositiveInt = 50
    """Passes over the images."""
    batch_size: PositiveInt | None = None
    """Images in a mini-batch; all of them if not given."""
    sweeps: PositiveInt = 1
    """How often each filter is improved after each pass, or mini-batch."""
    code_steps: PositiveInt = 20
    """Steps of ADMM for the codes of a mini-batch."""
    rho: PositiveFloat = 5.0
    """Penalty of ADMM."""

    def learn(
        self, x: torch.Tensor, rng: Random | int = 0, held_out: torch.Tensor | None = None
    ) -> LearnedFilters:
        """Learn from the images ``x``, N x C x H x W, and measure on those ``held_out``.

        Raises ValueError for images that are not finite, or all 0.
        """
        from advsparse.coding import _filter_updates

        check_real("x", x)
        if x.ndim != 4 or not len(x):
            raise ValueError(f"x: expected images N x C x H x W, got shape {tuple(x.shape)}")
        if not x.isfinite().all() or not x.any():
            raise ValueError("x: expected finite images that are not all 0 to learn filters from")
        with torch.no_grad(), exactly():
            learning = _filter_updates.Learning(self, x.float(), seeded(rng))
            improve = learning.batch if self.batch_size is None else learning.online
            for number in range(self.passes):
                improve()
                logger.info(
                    "pass %d of %d: objective %.4f",
                    number + 1,
                    self.passes,
                    learning.objectives[-1],
                )
            filters = learning.finished()
            return _filter_updates.LearnedFilters(
                filters.to(x),
                torch.tensor(learning.objectives, dtype=torch.float64),
                None if held_out is None else self.objective(filters, held_out),
            )

    def objective(self, filters: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The least objective of each of the images ``x`` with these filters, float64."""
        from advsparse.coding._circular_map import CircularConvolution
        from advsparse.coding.cbpdn import CBPDN

        synthesis = CircularConvolution(filters.to(x), (x.shape[2], x.shape[3]))
        return CBPDN(weight=self.weight, gap_tolerance=1e-4).solve(synthesis, x).objective
