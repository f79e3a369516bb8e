"""What dictionaries of filters have in common, however these are laid on images."""

from __future__ import annotations

from typing import Self

from advsparse.arguments import check_tensor
from advsparse.coding._maps import LinearMap
from advsparse.lazy import torch


class FilterMap(LinearMap):
    """A map from codes K x H x W to signals C x H x W by filters, K x C x h x w."""

    def __init__(self, filters: torch.Tensor, image: tuple[int, int]) -> None:
        check_tensor("filters", filters)
        if filters.ndim != 4 or filters.is_complex():
            raise ValueError(
                f"filters: expected real numbers K x C x h x w, got {filters.dtype} of shape "
                f"{tuple(filters.shape)}"
            )
        self.filters = filters
        self.code_shape = (filters.shape[0], *image)
        self.signal_shape = (filters.shape[1], *image)

    @property
    def like(self):
        return self.filters

    def to(self, dtype):
        return self._of(self.filters.to(dtype))

    def over(self, unit):
        return self._of(self.filters / unit)

    def largest(self):
        return self.filters.abs().amax()

    def _of(self, filters: torch.Tensor) -> Self:
        """The map of other filters."""
        return type(self)(filters, (self.signal_shape[1], self.signal_shape[2]))
