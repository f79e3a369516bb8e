"""The dictionary of filters as a linear map; what else is linear does without this module."""

from __future__ import annotations

from advsparse.coding._filter_map import FilterMap
from advsparse.lazy import torch


class Convolution(FilterMap):
    r"""The map of a convolutional dictionary with zero padding.

    .. math:: (D a)_c = \sum_k d_{k,c} * a_k

    Codes are K x H x W, signals C x H x W; the filters d, K x C x h x w with h and w odd, are laid
    around each position (which makes it a convolution, not a correlation), and what falls
    outside of the image is lost. An atom is a filter at a position.
    """

    def __init__(self, filters: torch.Tensor, image: tuple[int, int]) -> None:
        super().__init__(filters, image)
        height, width = filters.shape[2:]
        if height % 2 == 0 or width % 2 == 0:
            raise ValueError(f"filters must have odd sizes, got {height} x {width}")
        self.padding = (height // 2, width // 2)

    def forward(self, code):
        from advsparse.coding._convolutions import synthesis

        return synthesis(code, self.filters)

    def adjoint(self, signal):
        from advsparse.coding._convolutions import analysis

        return analysis(signal, self.filters)

    def norms(self):
        # The squares of a filter, summed over the part of it that lies within the image.
        inside = torch.ones(1, *self.signal_shape[1:]).to(self.like)
        energy = self.filters.square().sum(1, keepdim=True)
        return torch.nn.functional.conv2d(inside, energy, padding=self.padding).sqrt()

    def lipschitz(self):
        r"""The largest eigenvalue of D^T D for images on a torus that is larger by the padding.

        Padding and cropping shorten, so that D on the plane never exceeds it. On the torus the
        Fourier transform splits D^T D into a C x C matrix per frequency.
        """
        torus = [
            side + 2 * padding
            for side, padding in zip(self.signal_shape[1:], self.padding, strict=True)
        ]
        spectrum = torch.fft.rfft2(self.filters.double(), s=torus).flatten(2)  # K x C x frequencies
        product = torch.einsum("kcf,kdf->fcd", spectrum, spectrum.conj())
        return float(torch.linalg.eigvalsh(product)[:, -1].max().clamp(min=0)) * (1 + 1e-12)

    def columns(self, index):
        (_, height, width), (above, left) = self.signal_shape, self.padding
        kernel, position = index // (height * width), index % (height * width)
        # Onto a canvas with room for the filters that cross the image's edges.
        canvas = self.filters.new_zeros(
            len(index), self.signal_shape[0], height + 2 * above, width + 2 * left
        )
        rows = (position // width)[:, None] + torch.arange(2 * above + 1, device=index.device)
        across = (position % width)[:, None] + torch.arange(2 * left + 1, device=index.device)
        at = torch.arange(len(index), device=index.device)[:, None, None]
        # Indices around a slice put its channels last.
        canvas[at, :, rows[:, :, None], across[:, None, :]] = self.filters[kernel].movedim(1, 3)
        return canvas[:, :, above : above + height, left : left + width]

    def gram(self):
        r"""As :math:`\sum_q R_q^T (\sum_k d_k d_k^T) R_q`, where R_q cuts out the pixels that a
        filter at position q covers: in a few percent of the time."""
        filters = self.filters.flatten(1)
        at_one = filters.T @ filters
        pixels = torch.arange(1.0, self.size + 1, device=filters.device)  # 0 lies outside
        covered = torch.nn.functional.unfold(
            pixels.reshape(1, *self.signal_shape), self.filters.shape[2:], padding=self.padding
        )
        found = filters.new_zeros(self.size, self.size)
        for position in covered[0].T.long():
            inside = position.nonzero().flatten()
            at = position[inside] - 1
            found[at[:, None], at] += at_one[inside[:, None], inside]
        return found
