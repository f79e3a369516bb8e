"""Soft thresholding and the structural similarity, and the convolution in blocks."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity
from torch.nn import functional

from advsparse.coding._convolutions import _block, analysis, synthesis
from advsparse.coding._shrinkage import shrink_
from advsparse.coding._ssim import ssim


def drawn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


THRESHOLDS = {
    "single": torch.tensor(0.4, dtype=torch.float64),
    "by filter": torch.tensor([0.1, 0.3, 2.0], dtype=torch.float64).reshape(3, 1, 1),
}
every_threshold = pytest.mark.parametrize("threshold", THRESHOLDS.values(), ids=THRESHOLDS)


@every_threshold
def test_shrinkage_is_that_of_torch(threshold):
    x = drawn(4, 3, 5, 5)
    shrunk = shrink_(x.clone(), threshold)
    for k, t in enumerate(threshold.expand(3, 1, 1).flatten().tolist()):
        torch.testing.assert_close(shrunk[:, k], functional.softshrink(x[:, k], t))


@every_threshold
def test_gradients_of_shrinkage(threshold):
    x = drawn(2, 3, 2, 2).requires_grad_()
    threshold = threshold.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, t: shrink_(x * 1, t), (x, threshold))


def test_threshold_of_zero_changes_nothing():
    x = drawn(2, 3, 4, 4)
    assert torch.equal(shrink_(x.clone(), torch.tensor(0.0)), x)


def test_shrinkage_works_in_place():
    x = drawn(2, 3, 4, 4)
    assert shrink_(x, torch.tensor(0.5)).data_ptr() == x.data_ptr()


def alike(channels):
    """Two images of four, the second a noisy copy of the first."""
    rng = np.random.default_rng(0)
    x, noise = rng.random((2, 4, channels, 16, 14))
    return x, np.clip(x + 0.3 * (noise - 0.5), 0, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_similarity_is_that_of_skimage(channels):
    x, y = alike(channels)
    found = ssim(torch.from_numpy(x), torch.from_numpy(y), window=11)  # skimage has no other
    for one, other, value in zip(x, y, found.tolist(), strict=True):
        expected = structural_similarity(
            one,
            other,
            data_range=1,
            channel_axis=0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert value == pytest.approx(expected, abs=1e-10)


def test_windows_are_those_of_scipy():
    (x, *_), (y, *_) = alike(1)

    def mean(image):
        return gaussian_filter(image, 1.5, radius=1, axes=(1, 2))[:, 1:-1, 1:-1]

    def covariance(one, other):
        return mean(one * other) - mean(one) * mean(other)

    contrast = (2 * covariance(x, y) + 0.03**2) / (covariance(x, x) + covariance(y, y) + 0.03**2)
    light = (2 * mean(x) * mean(y) + 0.01**2) / (mean(x) ** 2 + mean(y) ** 2 + 0.01**2)
    found = ssim(torch.from_numpy(x[None]), torch.from_numpy(y[None]), window=3)
    assert float(found) == pytest.approx((light * contrast).mean(), abs=1e-10)


def test_equal_images_are_most_similar():
    x = drawn(2, 3, 8, 8).sigmoid().requires_grad_()
    similarity = ssim(x, x.detach(), window=3)
    torch.testing.assert_close(similarity, torch.ones(2, dtype=torch.float64))
    similarity.sum().backward()
    assert x.grad.abs().max() < 1e-12


def test_negative_of_an_image_is_least_similar():
    x = drawn(2, 3, 8, 8).sigmoid()
    for factor in (-1, -0.5, -2):
        assert (ssim(x, factor * x, window=3) < -0.1).all()
    # The way back goes up: a step along the gradient leads towards the image.
    y = (-x).requires_grad_()
    ssim(x, y, window=3).sum().backward()
    assert (y.grad * x).sum() > 0


# The side of blocks is that which these sizes lead to, so that each is tested.
@pytest.mark.parametrize(
    ("channels", "image", "block"),
    [(3, (8, 12), 2), (1, (8, 8), 4), (3, (7, 8), 1), (16, (8, 8), 1)],
)
@pytest.mark.parametrize("size", [(7, 7), (3, 5)])
def test_convolution_in_blocks_is_that_of_torch(channels, image, block, size):
    code, filters = drawn(2, 16, *image), drawn(16, channels, *size, seed=1)
    padding = size[0] // 2, size[1] // 2
    expected = functional.conv_transpose2d(code, filters, padding=padding)
    if size == (7, 7):
        assert _block(code.float(), filters.float()) == block
    found = synthesis(code.float(), filters.float())
    torch.testing.assert_close(found, expected.float(), rtol=0, atol=1e-4)
    torch.testing.assert_close(synthesis(code, filters), expected)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("ours", [True, False])
def test_gradients_of_the_convolutions_are_those_of_torch(ours, layout):
    code, image = drawn(2, 16, 8, 8).float(), drawn(2, 3, 8, 8, seed=1).float()
    filters = drawn(16, 3, 5, 5, seed=2).float()
    pairs = {
        synthesis: (lambda a, f: functional.conv_transpose2d(a, f, padding=2), code, image),
        analysis: (lambda x, f: functional.conv2d(x, f, padding=2), image, code),
    }
    for function, (expected, given, weights) in pairs.items():
        gradients = []
        for each in (function, expected):
            inputs = [t.contiguous(memory_format=layout).requires_grad_() for t in (given, filters)]
            gradients.append(torch.autograd.grad((each(*inputs) * weights).sum(), inputs))
        for one, other in zip(*gradients, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_second_derivatives_of_the_convolutions():
    code = drawn(1, 2, 4, 4).requires_grad_()
    filters = drawn(2, 1, 3, 3, seed=1).requires_grad_()
    assert torch.autograd.gradgradcheck(synthesis, (code, filters))
    image = drawn(1, 1, 4, 4, seed=2).requires_grad_()
    assert torch.autograd.gradgradcheck(analysis, (image, filters))


def test_autocast_leaves_convolutions_in_float64_alone():
    code, filters = drawn(2, 16, 8, 8), drawn(16, 3, 5, 5, seed=1)
    expected = synthesis(code, filters)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(synthesis(code, filters), expected)
        assert synthesis(code.float(), filters.float()).dtype == torch.bfloat16
