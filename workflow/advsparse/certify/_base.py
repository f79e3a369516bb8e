"""What every certificate gets, and what it must give."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from advsparse.settings import PositiveFloat, settings

if TYPE_CHECKING:
    import numpy as np

    from advsparse.certify._network import ReluNetwork


@settings
class Certificate(ABC):
    """The settings of a certificate: what can be known for sure of one image after the other."""

    ragged: ClassVar[tuple[str, ...]] = ()
    """Arrays of which an image has any number; the others have one row for each."""
    whole: ClassVar[bool] = False
    """Whether an artifact holds all that it takes to check it without the network's classifier."""

    norm: Literal["linf", "l2", "l1", "l0"] = "linf"
    """The norm of distances."""
    confidence: PositiveFloat = 1e-4
    """alpha, by which the other class must win: above the rounding of the network in float32."""
    seconds: PositiveFloat = 60.0
    """Time for an image, at the end of which its bounds are what they are."""

    @abstractmethod
    def row(self, network: ReluNetwork, x: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
        """The arrays of the image ``x``, a vector of P pixels in [0, 1]: a row each, 1 x ..., or of
        ``ragged`` ones any number of entries. ``prediction`` is the class that the network gives
        it, ``seconds`` the time it took."""
