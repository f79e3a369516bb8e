"""The sparse transformation layer."""

from __future__ import annotations

from typing import Literal

from advsparse.defenses._base import Transformation
from advsparse.seeding import seeded
from advsparse.settings import NonNegativeInt, PositiveFloat, PositiveInt, settings


@settings
class STL(Transformation):
    r"""Images as convolutional sparse codes of learned filters stand for them.

    .. math:: t(x)_c = \sum_k d_{k,c} \circledast z_k, \qquad
              z = \arg\min_z \frac12 \sum_c \Big\|x_c - \sum_k d_{k,c} \circledast z_k\Big\|_2^2
              + \lambda \sum_k \|z_k\|_1

    clipped to [0, 1], with one code for all channels. The filters are learned from training images,
    by :class:`~advsparse.coding._filter_learning.FilterLearning`, and fixed then: t is unique, and
    no difference of what is coded becomes longer. Codes are found by
    :class:`~advsparse.coding.cbpdn.CBPDN`.

    Where the support of the code stays the same, t projects a change of x onto the shifted filters
    in it. That is what is differentiated, and exact almost everywhere; the paper expects that there
    is no gradient.

    The authors' code takes the low-pass part off, codes the rest by filters of mean 0, and divides
    by the largest entry: ``low_pass: tikhonov``, ``zero_mean`` and ``rescale``. The paper says none
    of that.

    Source: sun2019, eq. 2 and sections 3.2 and 3.3; Wohlberg 2014 (the solver).

    Cost: at most ``max_iterations`` steps for each image, of 2 K Fourier transforms; its derivative
    takes a Cholesky factor of the products of about 1000 atoms in the support, for each thousand of
    them, and a few steps of conjugate gradients. Learning: passes x images, each of a code and of
    all filters.

    Attacks: none is known to us beyond those of sun2019, table 4, which put the identity in the
    place of a derivative that is thought not to exist; ``adaptive`` goes by the exact one.
    """

    learns = True

    filters: PositiveInt = 64
    """The number K of filters."""
    size: PositiveInt = 8
    """Height and width of a filter in pixels."""
    weight: PositiveFloat = 0.2
    """The weight lambda of the l1 norm."""
    low_pass: Literal["none", "tikhonov"] = "none"
    """What is taken off an image before it is coded, and added again: nothing, or the part that
    varies slowly, by a quadratic penalty of differences with weight 5."""
    zero_mean: bool = False
    """Whether filters have mean 0 in each channel. They code no brightness then."""
    padding: NonNegativeInt = 0
    """Mirrored pixels that an image is extended by before it is coded: it goes on periodically. The
    authors' code extends it for the low-pass part alone, as ``tikhonov`` does by itself."""
    rescale: bool = False
    """Whether t(x) is divided by its largest entry."""
    gap_tolerance: PositiveFloat = 3e-4
    r"""Duality gap at which an image's code is done, as a multiple of ||x||_2^2."""
    max_iterations: PositiveInt = 500
    """Most steps for a code; 200 in the authors' code."""
    derivative: Literal["implicit", "unrolled"] = "implicit"
    """Whether the derivative is that of the solution, or of ``max_iterations`` steps on the way to
    it, which are then all done: in more memory, by as much as there are steps."""
    images: PositiveInt = 400
    """Most training images that filters are learned from."""
    window: PositiveInt = 64
    """Height and width of the part of a larger image that filters are learned from."""
    passes: PositiveInt = 50
    """Passes over them."""

    def fit(self, x, y, *, model=None, rng=0):
        from advsparse.defenses._sparse_transformation import learned_filters

        return {"filters": learned_filters(self, x, seeded(rng))}

    def transformation(self, learned):
        from advsparse.defenses._sparse_transformation import SparseTransformation

        return SparseTransformation(self, learned["filters"])
