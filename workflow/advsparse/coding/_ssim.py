"""The structural similarity of images (Wang et al. 2004)."""

from __future__ import annotations

import torch
from torch.nn import functional

from advsparse.modes import exactly

_SIGMA, _K1, _K2 = 1.5, 0.01, 0.03
"""The deviation of the Gaussian window in pixels, and the constants, all as in the source."""


def ssim(x: torch.Tensor, y: torch.Tensor, window: int) -> torch.Tensor:
    r"""The single-scale similarity of each image of ``x`` with that of ``y``, of shape N.

    .. math::
        \frac{2 \mu_x \mu_y + c_1}{\mu_x^2 + \mu_y^2 + c_1}
        \frac{2 \sigma_{xy} + c_2}{\sigma_x^2 + \sigma_y^2 + c_2},
        \quad c_1 = 0.01^2, c_2 = 0.03^2

    from means, variances and the covariance in Gaussian windows of ``window`` x ``window`` pixels,
    averaged over channels and over the windows that lie within the image. Images are
    N x C x H x W with values in [0, 1].

    Reconstructions ``y`` may have values outside. Both factors of an image's negative are -1, and
    their product says that nothing is as similar as it; networks do learn it. Where the first
    factor is negative, which it is for no two images, the second one counts by its absolute value.
    """
    with exactly():  # the variances are small differences
        y = y.to(x)
        moments = torch.cat([x, y, x * x, y * y, x * y]).flatten(0, 1).unsqueeze(1)
        moments = functional.conv2d(moments, _gaussian(window).to(x))
    moments = moments.unflatten(0, (5, *x.shape[:2]))
    mean_x, mean_y, square_x, square_y, product = moments.squeeze(3)
    means, products = mean_x * mean_y, mean_x.square() + mean_y.square()
    c1, c2 = _K1**2, _K2**2
    luminance = (2 * means + c1) / (products + c1)
    structure = (2 * (product - means) + c2) / (square_x + square_y - products + c2)
    structure = torch.where(luminance < 0, structure.abs(), structure)
    return (luminance * structure).mean((1, 2, 3))


def _gaussian(window: int) -> torch.Tensor:
    """The weights of a window, 1 x 1 x window x window, of sum 1."""
    offsets = torch.arange(window, dtype=torch.float64) - (window - 1) / 2
    weights = (-offsets.square() / (2 * _SIGMA**2)).exp()
    weights /= weights.sum()
    return torch.outer(weights, weights)[None, None]
