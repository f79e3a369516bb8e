"""Soft thresholding, as layers of a network need it."""

from __future__ import annotations

import torch


def shrink_(x: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    r"""Soft thresholding in place, :math:`\mathrm{sign}(x) \max(|x| - t, 0)`, differentiably.

    ``threshold`` must not be negative and has a single value, or the shape K x 1 x ... x 1 where
    ``x`` is N x K x ....
    """
    return _Shrink.apply(x, threshold)


class _Shrink(torch.autograd.Function):
    """Keeps the result alone, which the next layer keeps anyhow."""

    @staticmethod
    def forward(ctx, x, threshold):
        x -= x.clamp(-threshold, threshold)
        ctx.mark_dirty(x)
        ctx.save_for_backward(x, threshold)
        return x

    @staticmethod
    def backward(ctx, gradient):
        x, threshold = ctx.saved_tensors
        sign = x.sign()
        signed = gradient * sign
        by_threshold = None
        if ctx.needs_input_grad[1]:
            by_threshold = -signed.sum_to_size(threshold.shape)
        return signed.mul_(sign), by_threshold
