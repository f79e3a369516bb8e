r"""The passes of filter learning. Imports torch: learning imports this when it starts.

With codes y the filters minimise a quadratic function, of whose coefficients there are few however
large images are: :math:`R_{jk}(l) = \sum_t y_j(t) y_k(t + l)` for shifts l within a filter, and
:math:`B_k(p) = \sum_t y_k(t) x(t + p)` for places p in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from advsparse.coding import _solving
from advsparse.coding._circular_map import CircularConvolution, transformed
from advsparse.coding._splitting import Splitting, advanced

_TOGETHER = 16
"""Images whose codes are correlated at a time."""


@dataclass(frozen=True)
class LearnedFilters:
    """Filters, and how they were learned."""

    filters: torch.Tensor
    """K x C x h x w, each of norm 1."""
    objective: torch.Tensor
    """The objective per image after each pass, with the codes as they were then; float64."""
    held_out: torch.Tensor | None
    """The objective per image of images that were held out, solved in the end, if there are any."""


class Fit:
    """1/2 sum_n ||x_n - D y_n||^2 as a function of the filters, for codes that are added to it."""

    def __init__(self, filters: torch.Tensor, image: tuple[int, int]) -> None:
        count, channels, *self.size = filters.shape
        self.image = image
        shape = image[0] * (image[1] // 2 + 1), count, count + channels
        self._products = filters.new_zeros(shape, dtype=torch.complex64)
        """Of codes with codes, and then with channels, at each frequency."""
        self.energy = 0.0
        """Half the squared norms of the signals."""

    def fade(self, kept: float) -> None:
        """Let what was added so far count less."""
        self._products *= kept
        self.energy *= kept

    def add(self, code: torch.Tensor, x: torch.Tensor) -> None:
        """Add codes N x K x H x W of the images ``x``, N x C x H x W."""
        for codes, images in zip(code.split(_TOGETHER), x.split(_TOGETHER), strict=True):
            # One product for each frequency, which comes first in memory: a transposed matrix.
            spectra = transformed(torch.cat([codes, images], dim=1)).flatten(0, 1).flatten(1)
            spectra = spectra.T.contiguous().unflatten(1, (len(codes), -1))
            self._products.baddbmm_(spectra[:, :, : codes.shape[1]].mH, spectra)
            self.energy += float(images.square().sum(dtype=torch.float64)) / 2

    def bounds(self) -> torch.Tensor:
        """Lipschitz constants of the derivatives by one filter each."""
        return self._products.diagonal(dim1=1, dim2=2).real.amax(0)

    def settled(self) -> Quadratic:
        """The function of what was added so far."""
        (high, wide), (height, width), device = self.size, self.image, self._products.device
        products = self._back(self._products)
        count = len(products)
        places = [
            torch.arange(side, device=device) % image
            for side, image in ((high, height), (wide, width))
        ]
        both = products[:, count:, places[0][:, None], places[1]]
        # conv2d goes up where a convolution goes down.
        shifts = [
            torch.arange(side - 1, -side, -1, device=device) % image
            for side, image in ((high, height), (wide, width))
        ]
        codes = products[:, :count, shifts[0][:, None], shifts[1]]
        return Quadratic(codes.contiguous(), both.contiguous(), self.energy)

    def _back(self, spectrum: torch.Tensor) -> torch.Tensor:
        spectrum = spectrum.permute(1, 2, 0).unflatten(2, (self.image[0], -1))
        return torch.fft.irfft2(spectrum, s=self.image)


@dataclass(frozen=True)
class Quadratic:
    """energy - <B, d> + 1/2 <d, R d> as a function of filters d."""

    codes: torch.Tensor
    """R, K x K x (2 h - 1) x (2 w - 1), from the last shift to the first."""
    both: torch.Tensor
    """B, K x C x h x w."""
    energy: float

    def product(self, d: torch.Tensor) -> torch.Tensor:
        """R d."""
        room = d.shape[2] - 1, d.shape[3] - 1
        return functional.conv2d(d.transpose(0, 1), self.codes, padding=room).transpose(0, 1)

    def product_of(self, k: int, d: torch.Tensor) -> torch.Tensor:
        """R d for filters that are 0 but for the one with number k."""
        room = d.shape[2] - 1, d.shape[3] - 1
        own = self.codes[:, k : k + 1]
        return functional.conv2d(d.transpose(0, 1), own, padding=room).transpose(0, 1)

    def value(self, d: torch.Tensor) -> float:
        """The function's value."""
        rest = (self.product(d) / 2 - self.both) * d
        return self.energy + float(rest.sum(dtype=torch.float64))


class Learning:
    """Filters while they are learned."""

    def __init__(self, settings, x: torch.Tensor, rng) -> None:
        self.settings, self.x = settings, x
        self.image = x.shape[2], x.shape[3]
        self._drawn = rng.generator("filters")
        self._batches = rng.generator("batches")
        self.filters = self._normalised(self._draw(settings.filters))
        self.objectives: list[float] = []
        self._fit = Fit(self.filters, self.image)
        self._seen = 0
        if settings.batch_size is None:
            shape = len(x), settings.filters, *self.image
            self._states = x.new_zeros(shape)

    def batch(self) -> None:
        """One step of ADMM for all images, then the filters that fit their codes better."""
        splitting = self._splitting()
        self._fit.fade(0)
        total = 0.0
        for x, states in zip(self.x.split(_TOGETHER), self._states.split(_TOGETHER), strict=True):
            code = self._advance(splitting, x, states, 1)
            total += float(code.abs().sum(dtype=torch.float64))
            self._fit.add(code, x)
        quadratic = self._improve()
        self._note(quadratic.value(self.filters) + self.settings.weight * total, len(self.x))

    def online(self) -> None:
        """Each mini-batch is coded anew, and all that was seen tells the filters."""
        size, total = self.settings.batch_size, 0.0
        order = torch.randperm(len(self.x), generator=self._batches)
        for rows in order.split(size):
            x, splitting = self.x[rows.to(self.x.device)], self._splitting()
            self._seen += 1
            # As many signals as the past counts for, by section 3.4 of Mairal et al.
            t = self._seen
            past = t * size if t < size else size**2 + t - size
            self._fit.fade((past + 1 - size) / (past + 1))
            for part in x.split(_TOGETHER):
                states = part.new_zeros(len(part), *splitting.map.code_shape)
                code = self._advance(splitting, part, states, self.settings.code_steps)
                left = part - splitting.map.forward(code)
                total += float(left.square().sum(dtype=torch.float64)) / 2
                total += self.settings.weight * float(code.abs().sum(dtype=torch.float64))
                self._fit.add(code, part)
            self._improve()
        self._note(total, len(self.x))

    def finished(self) -> torch.Tensor:
        """The filters, of norm 1: others are drawn anew where one has vanished."""
        norms = self.filters.flatten(1).norm(dim=1)
        gone = norms < torch.finfo(self.filters.dtype).eps
        filters = self.filters.clone()
        filters[gone] = self._normalised(self._draw(int(gone.sum())))
        return self._normalised(filters)

    def _advance(
        self, splitting: Splitting, x: torch.Tensor, states: torch.Tensor, steps: int
    ) -> torch.Tensor:
        """Take so many steps of ADMM, which change the states, and return the codes in them."""
        at_once = max(1, _solving.WORKING_SET // (8 * 8 * splitting.map.atoms))
        inverse = splitting.inverse(x.new_full((1,), self.settings.rho))
        unit, codes = self.settings.weight / self.settings.rho, torch.empty_like(states)
        parts = (values.split(at_once) for values in (x, states, codes))
        for images, state, code in zip(*parts, strict=True):
            signal, q = splitting.signals(images) / unit, state
            for _ in range(steps):
                q = advanced(q, splitting.step(q, signal, inverse))
            code.copy_((q - q.clamp(-1, 1)) * unit)
            state.copy_(q)
        return codes

    def _improve(self) -> Quadratic:
        """One filter after the other by a projected gradient step of its own size."""
        quadratic, filters = self._fit.settled(), self.filters.clone()
        bounds = self._fit.bounds().tolist()
        slope = quadratic.product(filters) - quadratic.both
        for _ in range(self.settings.sweeps):
            for k, bound in enumerate(bounds):
                if bound <= 0:  # no code uses it
                    continue
                new = self._allowed(filters[k : k + 1] - slope[k : k + 1] / bound)
                slope += quadratic.product_of(k, new - filters[k : k + 1])
                filters[k] = new[0]
        self.filters = filters
        return quadratic

    def _allowed(self, filters: torch.Tensor) -> torch.Tensor:
        """The nearest filters of norm 1 at most and, if asked for, mean 0."""
        if self.settings.zero_mean:
            filters = filters - filters.mean((2, 3), keepdim=True)
        return filters / filters.flatten(1).norm(dim=1).clamp(min=1)[:, None, None, None]

    def _normalised(self, filters: torch.Tensor) -> torch.Tensor:
        return filters / filters.flatten(1).norm(dim=1)[:, None, None, None]

    def _draw(self, count: int) -> torch.Tensor:
        size, channels = self.settings.size, self.x.shape[1]
        drawn = torch.randn(count, channels, size, size, generator=self._drawn).to(self.x)
        return drawn - drawn.mean((2, 3), keepdim=True) if self.settings.zero_mean else drawn

    def _splitting(self) -> Splitting:
        return Splitting(CircularConvolution(self.filters, self.image))

    def _note(self, objective: float, count: int) -> None:
        self.objectives.append(objective / count)
