"""The convolution from many channels to few, and its adjoint, made fast on CPUs.

Torch's kernels compute sixteen channels at a time, of which an image has one or three: from 64
channels to three takes five times as long as back. Here the pixels of p x p blocks count as
channels too, of a convolution of stride p with larger filters, and are sorted into the image
afterwards. The sums are the same; they take a third of the time.
"""

from __future__ import annotations

import itertools

import torch
from torch.nn import functional
from torch.nn.grad import conv2d_weight

from advsparse.modes import as_autocast

_KERNEL = 16
"""Channels that torch's kernels compute at a time with AVX-512, twice those with AVX2."""


def synthesis(code: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """Images N x C x H x W of codes N x K x H x W: conv_transpose2d, padded to keep their size.

    ``filters`` are K x C x h x w, with h and w odd.
    """
    # Autocast would reach the products of the way there alone, and not those of the way back.
    return _Synthesis.apply(*as_autocast(code, filters))


def analysis(image: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """The adjoint of :func:`synthesis`: conv2d with zero padding."""
    return _Analysis.apply(*as_autocast(image, filters))


class _Synthesis(torch.autograd.Function):
    @staticmethod
    def forward(ctx, code, filters):
        ctx.save_for_backward(code, filters)
        return _in_blocks(code, filters)

    @staticmethod
    def backward(ctx, gradient):
        code, filters = ctx.saved_tensors
        by_code = analysis(gradient, filters) if ctx.needs_input_grad[0] else None
        by_filters = _by_filters(ctx, gradient, filters, code)
        return by_code, by_filters


class _Analysis(torch.autograd.Function):
    @staticmethod
    def forward(ctx, image, filters):
        ctx.save_for_backward(image, filters)
        return functional.conv2d(image, filters, padding=_padding(filters))

    @staticmethod
    def backward(ctx, gradient):
        image, filters = ctx.saved_tensors
        by_image = synthesis(gradient, filters) if ctx.needs_input_grad[0] else None
        return by_image, _by_filters(ctx, image, filters, gradient)


def _by_filters(ctx, image, filters, code):
    """The gradient of the inner product <code, analysis(image, filters)>, if it is needed."""
    if not ctx.needs_input_grad[1]:
        return None
    return conv2d_weight(image, filters.shape, code, padding=_padding(filters))


def _padding(filters: torch.Tensor) -> tuple[int, int]:
    return filters.shape[2] // 2, filters.shape[3] // 2


def _in_blocks(code: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    p = _block(code, filters)
    if p == 1:
        return functional.conv_transpose2d(code, filters, padding=_padding(filters))
    count, channels, height, width = filters.shape
    turned = filters.flip(2, 3).permute(1, 2, 3, 0)
    # One filter for each pixel of a block: the same, moved there.
    moved = filters.new_zeros(channels, p, p, height + p - 1, width + p - 1, count)
    for down, right in itertools.product(range(p), repeat=2):
        moved[:, down, right, down : down + height, right : right + width] = turned
    weight = moved.flatten(0, 2).permute(0, 3, 1, 2)
    blocks = functional.conv2d(code, weight, stride=p, padding=_padding(filters))
    return functional.pixel_shuffle(blocks, p)


def _block(code: torch.Tensor, filters: torch.Tensor) -> int:
    """The side of blocks that takes the fewest multiplications, those for nothing among them."""
    if code.device.type != "cpu" or code.dtype != torch.float32:
        return 1  # other kernels
    (channels, height, width), (down, right) = filters.shape[1:], code.shape[2:]

    def multiplications(p: int) -> float:
        computed = -(-channels * p * p // _KERNEL) * _KERNEL
        return computed / (p * p) * (height + p - 1) * (width + p - 1)

    return min((p for p in (1, 2, 4) if down % p == right % p == 0), key=multiplications)
