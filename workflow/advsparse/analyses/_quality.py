"""How near images are to what they were made of. Imports scikit-image: analyses import this when
they run."""

from __future__ import annotations

import numpy as np
from skimage.metrics import structural_similarity

WINDOW = 7
"""Side of the windows of the structural similarity: scikit-image's own."""


def psnr(clean: np.ndarray, found: np.ndarray, *, peak: float | None = None) -> np.ndarray:
    """10 log10(peak^2 / mse) for each image x of ``clean``, N x C x H x W, in dB: by default its
    own largest pixel is the peak (mitro2018). Infinite where nothing differs."""
    clean, found = (x.reshape(len(x), -1).astype(np.float64) for x in (clean, found))
    error = ((found - clean) ** 2).mean(1)
    with np.errstate(divide="ignore"):
        return 10 * np.log10((clean.max(1) if peak is None else peak) ** 2 / error)


def ssim(clean: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The structural similarity of each pair of images, N x C x H x W, of a data range of 1: the
    mean over uniform windows of 7 x 7 pixels and over channels (mitro2018)."""
    return np.array([
        structural_similarity(x, y, win_size=WINDOW, channel_axis=0, data_range=1.0)
        for x, y in zip(clean, found, strict=True)
    ])  # fmt: skip
