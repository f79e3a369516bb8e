"""The distance to the nearest adversarial image, by bounds that assume there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from advsparse.certify._base import Certificate
from advsparse.settings import NonNegativeInt, PositiveFloat, PositiveInt, settings

if TYPE_CHECKING:
    import numpy as np

    from advsparse.certify._certified import Certified
    from advsparse.certify._network import ReluNetwork


@settings
class Nearest(Certificate):
    r"""Attacks for upper bounds, and proofs by branch and bound that nothing is nearer.

    Of an image x of the class c, the distance

    .. math:: d^* = \min_{a \in [0, 1]^P} \|a - x\| \;\text{s.t.}\;
              \max_{t} f_t(a) - f_c(a) \ge \alpha

    lies between the bounds, over one other class t or all of them. For each class an attack finds a
    near image; then within (1 - gap) of the nearest one the margin f_t - f_c is bounded by lines
    (Zhang et al. 2018; Wang et al. 2021), with bounds of the hidden units that hold wherever the
    margin is at least alpha,

    .. math:: h_j \le \min_{\lambda \ge 0} \max_{a} \; (w_j + \lambda c) \cdot a + b_j
              + \lambda (k - \alpha) \quad\text{for}\quad f_t - f_c \le c \cdot a + k,

    tightened in turns until the margin is below alpha, or what is left is divided by a unit on or
    off. An image that turns up on the way is a better upper bound, and the search begins anew
    within it. Where time does not suffice for the whole distance, smaller ones are proven, one
    after the other. Proofs are replayed with rounding outwards before they count.

    For networks of ReLUs in which maxima are taken (pooling) a mixed-integer program (HiGHS) takes
    the place of the bounds, whose word is not replayed.

    Source: canu2021, problem (2), by other means than its program.
    """

    ragged = ("event_seconds", "event_lower", "event_upper", "proof_integers", "proof_reals")
    whole = True

    targets: Literal["all", "second"] = "all"
    """Which classes count as adversarial: all but the image's, or its second most probable one
    alone, whose certificate says nothing of the others."""
    target: NonNegativeInt | None = None
    """The one class that counts as adversarial, by its number, whatever ``targets`` says; an image
    that is of that class already is its own, at distance 0."""
    gap: PositiveFloat = 1e-5
    """Relative gap between the bounds at which the distance counts as found. In l0, whose distances
    are whole numbers, it is found where they are equal."""
    nodes: PositiveInt = 20_000
    """Parts of one question that are looked at before it is given up."""

    def certify(self, network: ReluNetwork, x: np.ndarray, seed: int = 0) -> Certified:
        """Bounds for the image ``x``, a vector of P pixels in [0, 1]."""
        from advsparse.certify._search import search
        from advsparse.errors import CertificateError

        if self.target is not None and self.target >= network.classes:
            raise CertificateError(
                f"target: there is no class {self.target}, the network has {network.classes}"
            )
        return search(self, network, x, seed)

    def row(self, network, x, seed=0):
        return self.certify(network, x, seed).arrays()
