"""The dictionary of filters on images that go on periodically, by Fourier transforms."""

from __future__ import annotations

from functools import cached_property

from advsparse.coding._filter_map import FilterMap
from advsparse.lazy import torch


class CircularConvolution(FilterMap):
    r"""The map of a convolutional dictionary on a torus.

    .. math:: (D a)_c = \sum_k d_{k,c} \circledast a_k

    Codes are K x H x W, signals C x H x W; the filters d, K x C x h x w of any size, are laid down
    with their upper left corner at each position. What falls outside of the image comes in again on
    the other side. An atom is a filter at a position.

    Filters are transformed once: a map whose filters are changed afterwards is another map.
    """

    def forward(self, code):
        return self.back(synthesised(transformed(code), self.spectrum))

    def adjoint(self, signal):
        return self.back(analysed(transformed(signal), self.conjugate))

    def back(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Real numbers N x ... x H x W of the half of their spectrum that is kept."""
        if not len(spectrum):  # which is refused
            return spectrum.real.new_zeros(*spectrum.shape[:-2], *self.signal_shape[1:])
        return torch.fft.irfft2(spectrum, s=self.signal_shape[1:])

    @property
    def laid_down(self) -> torch.Tensor:
        """The atoms at the upper left corner of the image, K x C x H x W."""
        filters = self.filters
        for axis, side in ((2, self.signal_shape[1]), (3, self.signal_shape[2])):
            times = -(-filters.shape[axis] // side)
            room = [0, 0] * (3 - axis) + [0, times * side - filters.shape[axis]]
            padded = torch.nn.functional.pad(filters, room)
            # A filter that is larger than the image meets itself.
            filters = padded.unflatten(axis, (times, side)).sum(axis)
        return filters

    @cached_property
    def spectrum(self) -> torch.Tensor:
        """Of the atoms at the upper left corner: channel by channel, C x K x frequencies."""
        return torch.fft.rfft2(self.laid_down).transpose(0, 1).contiguous()

    @cached_property
    def conjugate(self) -> torch.Tensor:
        """Of the spectrum, laid out for products."""
        return self.spectrum.conj().resolve_conj()

    def norms(self):
        norms = self.laid_down.flatten(1).norm(dim=1)
        return norms[:, None, None].expand(self.code_shape).contiguous()

    def product(self) -> torch.Tensor:
        """D D^T, which is C x C at each frequency: H x (W / 2 + 1) x C x C."""
        return torch.einsum("ckhw,dkhw->hwcd", self.spectrum, self.spectrum.conj())

    def lipschitz(self):
        """The largest eigenvalue of D^T D, which the Fourier transform tells exactly."""
        eigenvalues = torch.linalg.eigvalsh(self.to(torch.float64).product())
        return float(eigenvalues[..., -1].max().clamp(min=0)) * (1 + 1e-12)

    def columns(self, index):
        (channels, height, width), atoms = self.signal_shape, self.laid_down
        kernel, position = index // (height * width), index % (height * width)
        down, across = (
            (torch.arange(side, device=index.device) - start[:, None]) % side
            for side, start in ((height, position // width), (width, position % width))
        )
        channel = torch.arange(channels, device=index.device)[:, None, None]
        where = kernel[:, None, None, None], channel, down[:, None, :, None], across[:, None, None]
        return atoms[where]


def transformed(x: torch.Tensor) -> torch.Tensor:
    """The half of the spectrum of images N x ... x H x W that says all."""
    if not len(x):  # which is refused
        return x[..., : x.shape[-1] // 2 + 1] + 0j
    return torch.fft.rfft2(x)


def synthesised(code: torch.Tensor, spectrum: torch.Tensor) -> torch.Tensor:
    """The product of codes, N x K x frequencies, with filters, C x K x frequencies."""
    # Products of a channel, then their sum: einsum takes three times as long.
    return torch.stack([(code * channel).sum(1) for channel in spectrum], dim=1)


def analysed(signal: torch.Tensor, conjugate: torch.Tensor) -> torch.Tensor:
    """The adjoint of :func:`synthesised`, given the conjugate of its filters."""
    found = signal[:, :1] * conjugate[0]
    for number, channel in enumerate(conjugate[1:], start=1):
        found.addcmul_(signal[:, number : number + 1], channel)
    return found
