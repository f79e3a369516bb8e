"""Training of networks, in steps that can be interrupted and resumed without a trace."""

from __future__ import annotations

import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from advsparse.errors import TrainingError
from advsparse.lazy import torch
from advsparse.models._checkpoint import Checkpoint
from advsparse.seeding import Random
from advsparse.settings import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt, settings

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
    """Step size."""
    decay_at: list[Fraction] = Field(default_factory=list)
    """Shares of the epochs, rounded to whole epochs, after which the step size is multiplied by
    ``decay``."""
    decay: Fraction = 0.1
    """What the step size is multiplied by."""
    weight_decay: NonNegativeFloat = 0.0
    """Weight of half the squared l2 norm of the parameters."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of products and convolutions while training; weights, sums and the loss are float32 in both.
    What is trained is then run in float32."""

    def make_optimizer(self, parameters) -> torch.optim.Optimizer:
        options = {"lr": self.learning_rate, "weight_decay": self.weight_decay}
        if self.optimizer == "adam":
            return torch.optim.Adam(parameters, **options)
        return torch.optim.SGD(parameters, momentum=0.9, **options)

    def learning_rate_in(self, epoch: int) -> float:
        """The step size in an epoch, counted from 0."""
        passed = sum(epoch >= max(1, round(share * self.epochs)) for share in self.decay_at)
        return self.learning_rate * self.decay**passed


class Examples(ABC):
    """What a network is trained on."""

    @abstractmethod
    def batches(self, training: Training, generator: torch.Generator) -> Iterator[tuple]:
        """The mini-batches of an epoch, as tuples of tensors, in an order from ``generator``."""

    @abstractmethod
    def loss(self, model: torch.nn.Module, *batch) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The loss, summed over a mini-batch, and the number of its correct predictions."""


class Stored(Examples):
    """Examples that are all there, as tensors of equal length: images, and what belongs to them."""

    def __init__(self, *tensors: torch.Tensor) -> None:
        self.tensors = tensors

    def batches(self, training, generator):
        first = self.tensors[0]
        order = torch.randperm(len(first), generator=generator)[: training.examples]
        for batch in order.to(first.device).split(training.batch_size):
            yield tuple(tensor[batch] for tensor in self.tensors)


class LabelledImages(Stored):
    """Images N x C x H x W in [0, 1] and their labels N, for a classifier.

    Its loss is the cross-entropy, unless it has a method ``loss(x, y)`` that returns its own,
    summed over the images, and the logits.
    """

    def loss(self, model, x, y):
        if hasattr(model, "loss"):
            loss, logits = model.loss(x, y)
        else:
            logits = model(x)
            loss = torch.nn.functional.cross_entropy(logits.float(), y, reduction="sum")
        return loss, (logits.argmax(1) == y).sum()


def train(
    training: Training,
    model: torch.nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    **options,
) -> None:
    """Train a classifier on images ``x`` (N x C x H x W in [0, 1]) and labels ``y`` (N).

    In place, as :func:`train_on` does, whose options it takes.
    """
    train_on(LabelledImages(x, y), training, model, **options)


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

    The order of each epoch comes from a generator of its own, so that a training resumed from
    ``checkpoint``, written after each epoch, ends in the weights of an uninterrupted one, bit for
    bit on the CPU. A checkpoint of another ``identity`` (code, data, settings) is not used.

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
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate_in(epoch)
        batches = examples.batches(training, rng.generator("epoch", epoch))
        mixed = training.precision == "bfloat16"
        loss, accuracy = _epoch(examples, batches, model, optimizer, mixed)
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


def _epoch(examples, batches, model, optimizer, mixed) -> tuple[float, float | None]:
    """One pass; returns the mean loss and, of classifiers, the share of correct predictions."""
    seen, total, correct = 0, 0.0, 0
    for batch in batches:
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
