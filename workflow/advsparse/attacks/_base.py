"""The contract of all attacks: what one is told, what it promises, and what it overrides.

An attack is a frozen set of hyper-parameters; what calling it does is in ``_calls.py``. A subclass
derives from one of :class:`BudgetAttack`, :class:`MinimumNormAttack` and :class:`PenaltyAttack`,
and overrides :meth:`Attack.perturb`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import accumulate
from typing import ClassVar

from advsparse.attacks._calls import run, warned
from advsparse.attacks._oracle import Oracle
from advsparse.attacks._result import Candidate, Result, Whole
from advsparse.lazy import torch
from advsparse.seeding import Random
from advsparse.settings import NonNegativeFloat, PositiveInt, settings
from advsparse.shapes import per_image
from advsparse.threat import Norm, Threat

MEMORY = 2 * 2**30
"""Bytes that an attack may take for activations and working copies, unless told otherwise: neither
its input nor what it returns is among them, and one image at a time is the least it can do."""


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
        return run(self, self.perturb, model, x, y, target, towards, rng, memory)

    def joined(self, parts: Sequence[Result]) -> Result:
        """The result for all images of those for some of them, of which there is one at least."""
        ends = list(accumulate(len(part.x) for part in parts))
        whole = Whole(parts[0].x.new_empty(ends[-1], *parts[0].x.shape[1:]))
        for part, end in zip(parts, ends, strict=True):
            whole.put(slice(end - len(part.x), end), part)
        return warned(self, whole)

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
