"""A network that counts the passes of each image, and keeps the nearest adversarial image."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from advsparse.threat import Threat

_BEYOND = 1e-6
"""By how much rounding may have taken pixels out of [0, 1]."""


class Spent(Exception):
    """All images are at their limit."""


class Counted(torch.nn.Module):
    """``network`` as an attack on the images ``x`` with labels ``y`` gets it.

    Each forward pass of an image counts 1, and each backward pass through its logits; K of them, as
    for a Jacobian, count K. An image at its ``budget`` is answered that it is classified correctly,
    with a gradient of 0; once all images are, :class:`Spent` ends the attack. ``distance`` is that
    of the nearest adversarial image in [0, 1] that was asked about within the budget, in ``norm``.

    Which image a row of a batch belongs to is seen from the pixels: a batch holds some images in
    their order, and those are taken whose summed squared distances are least. An attack that asks
    about an image several times at once (``repeats``) gets the nearest image for each row.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        x: torch.Tensor,
        y: torch.Tensor,
        norm: str,
        budget: int,
        *,
        repeats: bool = False,
    ) -> None:
        super().__init__()
        self.network, self.budget = network, budget
        self.passes = torch.zeros(len(x), dtype=torch.int64)
        self.distance = torch.full((len(x),), torch.inf, dtype=torch.float64)
        self.aside = 0.0
        """CPU seconds that the counting itself took."""
        self._x, self._y, self._repeats = x, y, repeats
        self._classes = 0
        self._threat = Threat(norm=norm)
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with self._counting():
            rows = self._rows(x.detach())
            able = self._able(rows)
            if bool((self.passes >= self.budget).all()):
                raise Spent
            self.passes.index_add_(0, rows[able], torch.ones_like(rows[able]))
        logits = self.network(x) if able.all() else self._some(x, rows, able)
        self._classes = logits.shape[1]
        with self._counting():
            self._note(x.detach()[able], logits.detach()[able], rows[able])
        if logits.requires_grad:
            logits.register_hook(lambda gradient: self._back(gradient, rows))
        return logits

    def _some(self, x: torch.Tensor, rows: torch.Tensor, able: torch.Tensor) -> torch.Tensor:
        """Logits of the rows that can pay, and those of a correct class for the others."""
        found = self.network(x[able]) if able.any() else x.new_zeros(0, self._classes)
        correct = torch.nn.functional.one_hot(self._y[rows], found.shape[1]).to(x)
        correct = correct + 0 * x.flatten(1)[:, :1]  # from which a gradient of 0 leads back
        return correct.index_copy(0, able.nonzero()[:, 0], found)

    def _back(self, gradient: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        with self._counting():
            able = self._able(rows)
            self.passes.index_add_(0, rows[able], torch.ones_like(rows[able]))
            return gradient if able.all() else gradient.where(able[:, None], 0.0)

    def _able(self, rows: torch.Tensor) -> torch.Tensor:
        """Which rows of a batch can pay for a pass, of those of the same image the first ones."""
        spent = self.passes[rows]
        if self._repeats:
            spent = spent + (rows[:, None] == rows[None]).tril(-1).sum(1)
        return spent < self.budget

    def _rows(self, x: torch.Tensor) -> torch.Tensor:
        """The image of each row."""
        if len(x) == len(self._x) and not self._repeats:
            return torch.arange(len(x))
        square = torch.cdist(x.flatten(1).double(), self._x.flatten(1).double()).square()
        if self._repeats or len(x) > len(self._x):
            return square.argmin(1)
        return torch.from_numpy(in_order(square.numpy()))

    def _note(self, x: torch.Tensor, logits: torch.Tensor, rows: torch.Tensor) -> None:
        wrong = (logits.argmax(1) != self._y[rows]) & logits.isfinite().all(1)
        if not wrong.any():
            return
        x, rows = x[wrong], rows[wrong]
        within = (x.clamp(0, 1) - x).abs().flatten(1).amax(1) <= _BEYOND
        x, rows = x[within].clamp(0, 1), rows[within]
        distance = self._threat.distance(x, self._x[rows])
        self.distance.scatter_reduce_(0, rows, distance, "amin")

    @contextmanager
    def _counting(self) -> Iterator[None]:
        began = time.process_time()
        try:
            yield
        finally:
            self.aside += time.process_time() - began


def in_order(cost: np.ndarray) -> np.ndarray:
    """For each row of ``cost`` (n x N) a column, further right from row to row, at least cost."""
    n, count = cost.shape
    total = np.full(count, 0.0)
    best = np.empty((n, count), dtype=np.int64)
    columns = np.arange(count)
    for i in range(n):
        own = total + cost[i]
        least = np.minimum.accumulate(own)
        # The last column at which the least so far was met.
        best[i] = np.maximum.accumulate(np.where(own == least, columns, 0))
        total = np.concatenate([[np.inf], least[:-1]])
    found = np.empty(n, dtype=np.int64)
    end = count - 1
    for i in range(n - 1, -1, -1):
        found[i] = best[i, end]
        end = found[i] - 1
    return found
