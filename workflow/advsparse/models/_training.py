"""Training of networks, in steps that can be interrupted and resumed without a trace."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from advsparse.errors import TrainingError
from advsparse.lazy import torch
from advsparse.models._adversarial import Adversarial
from advsparse.models._augmentation import Augmentation
from advsparse.models._checkpoint import Checkpoint
from advsparse.models._examples import AdversarialImages, Column, Examples, LabelledImages
from advsparse.seeding import Random, stable_seed
from advsparse.settings import (
    Fraction,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Share,
    settings,
)

logger = logging.getLogger(__name__)


@settings
class Training:
    """How a network is trained: mini-batches of its loss, cross-entropy for classifiers."""

    epochs: PositiveInt = 20
    """Passes over the training set."""
    examples: PositiveInt | None = None
    """Examples of an epoch: the first of its random order; none takes all."""
    batch_size: PositiveInt = 64
    """Examples in a mini-batch."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """Adam, or stochastic gradient descent with momentum 0.9."""
    learning_rate: PositiveFloat = 0.001
    """Step size, the largest where it changes."""
    schedule: Literal["steps", "cosine"] = "steps"
    """How the step size falls: at ``decay_at``, or from step to step along half a cosine, from the
    end of the warm-up to 0 at the end (Loshchilov and Hutter 2017, without restarts)."""
    decay_at: list[Fraction] = Field(default_factory=list)
    """Shares of the epochs, rounded to whole epochs, after which the step size is multiplied by
    ``decay``."""
    decay: Fraction = 0.1
    """What the step size is multiplied by."""
    warmup: NonNegativeFloat = 0.0
    """Epochs in which the step size first rises from 0, in a line."""
    weight_decay: NonNegativeFloat = 0.0
    """Weight of half the squared l2 norm of the parameters."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of products and convolutions while training; weights, sums and the loss are float32 in both.
    What is trained is then run in float32."""
    augmentation: Augmentation | None = None
    """What is done at random to training images; of classifiers alone."""
    label_smoothing: Share = 0.0
    """Share of each label that is spread evenly over all classes; of classifiers alone."""

    def __post_init__(self) -> None:
        if self.schedule == "cosine" and self.decay_at:
            raise ValueError("decay_at: a cosine has no steps")
        if self.warmup >= self.epochs and self.warmup > 0:
            raise ValueError(f"warmup must end before the {self.epochs} epochs do")

    def make_optimizer(self, parameters) -> torch.optim.Optimizer:
        options = {"lr": self.learning_rate, "weight_decay": self.weight_decay}
        if self.optimizer == "adam":
            return torch.optim.Adam(parameters, **options)
        return torch.optim.SGD(parameters, momentum=0.9, **options)

    def learning_rate_at(self, time: float) -> float:
        """The step size at a ``time`` in epochs; that of a step is taken in its middle."""
        if time < self.warmup:
            return self.learning_rate * time / self.warmup
        if self.schedule == "cosine":
            share = (time - self.warmup) / (self.epochs - self.warmup)
            return self.learning_rate * (1 + math.cos(math.pi * share)) / 2
        epoch = math.floor(time)
        passed = sum(epoch >= max(1, round(share * self.epochs)) for share in self.decay_at)
        return self.learning_rate * self.decay**passed


def labelled(
    training: Training,
    x: Column,
    y: Column,
    *,
    adversarial: Adversarial | None = None,
    device: str | torch.device = "cpu",
) -> LabelledImages:
    """What a training of a classifier learns from: images ``x`` (N x C x H x W, in [0, 1] or eight
    bits) with labels ``y`` (N), part of which are attacked if it says so."""
    options: Any = {"smoothing": training.label_smoothing, "device": device}
    if adversarial is None:
        return LabelledImages(x, y, **options)
    return AdversarialImages(x, y, adversarial=adversarial, **options)


def train(
    training: Training,
    model: torch.nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    adversarial: Adversarial | None = None,
    **options,
) -> None:
    """Train a classifier on images ``x`` (N x C x H x W, in [0, 1] or eight bits), labels ``y``.

    In place, as :func:`train_on` does, whose options it takes.
    """
    train_on(labelled(training, x, y, adversarial=adversarial), training, model, **options)


def train_on(
    examples: Examples,
    training: Training,
    model: torch.nn.Module,
    *,
    seed: int,
    checkpoint: Path | None = None,
    identity: str = "",
) -> None:
    """Train the parameters of ``model`` that require gradients, in place.

    The order of each epoch comes from a generator of its own, and so does what layers draw, so that
    a training resumed from ``checkpoint``, written after each epoch, ends in the weights of an
    uninterrupted one, bit for bit on the CPU. A checkpoint of another ``identity`` (code, data,
    settings) is not used.

    Raises TrainingError once the loss of an epoch is not finite, or more than twice the first's: a
    network that has diverged is no result.
    """
    rng = Random(seed)
    optimizer = training.make_optimizer([p for p in model.parameters() if p.requires_grad])
    saved = Checkpoint(checkpoint, identity) if checkpoint else None
    first, loss_at_first = saved.resume(model, optimizer) if saved else (0, None)
    started = time.monotonic()
    model.train()
    for epoch in range(first, training.epochs):
        loss, accuracy = _epoch(examples, training, model, optimizer, epoch, rng)
        loss_at_first = loss if loss_at_first is None else loss_at_first
        if not math.isfinite(loss) or loss > 2 * loss_at_first:
            since = "" if epoch == 0 else f", after {loss_at_first:.4g} in the first"
            raise TrainingError(
                f"the training loss is {loss:.4g} in epoch {epoch + 1} of {training.epochs}{since};"
                f" lower the learning_rate of {training.learning_rate:g} ({training.optimizer}),"
                " or check the data"
            )
        done = epoch + 1
        left = (time.monotonic() - started) / (done - first) * (training.epochs - done)
        said = "" if accuracy is None else f", training accuracy {accuracy:.4f}"
        logger.info(
            "epoch %d of %d: loss %.4f%s, %.0f s left", done, training.epochs, loss, said, left
        )
        if saved:
            saved.save(model, optimizer, done, loss_at_first)
    model.eval()


def _epoch(examples, training, model, optimizer, epoch, rng) -> tuple[float, float | None]:
    """One pass; returns the mean loss and, of classifiers, the share of correct predictions."""
    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    # What layers draw, such as dropout, they draw from the global generators.
    with torch.random.fork_rng(devices):
        torch.manual_seed(stable_seed(rng.seed, "layers", epoch))
        return _steps(examples, training, model, optimizer, epoch, rng)


def _steps(examples, training, model, optimizer, epoch, rng) -> tuple[float, float | None]:
    mixed, size = training.precision == "bfloat16", examples.size(training)
    seen, total, correct = 0, 0.0, 0
    for batch in examples.batches(training, rng.generator("epoch", epoch)):
        middle = 0.5 if size is None else (seen + len(batch[0]) / 2) / size
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate_at(epoch + middle)
        optimizer.zero_grad()
        with torch.autocast(batch[0].device.type, torch.bfloat16, enabled=mixed):
            loss, right = examples.loss(model, *batch)
        (loss / len(batch[0])).backward()
        optimizer.step()
        seen += len(batch[0])
        # No number before the end, which GPUs would wait for.
        total = total + loss.detach().double()
        correct = None if right is None else correct + right
    return float(total) / seen, None if correct is None else int(correct) / seen
