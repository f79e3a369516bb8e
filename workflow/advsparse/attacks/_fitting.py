"""The contract of universal attacks, which learn from some images what they apply to others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import ClassVar, Self

from advsparse.arguments import check_tensor, kind_of
from advsparse.attacks import _checks
from advsparse.attacks._base import MEMORY, Result
from advsparse.attacks._calls import prepared, run, signs_of
from advsparse.attacks._eot import as_attacked
from advsparse.attacks._oracle import Oracle
from advsparse.lazy import torch
from advsparse.modes import exactly
from advsparse.seeding import Random


@dataclass(frozen=True)
class Fit:
    """What a universal attack has learned: named arrays, its learning history among them."""

    arrays: Mapping[str, torch.Tensor]
    warnings: tuple[str, ...] = ()
    """Signs that what was learned cannot be trusted, a sentence each."""


def clean_logits(oracle: Oracle, x: torch.Tensor, at_once: int | None = None) -> torch.Tensor:
    """The logits of all the images that an attack learns from, N x K, ``at_once`` at a time.

    An attack begins with them: what a fit warns of goes by the first logits of each image.
    """
    at_once = min(at_once or len(x), oracle.at_once)
    parts = torch.arange(len(x), device=x.device).split(at_once)
    return torch.cat([oracle.logits(x[rows], rows) for rows in parts])


class UniversalAttack(ABC):
    """Mixin of an :class:`~advsparse.attacks._base.Attack` that has to learn first."""

    family = "universal"
    only_applied: ClassVar[frozenset[str]] = frozenset()
    """Names of the settings that learning does not read, each of which has a default."""
    perturbations: ClassVar[tuple[str, ...]] = ()
    """Names of the arrays that it adds to images, each being images itself."""
    looks_at_images: ClassVar[bool] = True
    """Whether what it learns depends on the images: then it follows gradients there."""

    _limit: int | None  # of the attack that this is mixed into

    @property
    def universal(self) -> bool:
        return True

    def learner(self) -> Self:
        """The attack that learns for this one, with the defaults of what is only applied.

        Attacks with the same learner share what they learn.
        """
        only = self.only_applied if self._limit is None else self.only_applied | {"passes"}
        applied = {f.name: f.default for f in fields(self) if f.name in only}
        return replace(self, **applied)

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
        labels = {"y": y, "target": target}
        with prepared(self, model, x, labels, rng, memory, self.looks_at_images) as ready:
            goals = ready.labels["y"], ready.labels["target"]
            oracle = Oracle(model, len(x), at_once=ready.at_once, goals=goals)
            with exactly():
                seen = as_attacked(oracle, ready.x, ready.rng)
                fit = self.learner().learn(seen, ready.x, *goals, ready.rng)
        signs = signs_of(self, oracle, oracle.astray & ~oracle.undecided)
        found = (*fit.warnings, *_checks.warnings_of(signs, self.scales, learning=True))
        _checks.report(type(self).__name__, found)
        return replace(fit, warnings=found)

    def __call__(
        self, model, x, y, target=None, *, fit: Fit, towards=None, rng=0, memory=MEMORY
    ) -> Result:
        """Attack with what :meth:`fit` has learned; see :meth:`Attack.__call__`."""
        if not isinstance(fit, Fit):
            raise TypeError(f"fit: expected what fit() returns, a Fit, got {kind_of(fit)}")
        check_tensor("x", x)
        _checks.check_form(x)
        _checks.check_fit(fit.arrays, self.perturbations, x)
        perturb = partial(self.perturb, fit=fit)
        return run(self, perturb, model, x, y, target, towards, rng, memory)
