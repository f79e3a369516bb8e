"""The passes of dictionary learning. Imports torch: learning imports this when it starts.

Signals are rows of X here, N x m, codes rows of A, N x K, and atoms rows of D, K x m.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from advsparse.coding._maps import Matrix
from advsparse.coding._pursuit import GramDictionary, pursue
from advsparse.coding._solving import WORKING_SET

_UNUSED = 1e-10
"""Of the largest weight of an atom, one that is as small is none."""


@dataclass(frozen=True)
class LearnedDictionary:
    """A dictionary, and how it was learned."""

    dictionary: torch.Tensor
    """m x K, of atoms of norm 1; float64."""
    objective: torch.Tensor
    """Half the squared distance of all signals from what their codes stand for, as each pass found
    it and once more at the end; float64 of shape passes + 1."""
    residual: torch.Tensor
    """The same as a distance relative to the signals, ||X - D A|| / ||X||."""
    replaced: torch.Tensor
    """Atoms that each pass replaced, as no signal used them; int64 of shape passes."""


class Learning:
    """A dictionary while it is learned; each method of three is one pass."""

    def __init__(self, settings, x: torch.Tensor, rng) -> None:
        self.settings, self.x = settings, x
        self._norm = float(x.norm())
        self._generator = rng.generator("batches")
        self.atoms = self._first(rng.generator("dictionary"))
        self.residuals: list[float] = []
        self.replaced: list[int] = []
        # Of online learning: A^T A and A^T X of what was seen, and how many mini-batches that were.
        self._weights = x.new_zeros(settings.atoms, settings.atoms)
        self._sums = x.new_zeros(settings.atoms, x.shape[1])
        self._batches = 0

    def result(self) -> LearnedDictionary:
        """What was learned, with the residual that it leaves in the end."""
        self._begun()
        residual = torch.tensor(self.residuals, dtype=torch.float64)
        return LearnedDictionary(
            self.atoms.T.contiguous(),
            (residual * self._norm).square() / 2,
            residual,
            torch.tensor(self.replaced, dtype=torch.int64),
        )

    def mod(self) -> None:
        """All atoms at once, by least squares."""
        code, left = self._begun()
        used = (code != 0).any(0)
        own = code[:, used]
        self.atoms[used] = torch.linalg.pinv(own.T @ own, hermitian=True) @ (own.T @ self.x)
        self._normalise(~used, left)

    def ksvd(self) -> None:
        """One atom after the other, together with its coefficients."""
        code, left = self._begun()
        unused = torch.zeros(len(self.atoms), dtype=torch.bool, device=code.device)
        for k in range(len(self.atoms)):
            rows = code[:, k].nonzero().flatten()
            if not len(rows):
                unused[k] = True
                continue
            own = left[rows] + code[rows, k, None] * self.atoms[k]
            # The first right singular vector, of which only m x m numbers are needed.
            self.atoms[k] = torch.linalg.eigh(own.T @ own).eigenvectors[:, -1]
            code[rows, k] = own @ self.atoms[k]
            left[rows] = own - code[rows, k, None] * self.atoms[k]
        self._normalise(unused, left)

    def online(self) -> None:
        """After each mini-batch, one atom after the other."""
        squares, replaced = 0.0, 0
        size = self.settings.batch_size
        order = torch.randperm(len(self.x), generator=self._generator).to(self.x.device)
        for rows in order.split(size):
            x = self.x[rows]
            code = self._coded(x)
            left = x - code @ self.atoms
            squares += float(left.square().sum())
            self._batches += 1
            # As many signals as the past counts for, by section 3.4 of Mairal et al.
            t = self._batches
            past = t * size if t < size else size**2 + t - size
            kept = (past + 1 - size) / (past + 1)
            self._weights = kept * self._weights + code.T @ code
            self._sums = kept * self._sums + code.T @ x
            replaced += self._descend(x, left)
        self._note(squares)
        self.replaced.append(replaced)

    def _descend(self, x: torch.Tensor, left: torch.Tensor) -> int:
        """The atoms that fit the sums best, one after the other; returns how many are replaced, by
        signals of the mini-batch ``x``."""
        weight = self._weights.diagonal()
        unused = weight <= _UNUSED * weight.max()
        for k in (~unused).nonzero().flatten().tolist():
            along = self._sums[k] - self._weights[k] @ self.atoms
            self.atoms[k] += along / weight[k]
            self.atoms[k] /= self.atoms[k].norm().clamp(min=torch.finfo(torch.float64).tiny)
        # A mini-batch that doesn't use an atom says little: those are replaced that none has used.
        return self._replace(unused, x, left)

    def _first(self, generator: torch.Generator) -> torch.Tensor:
        """Random signals, and random directions where there are too few."""
        norms = self.x.norm(dim=1)
        usable = (norms > 0).nonzero().flatten()
        order = torch.randperm(len(usable), generator=generator).to(self.x.device)
        chosen = usable[order[: self.settings.atoms]]
        more = torch.randn(
            self.settings.atoms - len(chosen),
            self.x.shape[1],
            generator=generator,
            dtype=torch.float64,
        ).to(self.x.device)
        atoms = torch.cat([self.x[chosen] / norms[chosen, None], more])
        return atoms / atoms.norm(dim=1, keepdim=True)

    def _coded(self, x: torch.Tensor) -> torch.Tensor:
        """Codes of signals, N x K."""
        dictionary = GramDictionary(Matrix(self.atoms.T))
        limit = min(self.settings.sparsity, *self.atoms.shape)
        at_once = max(1, WORKING_SET // dictionary.need(limit))
        return torch.cat([pursue(dictionary, part, limit, None).code for part in x.split(at_once)])

    def _begun(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The codes of all signals and what they leave of these, which is noted."""
        code = self._coded(self.x)
        left = self.x - code @ self.atoms
        self._note(left.square().sum())
        return code, left

    def _note(self, squares) -> None:
        self.residuals.append(float(squares) ** 0.5 / self._norm)

    def _normalise(self, unused: torch.Tensor, left: torch.Tensor) -> None:
        """Atoms of norm 1, once those are replaced that are unused or have vanished."""
        norms = self.atoms.norm(dim=1)
        unused = unused | (norms == 0)
        self.replaced.append(self._replace(unused, self.x, left))
        self.atoms[~unused] /= norms[~unused, None]

    def _replace(self, unused: torch.Tensor, x: torch.Tensor, left: torch.Tensor) -> int:
        """Those of the signals ``x`` that are represented worst, by what is ``left`` of them, in
        the place of unused atoms; returns how many there are."""
        places = unused.nonzero().flatten()
        missed = left.norm(dim=1)
        worst = missed.argsort(descending=True, stable=True)[: len(places)]
        worst = worst[missed[worst] > 0]
        places = places[: len(worst)]
        self.atoms[places] = x[worst] / x[worst].norm(dim=1, keepdim=True)
        return len(places)
