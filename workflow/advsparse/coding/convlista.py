"""ConvLISTA, which learns a convolutional dictionary and how to code in it."""

from __future__ import annotations

from dataclasses import asdict

from advsparse.coding._base import LearnedCoder
from advsparse.settings import NonNegativeFloat, NonNegativeInt, PositiveInt, settings


@settings
class ConvLISTA(LearnedCoder):
    r"""Unrolled iterations with shared convolutions, and a convolutional dictionary D.

    .. math::
        a_0 = S_\theta(A x), \quad
        a_{k+1} = S_\theta(a_k + A (x - B a_k)), \quad k = 0, \dots, K - 1, \quad
        \hat x = D a_K

    where A and B are convolutions between images x, C x H x W, and codes, ``filters`` x H x W, and
    S soft-thresholds by one number of :math:`\theta` for each filter, a negative one acting as 0.
    Trained on images alone by 0.8 (1 - SSIM) + 0.2 times the mean absolute error between x and
    :math:`\hat x`. D is not in the way from x to its code.

    Source: Sreter and Giryes 2018; weitzner2023's supplement and its authors' code.
    """

    filters: PositiveInt = 64
    """Filters of the dictionary."""
    size: PositiveInt = 7
    """Height and width of a filter in pixels; odd."""
    iterations: NonNegativeInt = 3
    """The number K of iterations after the first code."""
    threshold: NonNegativeFloat = 0.1
    """The thresholds that training starts from."""
    ssim_weight: NonNegativeFloat = 0.8
    """Weight of one minus the structural similarity."""
    l1_weight: NonNegativeFloat = 0.2
    """Weight of the mean absolute error."""
    ssim_window: PositiveInt = 3
    """Height and width of the structural similarity's windows in pixels; odd."""

    def __post_init__(self) -> None:
        for name in ("size", "ssim_window"):
            if getattr(self, name) % 2 == 0:
                raise ValueError(f"{name} must be odd, got {getattr(self, name)}")

    def network(self, shape, dictionary):
        from advsparse.coding._convlista import ConvLISTANetwork

        if dictionary is not None:
            raise ValueError("convlista learns its dictionary: it can't be given one")
        if len(shape) != 3 or min(shape[1:]) < self.ssim_window:
            raise ValueError(
                f"convlista codes images C x H x W of at least {self.ssim_window} pixels a side, "
                f"not signals of shape {shape}"
            )
        return ConvLISTANetwork(shape, **asdict(self))
