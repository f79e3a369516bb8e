"""What the attacks of Carlini and Wagner share: objectives, and a descent within the box."""

from __future__ import annotations

import math
from typing import Literal

from advsparse.attacks._base import Candidate, MinimumNormAttack
from advsparse.attacks._confirm import at_rows, fooled
from advsparse.attacks._losses import margin
from advsparse.lazy import torch
from advsparse.settings import NonNegativeFloat, PositiveFloat, PositiveInt, settings

Objective = Literal["f1", "f2", "f3", "f4", "f5", "f6", "f7"]

_SQUEEZE = 1 - 1e-6
"""Keeps atanh finite at pixels that are exactly 0 or 1."""

_EDGE = 1 / 512
"""How near to 0 or 1 a pixel hardly moves through tanh: half a level of eight bits, where a hundred
steps of 0.01 get it ten times as far."""


@settings
class WeighedMargin(MinimumNormAttack):
    """Settings of attacks that weigh an objective f against the length of the perturbation."""

    objective: Objective = "f6"
    """The objective f, by its number in Carlini and Wagner 2017: with F the probabilities and t the
    target, or the likeliest other class, f1 is the cross-entropy -log F_t less 1; f2 the hinge of
    max_{k != t} F_k - F_t; f3 its softplus less log 2; f4 the hinge of 1/2 - F_t; f5 -log(2 F_t);
    f6 and f7 are f2 and f3 of logits. f1 is printed with the sign that leads away from t, and f5 as
    -log(2 F_t - 2), which is defined nowhere; as they are meant they differ by a constant, and so
    lead the same way."""
    confidence: NonNegativeFloat = 0.0
    """kappa: by how many logits the image must be adversarial."""
    iterations: PositiveInt = 1000
    """Descent steps for each value of c."""
    abort_early: bool = True
    """Whether the descent of an image ends once a tenth of the iterations brought no decrease."""

    def _asked(self, oracle, x_adv, y, target, rows):
        """f of images, its gradient, and which of them are adversarial enough."""
        value, logits, gradient = oracle.gradient(
            x_adv, lambda z: objective(self.objective, z, y, target, self.confidence), rows
        )
        enough = margin(logits, y, target) + self.confidence <= 0
        return value, gradient, fooled(logits, y, target) & enough


@settings
class CarliniWagner(WeighedMargin):
    """Settings that the attacks in all three distances have."""

    learning_rate: PositiveFloat = 0.01
    """Adam's step size."""
    box: Literal["mixed", "tanh", "clip"] = "mixed"
    """How pixels stay in [0, 1]: x' = (1 + tanh w) / 2, as the paper chose, or clipping after each
    step. A pixel that is 0 or 1 hardly moves through tanh, whose slope there is 1e-6: mixed clips
    those that start there, and has the others go through tanh."""


def objective(
    name: Objective,
    logits: torch.Tensor,
    y: torch.Tensor,
    target: torch.Tensor | None,
    confidence: float = 0.0,
) -> torch.Tensor:
    """f of each image (N), as :attr:`WeighedMargin.objective` says; of f6 with kappa added before
    the hinge."""
    if name == "f6":
        return (margin(logits, y, target) + confidence).clamp(min=0)
    if name == "f7":
        return _softplus(margin(logits, y, target))
    if name in ("f2", "f3"):
        away = margin(logits.softmax(1), y, target)
        return away.clamp(min=0) if name == "f2" else _softplus(away)
    likely = logits.log_softmax(1)
    if target is None:
        likely = likely.scatter(1, y[:, None], -torch.inf).amax(1)
    else:
        likely = likely.gather(1, target[:, None]).squeeze(1)
    if name == "f4":
        return (0.5 - likely.exp()).clamp(min=0)
    return -likely - (1.0 if name == "f1" else math.log(2))


def _softplus(away):
    return torch.nn.functional.softplus(away) - math.log(2)


class Patience:
    """Which of the images that are still descended go on."""

    def __init__(self, settings: WeighedMargin, start: torch.Tensor) -> None:
        self._every = max(1, settings.iterations // 10) if settings.abort_early else None
        self._previous, self._count = start.new_full((len(start),), torch.inf), 0

    def falling(self, objective: torch.Tensor) -> torch.Tensor:
        """Those that do, by what their last iterates had as their objectives; one call a step."""
        self._count += 1
        if self._every is None or self._count % self._every:
            return torch.ones_like(objective, dtype=torch.bool)
        # Of its size, as objectives of logarithms are negative beyond the boundary.
        falling = self._previous - objective > 1e-4 * objective.abs()
        self._previous = objective
        return falling

    def keep(self, chosen: torch.Tensor) -> None:
        """Go on with some of the images."""
        self._previous = self._previous[chosen]


class Descent:
    """Adam (Kingma and Ba 2015) on a batch of images in a box, which some of them can leave."""

    def __init__(self, settings: CarliniWagner, start: torch.Tensor) -> None:
        self._rate, self._count = settings.learning_rate, 0
        self._patience = Patience(settings, start)
        self._bounds = settings.threat.bounds
        inside = (start > _EDGE) & (start < 1 - _EDGE)
        through = {"tanh": torch.ones_like, "clip": torch.zeros_like, "mixed": lambda one: one}
        self._tanh = through[settings.box](inside)
        free = torch.atanh((2 * start - 1) * _SQUEEZE)
        self._value = torch.where(self._tanh, free, start)
        self._mean, self._square = torch.zeros_like(start), torch.zeros_like(start)
        self._slope: torch.Tensor | float = 1.0

    def images(self) -> torch.Tensor:
        """The images, as they are now."""
        t = torch.tanh(self._value)
        self._slope = torch.where(self._tanh, (1 - t.square()) / 2, 1.0)
        return torch.where(self._tanh, (t + 1) / 2, self._value)

    def step(self, gradient: torch.Tensor) -> None:
        """A step against the gradient in the pixels of the last :meth:`images`."""
        gradient = gradient * self._slope
        self._count += 1
        self._mean.mul_(0.9).add_(gradient, alpha=0.1)
        self._square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        size = (self._square / (1 - 0.999**self._count)).sqrt_().add_(1e-8)
        self._value.addcdiv_(self._mean, size, value=-self._rate / (1 - 0.9**self._count))
        clipped = self._value.clamp(*self._bounds)
        self._value = torch.where(self._tanh, self._value, clipped)

    def falling(self, objective: torch.Tensor) -> torch.Tensor:
        """Which of the images go on, by what their last iterates had as their objectives."""
        return self._patience.falling(objective)

    def keep(self, chosen: torch.Tensor) -> None:
        """Go on with some of the images."""
        if not chosen.all():
            self._patience.keep(chosen)
            self._value, self._mean = self._value[chosen], self._mean[chosen]
            self._tanh = self._tanh[chosen]
            self._square = self._square[chosen]


class Search:
    """What a search in rounds keeps of each image: the best one so far and its distance, what the
    next descent starts from, the weight c, and the steps taken."""

    def __init__(self, settings, oracle, x, y, target) -> None:
        self._settings, self._oracle, self._x, self._y = settings, oracle, x, y
        self._target = target
        self.best, self._start = x.clone(), x.clone()
        self._distance = x.new_full((len(x),), torch.inf)
        self.steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        self.weight = torch.full_like(self._distance, settings.initial_weight)

    def _asked(self, x_adv: torch.Tensor, at: torch.Tensor):
        """f of the images ``at``, its gradient, and which of them are adversarial enough: a step.

        Of one that never was, an attack that is cut off takes the last iterate."""
        self.steps[at] += 1
        asked = self._settings._asked(
            self._oracle, x_adv, self._y[at], at_rows(self._target, at), at
        )
        if self._settings.cutoff is not None:
            never = self._distance[at].isinf()
            self.best[at[never]] = x_adv[never]
        return asked

    def _improve(self, at: torch.Tensor, x_adv: torch.Tensor, distance: torch.Tensor) -> None:
        """Keep those of the adversarial images ``x_adv`` that are nearer than any before."""
        nearer = distance < self._distance[at]
        self.best[at[nearer]], self._distance[at[nearer]] = x_adv[nearer], distance[nearer]


class Bisection(Search):
    """A search whose rounds are descents from the clean image, by bisection of c for each image."""

    def descend(self) -> torch.Tensor:
        """Whether each image came to be adversarial at its weight."""
        raise NotImplementedError

    def run(self) -> Candidate:
        low, high = torch.zeros_like(self.weight), torch.full_like(self.weight, torch.inf)
        for _ in range(self._settings.search_steps):
            weight, found = self.weight, self.descend()
            high = torch.where(found, torch.minimum(high, weight), high)
            low = torch.where(found, low, torch.maximum(low, weight))
            self.weight = torch.where(high.isinf(), 10 * weight, (low + high) / 2)
        return Candidate(self.best, self.steps)
