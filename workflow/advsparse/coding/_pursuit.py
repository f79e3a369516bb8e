r"""Batch-OMP: orthogonal matching pursuit of many signals at once.

With D_I the normalised atoms chosen for a signal and G = D_I^T D_I = L L^T, the rows of M = L^-1
make the columns of Q = D_I M^T orthonormal. An atom that joins adds a row m to M, hence a
direction q = D_I m: what is left of the atom once its part in the span of the others is taken off.
The residual loses <q, x> q, and the coefficients gain <q, x> m; no system is ever solved.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import torch
from torch.nn import functional

from advsparse.coding._maps import LinearMap, Matrix
from advsparse.coding._solving import Flat

GRAM = 2048
"""Atoms up to which a matrix has the products of all atoms kept; residuals are not formed then."""

ROUNDING = 1e-12
"""Of the signal's norm, a correlation as small is zero; and so is this squared distance of a
normalised atom from the span of those chosen."""

TINY = 1e-140
"""Norms below which the squares of entries have too few digits left in float64, or none."""

_CLOSE = 1e-6
"""Squared distance of a normalised atom from another one below which their coefficients are
refined: they lose more than half of float64's digits."""

ROOM = 64
"""Atoms per signal that there is room for at first; it is doubled when needed."""


class Dictionary:
    """The normalised atoms of a map, and how a pursuit keeps track of the residuals r: as such."""

    def __init__(self, synthesis: LinearMap) -> None:
        self.synthesis = Flat(synthesis)
        norms = _norms(self.synthesis.map)
        self.scale = torch.where(norms > 0, 1 / norms, 0.0)  # atoms of zeros are never chosen
        self.stored = synthesis.size
        """Numbers kept for an atom that has been chosen."""

    def need(self, limit: int) -> int:
        """Bytes that the pursuit takes for a signal, of up to ``limit`` atoms or ``ROOM``."""
        room = min(limit, ROOM)
        return 8 * (room * (self.stored + room) + 4 * self.synthesis.atoms)

    def correlations(self, signals: torch.Tensor) -> torch.Tensor:
        """D^T r for signals r, N x atoms."""
        return self.synthesis.adjoint(signals) * self.scale

    def track(self, x: torch.Tensor) -> torch.Tensor:
        """The track, to be written to, where the residuals are the signals ``x``."""
        return x.clone()

    def tracked(self, track: torch.Tensor) -> torch.Tensor:
        """D^T r, N x atoms."""
        return self.correlations(track)

    def atoms(self, index: torch.Tensor) -> torch.Tensor:
        """What is kept of atoms, N x ``stored``."""
        return self.synthesis.map.columns(index).flatten(1) * self.scale[index, None]

    def products(
        self, index: torch.Tensor, chosen: torch.Tensor, atoms: torch.Tensor
    ) -> torch.Tensor:
        """Products of an atom of each signal with those ``chosen``, N x k, kept as ``atoms``."""
        return (atoms @ self.atoms(index)[:, :, None])[:, :, 0]

    def step(
        self, weights: torch.Tensor, chosen: torch.Tensor, atoms: torch.Tensor
    ) -> torch.Tensor:
        """The track of the sums of the chosen atoms with ``weights``, N x k."""
        return (weights[:, None] @ atoms)[:, 0]


class GramDictionary(Dictionary):
    """The normalised atoms of a matrix and all their products; D^T r is what is kept track of."""

    def __init__(self, synthesis: Matrix) -> None:
        super().__init__(synthesis)
        self.normalised = self.synthesis.map.matrix * self.scale
        """The normalised atoms, m x n."""
        self.stored = 0

    @cached_property
    def gram(self) -> torch.Tensor:
        """The products of all atoms, n x n; a single atom asks for none."""
        return self.normalised.T @ self.normalised

    def correlations(self, signals):
        return signals @ self.normalised

    def track(self, x):
        return self.correlations(x)

    def tracked(self, track):
        return track

    def atoms(self, index):
        return self.normalised.new_empty(len(index), 0)

    def products(self, index, chosen, atoms):
        return self.gram[index[:, None], chosen]

    def step(self, weights, chosen, atoms):
        # The sum of rows without a copy of them: the Gram matrix stays in the processor's cache.
        return functional.embedding_bag(chosen, self.gram, per_sample_weights=weights, mode="sum")


def dictionary_of(synthesis: LinearMap) -> Dictionary:
    """The one that is faster for the map."""
    small = isinstance(synthesis, Matrix) and synthesis.atoms <= GRAM
    return GramDictionary(synthesis) if small else Dictionary(synthesis)


def _norms(synthesis: LinearMap) -> torch.Tensor:
    """The norms of the atoms, n; of the tiniest too, the squares of whose entries vanish."""
    norms = synthesis.norms().flatten()
    tiny = (norms < TINY).nonzero().flatten()
    if len(tiny):
        atoms = synthesis.columns(tiny).flatten(1)
        least = torch.finfo(atoms.dtype).tiny
        largest = atoms.abs().amax(1)
        found = largest * (atoms / largest.clamp(min=least)[:, None]).norm(dim=1)
        # Of those below, the inverse may overflow: they count as zero.
        norms[tiny] = torch.where(found >= least, found, 0.0)
    return norms


class Pursued(NamedTuple):
    """What a pursuit has found for each of N signals."""

    code: torch.Tensor
    """N x atoms, float64."""
    chosen: torch.Tensor
    """The number of atoms, int64 of shape N."""
    residual: torch.Tensor
    """||x - D a||_2, N."""


def pursue(
    dictionary: Dictionary, x: torch.Tensor, limit: int, enough: torch.Tensor | None
) -> Pursued:
    """Codes of the signals ``x``, in float64.

    A signal that has ``limit`` atoms, or whose squared residual is at most ``enough``, of shape N,
    is done.
    """
    if limit <= 2 and enough is None and isinstance(dictionary, GramDictionary):
        few = pursue_few(dictionary, x, limit)
        if few is not None:
            code = x.new_zeros(len(x), dictionary.synthesis.atoms)
            code.scatter_(1, few.index, few.coefficients * dictionary.scale[few.index])
            return Pursued(code, few.chosen, (x - few.signals(dictionary)).norm(dim=1))
    code = x.new_zeros(len(x), dictionary.synthesis.atoms)
    chosen = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    state = _State(dictionary, x, min(limit, ROOM), enough)
    for count in range(limit):
        if state.enough is not None:
            state.stop(state.energy <= state.enough)
        going = int(state.going.sum())
        if not going:
            break
        if going <= 0.75 * len(state.rows):  # signals that are done cost time, and copies do too
            state.finish(code, chosen, ~state.going)
        if count == state.room:
            state.grow(min(limit, 2 * count))
        state.add_atom(count)
    state.finish(code, chosen, torch.ones_like(state.going))
    return Pursued(code, chosen, (x - dictionary.synthesis.forward(code)).norm(dim=1))


class Few(NamedTuple):
    """Codes of one or two atoms: which, and their coefficients, of normalised atoms."""

    index: torch.Tensor
    """N x limit, no place twice."""
    coefficients: torch.Tensor
    """N x limit; 0 where there is no atom."""
    chosen: torch.Tensor
    """The number of atoms, N."""

    def signals(self, dictionary: GramDictionary) -> torch.Tensor:
        """What the codes stand for, N x m."""
        atoms, weights = dictionary.normalised.T.contiguous(), self.coefficients
        return functional.embedding_bag(self.index, atoms, per_sample_weights=weights, mode="sum")


def pursue_few(dictionary: GramDictionary, x: torch.Tensor, limit: int) -> Few | None:
    """What :func:`pursue` finds for one or two atoms, in closed form; None where two atoms that
    depend on each other nearly take its refinement.

    With <d_1, x> = c_1, <d_2, x> = c_2 and <d_1, d_2> = g, the second coefficient is
    (c_2 - g c_1) / (1 - g^2), of which the first one loses the g-fold.
    """
    correlations = dictionary.correlations(x)
    negligible = ROUNDING * x.norm(dim=1)
    index = correlations.abs().argmax(1, keepdim=True)
    first = correlations.gather(1, index)
    there = first[:, 0].abs() > negligible
    first = first * there[:, None]
    if limit == 1:
        return Few(index, first, there.long())
    products = dictionary.gram[index[:, 0]]
    left = correlations.addcmul_(first, products, value=-1)
    size = left.abs().scatter_(1, index, -1.0)
    largest, other = size.max(1)
    g = products.gather(1, other[:, None])[:, 0]
    apart = 1 - g.square()
    both = there & (largest > negligible) & (apart > ROUNDING)
    if (both & (apart < _CLOSE)).any():
        return None
    second = torch.where(both, left.gather(1, other[:, None])[:, 0] / apart, 0.0)
    coefficients = torch.stack([first[:, 0] - g * second, second], dim=1)
    index = torch.stack([index[:, 0], other], dim=1)
    return Few(index, coefficients, there.long() + both.long())


class _State:
    """Signals in pursuit; those that are done stay as they are until they are taken out."""

    def __init__(
        self, dictionary: Dictionary, x: torch.Tensor, room: int, enough: torch.Tensor | None
    ) -> None:
        n = len(x)
        self.dictionary = dictionary
        self.x = x
        self.rows = torch.arange(n, device=x.device)
        self.going = torch.ones(n, dtype=torch.bool, device=x.device)
        self.chosen = torch.zeros(n, dtype=torch.int64, device=x.device)
        self.energy, self.enough = x.square().sum(1), enough
        self.negligible = ROUNDING * self.energy.sqrt()
        self.track = dictionary.track(x)
        self.index = torch.zeros(n, room, dtype=torch.int64, device=x.device)
        self.coefficients = x.new_zeros(n, room)
        self.inverse = x.new_zeros(n, room, room)  # M
        self.atoms = x.new_empty(n, room, dictionary.stored)

    @property
    def room(self) -> int:
        return self.index.shape[1]

    def grow(self, room: int) -> None:
        more = room - self.room
        self.index = functional.pad(self.index, (0, more))
        self.coefficients = functional.pad(self.coefficients, (0, more))
        self.inverse = functional.pad(self.inverse, (0, more, 0, more))
        self.atoms = functional.pad(self.atoms, (0, 0, 0, more))

    def stop(self, done: torch.Tensor) -> None:
        self.going &= ~done

    def add_atom(self, k: int) -> None:
        """Choose the atom number ``k`` for each signal that is not done."""
        correlations = self.dictionary.tracked(self.track)
        size = correlations.abs()
        size.scatter_(1, self.index[:, :k], 0.0)
        largest, index = size.max(1)
        self.stop(largest <= self.negligible)
        inverse = self.inverse[:, :k, :k]
        products = self.dictionary.products(index, self.index[:, :k], self.atoms[:, :k])
        products.masked_fill_(~self.going[:, None], 0.0)
        along = inverse @ products[:, :, None]  # the atom's part in the span, on the basis Q
        apart = 1 - along.square().sum((1, 2))
        self.stop(apart <= ROUNDING)
        distance = apart.clamp(min=ROUNDING).sqrt()
        row = self.inverse[:, k]
        row[:, :k] = -(along.mT @ inverse)[:, 0]
        row[:, k] = 1
        row /= distance[:, None]
        self.atoms[:, k] = self.dictionary.atoms(index)
        self.index[:, k] = index
        # The residual is orthogonal to the span, so that <q, x> is <d, r> over the distance.
        gain = correlations.gather(1, index[:, None]) / distance[:, None]
        gain.masked_fill_(~self.going[:, None], 0.0)
        self.coefficients.addcmul_(gain, row)
        upto = slice(k + 1)
        step = self.dictionary.step(row[:, upto], self.index[:, upto], self.atoms[:, upto])
        self.track.addcmul_(gain, step, value=-1)
        self.energy -= gain[:, 0].square()
        self.chosen += self.going

    def finish(self, code: torch.Tensor, chosen: torch.Tensor, done: torch.Tensor) -> None:
        """Write the results of the signals ``done``, and take these out."""
        rows, index, coefficients = self.rows[done], self.index[done], self.coefficients[done]
        inverse = self.inverse[done]
        scale, synthesis = self.dictionary.scale, self.dictionary.synthesis

        def scattered() -> torch.Tensor:
            # Added, for the places that were left free all name atom 0.
            found = torch.zeros_like(code[rows]).scatter_add_(1, index, coefficients)
            return found * scale

        # One step of refinement takes off the errors that the recurrences have gathered.
        left = self.dictionary.correlations(self.x[done] - synthesis.forward(scattered()))
        unused = torch.arange(index.shape[1], device=index.device) >= self.chosen[done, None]
        left = inverse @ left.gather(1, index).masked_fill(unused, 0.0)[:, :, None]
        left = inverse.mT @ left.masked_fill(unused[:, :, None], 0.0)
        coefficients += left[:, :, 0]
        code[rows], chosen[rows] = scattered(), self.chosen[done]
        for name, values in vars(self).items():
            if isinstance(values, torch.Tensor):
                setattr(self, name, values[~done])
