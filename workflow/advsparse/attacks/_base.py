"""The contract of all attacks, and what every one of them needs done right.

An attack is a frozen set of hyper-parameters. Calling it checks its input, puts the model into
evaluation mode, splits the images into chunks that fit into memory, leaves alone the images that
need no attack, brings what comes back into the threat model, and measures success and distance on
the tensor that it returns. A subclass derives from one of :class:`BudgetAttack`,
:class:`MinimumNormAttack` and :class:`PenaltyAttack`, and overrides :meth:`Attack.perturb`.
"""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate
from typing import Any, ClassVar, NamedTuple

from advsparse import lots
from advsparse.attacks import _checks
from advsparse.attacks._confirm import at_rows, fooled
from advsparse.attacks._eot import as_attacked
from advsparse.attacks._oracle import (
    FirstLook,
    Oracle,
    ask,
    bytes_per_image,
    first_look,
    undisturbed,
)
from advsparse.attacks._recorder import PassesSpent, Recorder
from advsparse.attacks._result import Candidate, Result, Whole
from advsparse.decisions import decided
from advsparse.lazy import torch
from advsparse.modes import exactly, recordable
from advsparse.seeding import Random, seeded
from advsparse.settings import NonNegativeFloat, PositiveInt, settings
from advsparse.shapes import per_image
from advsparse.threat import Norm, Threat

logger = logging.getLogger(__name__)

MEMORY = 2 * 2**30
"""Bytes that an attack may take for activations and working copies, unless told otherwise: neither
its input nor what it returns is among them, and one image at a time is the least it can do."""


Perturb = Callable[..., Candidate]


class Prepared(NamedTuple):
    """What a call and a fit go by, once their arguments have been checked."""

    x: torch.Tensor
    """The images, without a graph."""
    labels: dict[str, Any]
    """Those of the images and their targets, by name; none where there are none."""
    rng: Random
    at_once: int
    """How many images fit into memory at once."""
    first: FirstLook | None
    """What a pass of the first image has shown, where each of them counts."""


@settings
class Attack(ABC):
    """Hyper-parameters of an attack, and the attack itself.

    The documentation of an attack is its docstring: a summary, the problem that it solves as a
    formula, and paragraphs that begin with ``Source:`` and ``Cost:``, with ``Trace:`` where
    it leaves one and ``Learns:`` where it is universal.
    """

    family: ClassVar[str] = "other"
    """What kind of attack it is, for the documentation."""
    randomness: ClassVar[str] = ""
    """What it draws at random; nothing means that the seed makes no difference."""
    aims: ClassVar[bool] = True
    """Whether it heads for the targets that it is given, not just counts them."""

    records: ClassVar[bool] = False
    """Whether what counts is the nearest adversarial image that the network was asked about, with
    or without a limit of passes: then :meth:`perturb` need not keep it."""

    scales: ClassVar[tuple[float, float]] = (0.0, math.inf)
    """By how little and by how much the logits of an image may differ for it to work as it is set
    by default: measured where it weighs them against lengths, so that their scale matters."""

    passes: PositiveInt | None = None
    """Most forward and backward passes of the network for an image, each counted as one; a Jacobian
    of K classes counts 1 + K, and the looks at the clean image and at the result count, too. None
    means as many as it takes. What is returned is the best image that the network was asked about
    within it: the nearest adversarial one, or one within the budget. What was learned before from
    other images is not counted."""

    @property
    def universal(self) -> bool:
        """Whether it has to learn from some images what it applies to others."""
        return False

    @property
    def follows_gradients(self) -> bool:
        """Whether a call asks the model for gradients; if not, no image that the model is given
        requires one. Whoever learns asks for them all the same, unless it looks at no image."""
        return True

    @property
    @abstractmethod
    def threat(self) -> Threat:
        """The threat model that the returned images obey."""

    @abstractmethod
    def perturb(
        self,
        oracle: Oracle,
        x: torch.Tensor,
        y: torch.Tensor,
        target: torch.Tensor | None,
        rng: Random,
    ) -> Candidate:
        """Propose adversarial images for a chunk, all of whose images still stand.

        target: classes to head for, if any. Losses are summed over images, never averaged, and no
        image's result may depend on another.
        """

    def __call__(
        self,
        model: torch.nn.Module,
        x: torch.Tensor,
        y: torch.Tensor,
        target: torch.Tensor | None = None,
        *,
        towards: torch.Tensor | None = None,
        rng: Random | int = 0,
        memory: int = MEMORY,
    ) -> Result:
        """Attack ``model``, which maps pixels to logits, at the images ``x`` with labels ``y``.

        x: N x C x H x W in [0, 1], float32 or float64; y: N labels, int64, which an untargeted
        attack leads away from (the model's own predictions, to measure a fooling rate);
        target: N labels to be reached instead; towards: N labels that it heads for, whatever counts
        as success, none meaning ``target``; rng: a seed; memory: bytes that it may take besides its
        input and its result, unless a single image needs more.

        An image that is adversarial already comes back as it is, at distance 0.

        Nothing that is given is changed, whatever the model does to its input. Logits may have any
        precision. Those that are NaN or +infinity name no class: they are never a success, and
        warned of. Under autocast the model is evaluated with it, and in inference mode without.

        Raises ValueError for images outside [0, 1] or not finite, for shapes or labels that don't
        fit, and for a model that the attack needs gradients of and that has none; TypeError for
        arguments of another kind.
        """
        return self._run(self.perturb, model, x, y, target, towards, rng, memory)

    def _run(self, perturb: Perturb, model, x, y, target, towards, rng, memory) -> Result:
        labels = {"y": y, "target": target, "towards": towards}
        with self._prepared(model, x, labels, rng, memory, self.follows_gradients) as ready:
            x, rng, size = ready.x, ready.rng, ready.at_once
            y, target, aim = ready.labels.values()
            aim = target if aim is None else aim
            whole = Whole(x)
            first = ready.first
            for part in _chunks(len(x), size):
                goals = y[part], at_rows(target, part), at_rows(aim, part)
                found = self._chunk(perturb, model, x[part], *goals, rng, first, size)
                first = None
                whole.put(part, found)
                count = int(whole.result.success[: part.stop].sum())
                logger.info("%d of %d images attacked, %d fooled", part.stop, len(x), count)
        return self._warned(whole)

    def joined(self, parts: Sequence[Result]) -> Result:
        """The result for all images of those for some of them, of which there is one at least."""
        ends = list(accumulate(len(part.x) for part in parts))
        whole = Whole(parts[0].x.new_empty(ends[-1], *parts[0].x.shape[1:]))
        for part, end in zip(parts, ends, strict=True):
            whole.put(slice(end - len(part.x), end), part)
        return self._warned(whole)

    def _warned(self, whole: Whole) -> Result:
        """The result, with what is to be said of it."""
        result = whole.result
        found = _checks.warnings_of(result.signs, self.scales) + self._suspicions(result)
        _checks.report(type(self).__name__, found)
        return replace(result, warnings=found)

    @contextmanager
    def _prepared(self, model, x, labels, rng, memory, gradients) -> Iterator[Prepared]:
        """Checked arguments, of which ``labels`` come by name, and a model that is as it was
        afterwards. ``gradients``: whether any are going to be taken."""
        _checks.check_types(model, x, memory, **labels)
        rng = seeded(rng)
        with undisturbed(model, x.device):
            x = recordable(x)
            labels = {k: None if v is None else recordable(v) for k, v in labels.items()}
            _checks.check_images(x)
            first = None
            if self._limit is None:
                with torch.no_grad():
                    classes = ask(model, x[:1]).shape[1]
                _checks.check_labels(x, classes, **labels)
                kept = bytes_per_image(model, x[:1], gradients)
            else:
                first = first_look(model, x[:1], gradients)
                kept, classes = first.nbytes, first.logits.shape[1]
                _checks.check_labels(x, classes, **labels)
            at_once = max(1, memory // self._need(kept, x[:1], classes))
            yield Prepared(x, labels, rng, at_once, first)

    def _need(self, kept: int, x: torch.Tensor, classes: int) -> int:
        """Bytes that the attack takes for each image like the single one of ``x``.

        That is four times what the network keeps for a backward pass, which also covers what comes
        and goes within the passes, and the attack's own copies of the image.
        """
        return 4 * kept + self._copies(classes, x.numel()) * x.nbytes

    def _copies(self, classes: int, size: int) -> int:
        """Copies of an image with ``size`` entries that the attack works with at once.

        Measured as the growth of the process, and so with what the allocator holds back; copies in
        float64 count twice.
        """
        return 28

    def _suspicions(self, result: Result) -> tuple[str, ...]:
        """Sentences of this attack alone on why ``result`` is not to be trusted."""
        return ()

    def _chunk(self, perturb: Perturb, model, x, y, target, aim, rng, first, room):
        """The result for some images, of the first of which something may be known."""
        oracle = Oracle(model, len(x), goals=(y, target), first=first, room=room)
        with exactly():
            return self._judged(perturb, oracle, x, y, target, aim, rng)

    def _judged(self, perturb: Perturb, oracle, x, y, target, aim, rng):
        clean = oracle.clean_logits(x)
        adversarial = fooled(clean, y, target)
        undecided = oracle.undecided.to(x.device)
        astray = torch.zeros_like(undecided)
        stand = (~adversarial & ~undecided).nonzero().flatten()
        if self._idle or self._limit == 1:  # there must be one for what is found
            stand = stand[:0]
        x_adv = x.clone()
        steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        trace = {}
        if len(stand):
            seen = as_attacked(oracle.restrict(stand), x[stand], rng)
            goal = at_rows(aim, stand)
            given = x[stand].contiguous(), y[stand]
            if self._limit is None and not self.records:
                candidate = perturb(seen, *given, goal, rng)
            else:
                seen = self._recorder(seen, *given, at_rows(target, stand), clean.shape[1])
                candidate = self._recorded(perturb, seen, *given, goal, rng)
            proposed, astray[stand] = _finite(candidate.x.detach(), x[stand])
            x_adv[stand] = self._settle(proposed, x[stand])
            steps[stand] = candidate.steps.to(steps.device)
            for name, values in candidate.trace.items():
                trace[name] = values.new_zeros(len(x), *values.shape[1:])
                trace[name][stand] = values
        final = self._look_again(oracle, x_adv, clean)
        success = fooled(final, y, target)
        astray |= ~decided(final) & ~undecided
        distance = self.threat.distance(x_adv, x)
        x_adv, distance = self._conclude(x, x_adv, success, distance)
        signs = self._signs(oracle, astray)
        return Result(x_adv, success, distance, oracle.queries, steps, signs, trace)

    def _recorder(self, oracle, x, y, target, classes) -> Recorder:
        """The oracle, which keeps the best images, and leaves a pass to look at them again."""
        left = None if self._limit is None else self._limit - 2
        return Recorder(
            oracle, self.threat, x, y, target, classes, passes=left, effort=self._effort
        )

    def _recorded(self, perturb: Perturb, recorder: Recorder, x, y, aim, rng) -> Candidate:
        try:
            candidate = perturb(recorder, x, y, aim, rng)
        except PassesSpent:
            candidate = None
        return recorder.settled(candidate, weighed=self._weighed)

    def _look_again(self, oracle, x_adv, clean):
        """The logits of what is returned; of a clean image that has no pass left, as they were."""
        rows = torch.arange(len(clean), device=clean.device)
        if self._limit is not None:
            rows = rows[(oracle.queries < self._limit).to(rows.device)]
        if len(rows) == len(clean):
            return oracle.logits(x_adv, rows)
        return clean.index_copy(0, rows, oracle.logits(x_adv[rows], rows)) if len(rows) else clean

    @property
    def _limit(self) -> int | None:
        """The limit of passes; none for an attack whose ``passes`` are those of its learning."""
        return self.passes

    @property
    def _effort(self) -> bool:
        """Whether an image on which it fails comes back as near to a success as it got."""
        return True

    @property
    def _weighed(self) -> bool:
        """Whether what it proposes is what it is after, even if it is not the nearest."""
        return False

    def _signs(self, oracle: Oracle, astray: torch.Tensor) -> _checks.Signs:
        """What the images say, and what became of them, that a call or a fit is to warn of."""
        return _checks.Signs(
            oracle.softmax,
            oracle.differentiated,
            oracle.zero,
            oracle.broken,
            oracle.undecided,
            astray,
            _checks.misscaled(oracle.spread, self.scales),
        )

    @property
    def _idle(self) -> bool:
        """Whether the threat model leaves the attack nothing to do."""
        return self.threat.eps == 0

    def _settle(self, x_adv, x):
        """What an attack proposes, brought into the threat model."""
        return self.threat.settle(x_adv, x)

    def _conclude(self, x, x_adv, success, distance):
        """What stands for an image that the attack failed on: by default, its best effort."""
        return x_adv, distance


@settings
class _NormAttack(Attack):
    """An attack with a norm of its own, which one that wraps another has not."""

    norm: Norm = "l2"
    """The norm in which the perturbation is bounded or measured."""


@settings
class BudgetAttack(_NormAttack):
    """An attack that does its worst within a ball of given radius."""

    eps: NonNegativeFloat
    """The radius of the ball, in the units of ``norm``."""

    @property
    def threat(self) -> Threat:
        return Threat(norm=self.norm, eps=self.eps)


@settings
class UnclampedAttack(BudgetAttack):
    """An attack within a budget that can leave the range of images."""

    clamp: bool = True
    """Whether images are brought back into [0, 1]. Otherwise the perturbation keeps its size, as in
    weitzner2023 and mitro2018, and no image file can hold the result."""

    @property
    def threat(self) -> Threat:
        bounds = (0.0, 1.0) if self.clamp else (-math.inf, math.inf)
        return Threat(norm=self.norm, eps=self.eps, bounds=bounds)


@settings
class AdditiveAttack(UnclampedAttack):
    """An attack within a budget that adds a perturbation, without asking what the network makes of
    the image."""


@settings
class MinimumNormAttack(_NormAttack):
    """An attack that looks for the nearest adversarial image.

    Where it finds none, the clean image comes back, at distance infinity; with a cutoff, the best
    effort within it, at the distance that it has.
    """

    family = "minimum norm"

    cutoff: NonNegativeFloat | None = None
    """Largest ||x' - x||_2 / ||x||_2 (sun2019, section 4): a longer perturbation is shortened to
    that, whether it then still fools or not; none means as long as it takes."""
    extended: bool = False
    """Whether a shorter perturbation is lengthened to the cutoff, along its ray, and then brought
    into the box."""

    def __post_init__(self) -> None:
        if self.extended and self.cutoff is None:
            raise ValueError("extended: without a cutoff there is nothing to extend to")

    @property
    def threat(self) -> Threat:
        return Threat(norm=self.norm)

    @property
    def _idle(self) -> bool:
        return self.cutoff == 0

    @property
    def _effort(self) -> bool:
        return self.cutoff is not None

    def _settle(self, x_adv, x):
        x_adv = super()._settle(x_adv, x)
        if self.cutoff is None:
            return x_adv
        ball = Threat(norm="relative_l2", eps=self.cutoff)
        distance = ball.distance(x_adv, x)
        if self.extended:
            factor = torch.where(distance > 0, self.cutoff / distance, 1.0).clamp(min=1)
            further = x.double() + per_image(factor, x) * (x_adv.double() - x.double())
            return ball.settle(further.to(x.dtype), x)
        # Within the ball nothing is rounded anew.
        longer = distance > self.cutoff
        return torch.where(per_image(longer, x), ball.settle(x_adv, x), x_adv)

    def _conclude(self, x, x_adv, success, distance):
        if self.cutoff is not None:
            return x_adv, distance
        kept = torch.where(per_image(success, x), x_adv, x)
        return kept, distance.where(success, torch.inf)


@settings
class PenaltyAttack(_NormAttack):
    """An attack that weighs the size of the perturbation against the loss.

    Whether it fools or not, its perturbed image is what comes back.
    """

    @property
    def threat(self) -> Threat:
        return Threat(norm=self.norm)

    @property
    def _weighed(self) -> bool:
        return True


def _chunks(count: int, at_once: int) -> Iterator[slice]:
    """All of ``count`` images, at most ``at_once`` of one lot at a time."""
    for lot in range(0, count, lots.ATTACKED):
        end = min(lot + lots.ATTACKED, count)
        for start in range(lot, end, at_once):
            yield slice(start, min(start + at_once, end))


def _finite(proposed, x):
    """The images proposed for ``x``, which stands in for those that are not finite, and which."""
    lost = ~proposed.flatten(1).isfinite().all(1)
    if lost.any():
        proposed = torch.where(per_image(lost, x), x, proposed)
    return proposed, lost
