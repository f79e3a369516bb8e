"""The contract of universal attacks, which learn from some images what they apply to others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from advsparse.attacks import _checks
from advsparse.attacks._base import MEMORY, Result
from advsparse.attacks._oracle import Oracle
from advsparse.lazy import torch
from advsparse.seeding import Random


@dataclass(frozen=True)
class Fit:
    """What a universal attack has learned: named arrays, its learning history among them."""

    arrays: Mapping[str, torch.Tensor]
    warnings: tuple[str, ...] = ()
    """Signs that what was learned cannot be trusted, a sentence each."""


class UniversalAttack(ABC):
    """Mixin of an :class:`~advsparse.attacks._base.Attack` that has to learn first."""

    only_applied: ClassVar[frozenset[str]] = frozenset()
    """Names of the settings that :meth:`fit` does not read: changing them learns nothing anew."""

    @abstractmethod
    def learn(
        self,
        oracle: Oracle,
        x: torch.Tensor,
        y: torch.Tensor,
        target: torch.Tensor | None,
        rng: Random,
    ) -> Fit:
        """Learn from all images of ``x``, of which no more than ``oracle.at_once`` fit into memory
        at once."""

    def fit(
        self,
        model: torch.nn.Module,
        x: torch.Tensor,
        y: torch.Tensor,
        target: torch.Tensor | None = None,
        *,
        rng: Random | int = 0,
        memory: int = MEMORY,
    ) -> Fit:
        """Learn from the images ``x``; arguments and errors as for a call."""
        with self._prepared(model, x, y, target, rng, memory) as ready:
            oracle = Oracle(model, len(x), at_once=ready.at_once)
            fit = self.learn(oracle, ready.x, y, target, ready.rng)
        softmax = _checks.looks_like_softmax(ready.logits)
        found = _checks.warnings_of(softmax, oracle.differentiated, oracle.zero)
        _checks.report(type(self).__name__, found)
        return replace(fit, warnings=(*fit.warnings, *found))

    def __call__(self, model, x, y, target=None, *, fit: Fit, rng=0, memory=MEMORY) -> Result:
        """Attack with what :meth:`fit` has learned; see :meth:`Attack.__call__`."""
        return self._run(partial(self.perturb, fit=fit), model, x, y, target, rng, memory)
