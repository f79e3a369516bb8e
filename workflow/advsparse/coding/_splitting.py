r"""ADMM for convolutional basis pursuit denoising, for many images at once.

With code z, its sparse copy y and scaled multipliers u (Wohlberg 2014):

.. math:: z \leftarrow \arg\min_z \tfrac12 \|x - D z\|^2 + \tfrac\rho2 \|z - y + u\|^2, \quad
          y \leftarrow S_{\lambda/\rho}(\tilde z + u), \quad u \leftarrow u + \tilde z - y,
          \qquad \tilde z = \alpha z + (1 - \alpha) y.

What is kept is q, :math:`\tilde z + u` over :math:`\lambda / \rho`: u is what is left of q when it
is clipped to [-1, 1], and y the rest. The first step is :math:`z = y - u + D^T w` with
:math:`(\rho + D D^T) w = x - D (y - u)`, where D D^T is C x C at each frequency and diagonal in a
basis of its own, in which signals are given here. Then :math:`\rho w = x - D z`, and D^T of that is
:math:`\rho (z - y + u)`: a dual point that costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from advsparse.coding._circular_map import (
    CircularConvolution,
    analysed,
    synthesised,
    transformed,
)
from advsparse.coding._fista import Minimised, dual_value
from advsparse.shapes import per_image

RELAXATION = 1.8
"""Over-relaxation alpha."""

CHECK = 5
"""Iterations between two looks at the duality gaps."""

_COARSE = 1e-5
"""Duality gap, as a multiple of ||x||^2, down to which float32 is as good as float64: where a
multiple of 3e-7 has been reached."""

_SURE = 0.95
"""Of the gap that is enough, that of float32, whose rounding could hide the rest."""

_BALANCE, _LARGEST = 1.2, 10.0
"""Quotients of the residuals below which rho stays, and the most it changes by at a time."""


@dataclass
class Step:
    """What a step is made of, for a state q."""

    u: torch.Tensor
    """q clipped."""
    ahead: torch.Tensor
    """D (y - u), a spectrum."""
    w: torch.Tensor
    """A spectrum as well."""
    d: torch.Tensor
    """z - y + u = D^T w."""


class Splitting:
    """The steps for one dictionary, in its precision."""

    def __init__(self, synthesis: CircularConvolution) -> None:
        dtype = synthesis.like.dtype
        values, vectors = torch.linalg.eigh(synthesis.to(torch.float64).product())
        self.map = synthesis
        self._basis = vectors.mH.to(synthesis.spectrum.dtype)
        self.eigenvalues = values.clamp(min=0).movedim(2, 0).contiguous().to(dtype)
        """C x frequencies."""
        self.spectrum = self._turned(synthesis.spectrum.transpose(0, 1)).transpose(0, 1)
        self.spectrum = self.spectrum.contiguous()
        self._conjugate = self.spectrum.conj().resolve_conj()
        height, width = synthesis.signal_shape[1:]
        # Frequencies that stand for two, of which the other is not kept.
        twice = torch.full((width // 2 + 1,), 2.0, dtype=dtype, device=values.device)
        twice[0] = 1
        if width % 2 == 0:
            twice[-1] = 1
        self._share = twice / (height * width)

    def signals(self, x: torch.Tensor) -> torch.Tensor:
        """Signals N x C x H x W as spectra, in the basis where D D^T is diagonal."""
        return self._turned(transformed(x))

    def _turned(self, spectrum: torch.Tensor) -> torch.Tensor:
        return torch.einsum("hwcd,ndhw->nchw", self._basis, spectrum)

    def synthesised(self, code: torch.Tensor) -> torch.Tensor:
        """D z as a spectrum."""
        return synthesised(transformed(code), self.spectrum)

    def product(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """The inner product of signals that are given as spectra."""
        real = a.real * b.real + a.imag * b.imag
        return (real * self._share).flatten(1).sum(1)

    def inverse(self, rho: torch.Tensor) -> torch.Tensor:
        """Of rho + D D^T, for each of N numbers rho."""
        return 1 / (self.eigenvalues + rho.reshape(-1, 1, 1, 1))

    def step(self, q: torch.Tensor, signal: torch.Tensor, inverse: torch.Tensor) -> Step:
        """What becomes of the state q, for a signal over lambda / rho."""
        u = q.clamp(-1, 1)
        ahead = self.synthesised(torch.sub(q, u, alpha=2))
        w = (signal - ahead) * inverse
        return Step(u, ahead, w, self.map.back(analysed(w, self._conjugate)))


def advanced(q: torch.Tensor, step: Step) -> torch.Tensor:
    """The state after a step, of which ``d`` is used up."""
    return torch.add(q, step.d.sub_(step.u), alpha=RELAXATION)


class Problem:
    """1/2 ||x - D z||^2 + weight ||z||_1 for the dictionary of a circular convolution."""

    def __init__(
        self, synthesis: CircularConvolution, rho: float, adaptive: bool, iterations: int
    ) -> None:
        exact = synthesis.to(torch.float64)
        self.fine, self.coarse = Splitting(exact), Splitting(exact.to(torch.float32))
        norm = float(exact.norms().square().mean().sqrt())
        self._rho, self._norm = rho, norm if norm > 0 else 1.0
        self.adaptive, self.iterations = adaptive, iterations

    def penalty(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """ADMM's rho for each of the signals ``x``, of which CBPDN.rho says what it is.

        Larger signals have larger codes, and ADMM is quick to tell whether entries are zero whose
        size is the weight over rho.
        """
        length = x.flatten(1).norm(dim=1) * self._norm
        one = self._rho * self._norm**2 * self.fine.map.size**0.5
        # What is shorter than the weight is not coded.
        return one * weight / torch.maximum(length, weight)

    def minimise(self, x: torch.Tensor, weight: torch.Tensor, enough: torch.Tensor) -> Minimised:
        """Codes of the signals ``x``, N x C x H x W, until the duality gap is at most ``enough``.

        ``weight`` and ``enough`` have shape N. float32 leads to where it is exact enough.
        """
        nothing = self.fine.map.adjoint(x).flatten(1).abs().amax(1) <= weight
        goal = torch.where(nothing, torch.inf, enough)  # zero is the code, whatever the gap
        some = _SURE * torch.maximum(goal, _COARSE * x.square().flatten(1).sum(1))
        single = x.float(), weight.float(), some.float()
        rho = self.penalty(*single[:2])
        first, q, rho = self._descend(self.coarse, *single, rho, None, None)
        spent = first.iterations
        state = q.to(x.dtype), rho.to(x.dtype)
        found, _, _ = self._descend(self.fine, x, weight, goal, state[1], state[0], spent)
        found.gap[nothing] = 0
        return found

    def _descend(
        self,
        splitting: Splitting,
        x: torch.Tensor,
        weight: torch.Tensor,
        enough: torch.Tensor,
        rho: torch.Tensor,
        q: torch.Tensor | None,
        spent: torch.Tensor | None,
    ) -> tuple[Minimised, torch.Tensor, torch.Tensor]:
        """Iterate in the precision of ``x``, from zero or the states ``q``; the states are
        returned too, with their rho."""
        shape = len(x), *splitting.map.code_shape
        q = x.new_zeros(shape) if q is None else q
        spent = torch.zeros_like(weight, dtype=torch.int64) if spent is None else spent
        found = Minimised(x.new_zeros(shape), x.square().flatten(1).sum(1), enough, spent.clone())
        found.gap = torch.full_like(weight, torch.inf)
        states, rhos = q.clone(), rho.clone()
        rows = torch.arange(len(x), device=x.device)
        signal, along = splitting.signals(x), splitting.synthesised(q)
        inverse, scaled = splitting.inverse(rho), signal * per_image(rho / weight, signal)
        for count in range(self.iterations + 1):
            step = splitting.step(q, scaled, inverse)
            last = spent + count >= self.iterations
            if count % CHECK == 0 or last.any():
                gap, energy = _gap(splitting, signal, weight, weight / rho, q, along, step)
                done = (gap <= enough) | last
                if done.any():
                    at = rows[done]
                    found.gap[at], found.energy[at] = gap[done], energy[done]
                    found.iterations[at] = spent[done] + count
                    unit = per_image(weight / rho, q)[done]
                    found.code[at] = (q[done] - step.u[done]) * unit
                    states[at], rhos[at] = q[done], rho[done]
                    left = ~done
                    if not left.any():
                        break
                    step = Step(step.u[left], step.ahead[left], step.w[left], step.d[left])
                    kept = rows, weight, enough, rho, q, spent, signal, along, inverse, scaled
                    rows, weight, enough, rho, q, spent, signal, along, inverse, scaled = (
                        values[left] for values in kept
                    )
            along = along + RELAXATION * (splitting.eigenvalues * step.w - (along - step.ahead) / 2)
            moved = advanced(q, step)
            if self.adaptive and count % (2 * CHECK) == CHECK:
                quotient = _balanced(q, moved, step)
                rho = rho * quotient
                rest = moved.clamp(-1, 1)
                moved = rest + (moved - rest) * per_image(quotient, q)
                along = splitting.synthesised(moved)
                inverse, scaled = splitting.inverse(rho), signal * per_image(rho / weight, signal)
            q = moved
        return found, states, rhos


def _gap(
    splitting: Splitting,
    signal: torch.Tensor,
    weight: torch.Tensor,
    unit: torch.Tensor,
    q: torch.Tensor,
    along: torch.Tensor,
    step: Step,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The duality gap of y, with the residual of z as the dual point, and ||x - D y||^2."""
    residual = signal - (along + step.ahead) * per_image(unit / 2, signal)
    energy = splitting.product(residual, residual)
    absolute = (q - step.u).flatten(1).abs().sum(1) * unit
    dual = step.w * per_image(weight, signal)
    most = 1 / step.d.flatten(1).abs().amax(1).clamp(min=torch.finfo(q.dtype).tiny)
    best = dual_value(splitting.product(dual, signal), splitting.product(dual, dual), most)
    return energy / 2 + weight * absolute - best, energy


def _balanced(q: torch.Tensor, moved: torch.Tensor, step: Step) -> torch.Tensor:
    """What rho is to be multiplied by, so that relative residuals of both constraints agree.

    ``step.d`` is d - u by now.
    """
    before, rest = q - step.u, moved.clamp(-1, 1)
    after = moved - rest
    tiny = torch.finfo(q.dtype).tiny

    def norm(values: torch.Tensor) -> torch.Tensor:
        return values.flatten(1).norm(dim=1)

    size = torch.maximum(norm(after), norm(before + step.d))
    primal, dual = norm(step.d) / size.clamp(min=tiny), norm(after - before)
    dual = dual / norm(rest).clamp(min=tiny)
    quotient = (primal.clamp(min=tiny) / dual.clamp(min=tiny)).sqrt()
    quotient = quotient.clamp(1 / _LARGEST, _LARGEST)
    unchanged = (quotient < _BALANCE) & (quotient > 1 / _BALANCE)
    return torch.where(unchanged, 1.0, quotient)
