"""Training of classifiers, in steps that can be interrupted and resumed without a trace."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import Literal

from advsparse.artifacts import make_metadata, read_tensors, write_tensors
from advsparse.errors import ArtifactError, TrainingError
from advsparse.lazy import torch
from advsparse.seeding import Random
from advsparse.settings import NonNegativeFloat, PositiveFloat, PositiveInt, settings

logger = logging.getLogger(__name__)


@settings
class Training:
    """How a classifier is trained: mini-batches of cross-entropy."""

    epochs: PositiveInt = 20
    """Passes over the training set."""
    batch_size: PositiveInt = 64
    """Images in a mini-batch."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """Adam, or stochastic gradient descent with momentum 0.9."""
    learning_rate: PositiveFloat = 0.001
    """Step size."""
    weight_decay: NonNegativeFloat = 0.0
    """Weight of half the squared l2 norm of the parameters."""

    def make_optimizer(self, parameters) -> torch.optim.Optimizer:
        options = {"lr": self.learning_rate, "weight_decay": self.weight_decay}
        if self.optimizer == "adam":
            return torch.optim.Adam(parameters, **options)
        return torch.optim.SGD(parameters, momentum=0.9, **options)


def train(
    training: Training,
    model: torch.nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    seed: int,
    checkpoint: Path | None = None,
    identity: str = "",
) -> None:
    """Train ``model`` in place on images ``x`` (N x C x H x W in [0, 1]) and labels ``y`` (N).

    The order of each epoch comes from a generator of its own, so that a training resumed from
    ``checkpoint``, written after each epoch, ends in the weights of an uninterrupted one, bit for
    bit on the CPU. A checkpoint of another ``identity`` (code, data, settings) is not used.

    Raises TrainingError once the loss is not finite.
    """
    rng = Random(seed)
    optimizer = training.make_optimizer(model.parameters())
    first = _resume(checkpoint, identity, model, optimizer) if checkpoint else 0
    started = time.monotonic()
    model.train()
    for epoch in range(first, training.epochs):
        order = torch.randperm(len(x), generator=rng.generator("epoch", epoch)).to(x.device)
        total, correct = _epoch(training, model, optimizer, x, y, order)
        if not math.isfinite(total):
            raise TrainingError(
                f"the training loss is {total} in epoch {epoch + 1} of {training.epochs}, with "
                f"{training.optimizer} at learning rate {training.learning_rate:g}: lower the "
                "learning_rate, or check the images"
            )
        done = epoch + 1
        left = (time.monotonic() - started) / (done - first) * (training.epochs - done)
        logger.info(
            "epoch %d of %d: loss %.4f, training accuracy %.4f, %.0f s left",
            *(done, training.epochs, total / len(x), correct / len(x), left),
        )
        if checkpoint:
            _save(checkpoint, identity, model, optimizer, done)
    model.eval()


def _epoch(training, model, optimizer, x, y, order) -> tuple[float, int]:
    """One pass; returns the sum of the losses and the number of correct predictions."""
    total = torch.zeros((), dtype=torch.float64, device=x.device)
    correct = torch.zeros((), dtype=torch.int64, device=x.device)
    for batch in order.split(training.batch_size):
        optimizer.zero_grad()
        logits = model(x[batch])
        loss = torch.nn.functional.cross_entropy(logits, y[batch], reduction="sum")
        (loss / len(batch)).backward()
        optimizer.step()
        total += loss.detach()
        correct += (logits.argmax(1) == y[batch]).sum()
    return float(total), int(correct)


def _save(path: Path, identity: str, model, optimizer, epoch: int) -> None:
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
    metadata = make_metadata(
        "checkpoint", params={"identity": identity}, code="", seed=0, extra={"epoch": epoch}
    )
    write_tensors(path, tensors, metadata)


def _resume(path: Path, identity: str, model, optimizer) -> int:
    """Load the checkpoint, if it is there and ours; returns the number of epochs done."""
    if not path.exists():
        return 0
    try:
        tensors, metadata = read_tensors(path, stage="checkpoint")
    except ArtifactError as error:
        logger.warning("training starts afresh, the checkpoint is of no use: %s", error)
        return 0
    if metadata.params["identity"] != identity:
        logger.info("the checkpoint %s is of another training: training starts afresh", path)
        return 0
    weights, state = {}, {}
    for name, value in tensors.items():
        part, _, rest = name.partition(".")
        if part == "model":
            weights[rest] = value
        else:
            index, _, key = rest.partition(".")
            state.setdefault(int(index), {})[key] = value
    model.load_state_dict(weights)
    # In the layout of the weights, so that the next step rounds as it would have.
    for index, parameter in enumerate(model.parameters()):
        for key, value in state.get(index, {}).items():
            if value.ndim and value.shape == parameter.shape:
                state[index][key] = torch.empty_like(parameter).copy_(value)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    epoch = metadata.extra["epoch"]
    logger.info("resumed from %s after epoch %d", path, epoch)
    return epoch
