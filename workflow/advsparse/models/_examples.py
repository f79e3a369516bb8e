"""What networks are trained on: where examples lie, and how they come in batches."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

from advsparse.artifacts import Rows
from advsparse.data._pixels import IN_MEMORY, floats
from advsparse.lazy import torch

Column = "torch.Tensor | Rows | Joined"
"""Where examples are: in memory, or where rows are read from, or both one after the other."""

_AHEAD = 2
"""Mini-batches that are read while another one is learned from."""


class Examples(ABC):
    """What a network is trained on."""

    def size(self, training) -> int | None:
        """Examples of an epoch, which step sizes that change within one go by; None if unknown."""
        return training.examples

    @abstractmethod
    def batches(self, training, generator: torch.Generator) -> Iterator[tuple]:
        """The mini-batches of an epoch, as tuples of tensors, in an order from ``generator``."""

    @abstractmethod
    def loss(self, model: torch.nn.Module, *batch) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The loss, summed over a mini-batch, and the number of its correct predictions."""


class Stored(Examples):
    """Examples that are all there, as columns of equal length: images, and what belongs to them.

    A column is a tensor, wherever it is; or rows that are read when they are needed, by a thread of
    its own, and come to ``device``.
    """

    def __init__(self, *columns: Column, device: str | torch.device = "cpu") -> None:
        self.columns, self.device = columns, device

    def size(self, training):
        return min(len(self.columns[0]), training.examples or math.inf)

    def batches(self, training, generator):
        order = torch.randperm(len(self.columns[0]), generator=generator)[: training.examples]
        made = self._made(order.split(training.batch_size), training, generator)
        yield from made if all(map(_in_memory, self.columns)) else _read_ahead(made)

    def _made(self, parts, training, generator) -> Iterator[tuple]:
        """The mini-batch of each of the ``parts`` of an order."""
        for part in parts:
            yield self.rows(part)

    def rows(self, index: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The examples of these numbers."""
        return tuple(self._of(column, index) for column in self.columns)

    def _of(self, column, index):
        if isinstance(column, Joined):
            return column.rows(index, self._of)
        if isinstance(column, torch.Tensor):
            return column[index.to(column.device)]
        return torch.from_numpy(column[index.numpy()]).to(self.device)


class Joined:
    """Columns of images one after the other, in eight bits or in [0, 1]; in [0, 1] in a batch."""

    def __init__(self, *parts: Column) -> None:
        self.parts = parts
        self._ends = torch.tensor([len(part) for part in parts]).cumsum(0)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def rows(self, index: torch.Tensor, read: Callable[..., torch.Tensor]) -> torch.Tensor:
        """The images of these numbers, of which ``read`` gives those of a part."""
        which = torch.bucketize(index, self._ends, right=True)
        order, found = [], []
        for number, part in enumerate(self.parts):
            at = (which == number).nonzero().flatten()
            order.append(at)
            found.append(floats(read(part, index[at] - self._ends[number] + len(part))))
        images = torch.cat(found)
        return images[torch.cat(order).argsort().to(images.device)]


def _in_memory(column: Column) -> bool:
    if isinstance(column, Joined):
        return all(map(_in_memory, column.parts))
    return isinstance(column, torch.Tensor)


class LabelledImages(Stored):
    """Images N x C x H x W and their labels N, for a classifier; those in eight bits stay so until
    they come in a batch.

    Its loss is the cross-entropy, with label smoothing if asked for, unless it has a method
    ``loss(x, y, smoothing)`` that returns its own, summed over the images, and the logits.
    """

    def __init__(self, *columns, smoothing: float = 0.0, device: str | torch.device = "cpu"):
        super().__init__(*columns, device=device)
        self.smoothing = smoothing

    def _made(self, parts, training, generator):
        augmentation, moves = training.augmentation, None
        if augmentation is not None:
            moves = augmentation.moves(len(self.columns[0]), generator)
        for part in parts:
            x, *others = self.rows(part)
            if moves is not None:
                x = augmentation.apply(x, moves[part])
            yield floats(x), *others

    def loss(self, model, x, y, weights=None):
        """The loss, with ``weights`` (N) that of each image times its own."""
        if hasattr(model, "loss"):
            if weights is not None:
                raise ValueError(
                    "weight: a network with a loss of its own does not tell that of each image"
                )
            loss, logits = model.loss(x, y, self.smoothing)
        else:
            logits = model(x)
            loss = torch.nn.functional.cross_entropy(
                logits.float(),
                y,
                reduction="sum" if weights is None else "none",
                label_smoothing=self.smoothing,
            )
            if weights is not None:
                loss = (weights.to(loss) * loss).sum()
        return loss, (logits.argmax(1) == y).sum()


class AdversarialImages(LabelledImages):
    """The same, part of each mini-batch attacked as the network is by then.

    What the attack has to say is heard of the first mini-batch.
    """

    def __init__(self, *columns, adversarial, **options):
        super().__init__(*columns, **options)
        self.adversarial, self._heard = adversarial, False

    def _made(self, parts, training, generator):
        for batch in super()._made(parts, training, generator):
            # Other random numbers each time, and the same after an interruption.
            yield *batch, torch.randint(2**62, (1,), generator=generator)

    def loss(self, model, x, y, seed):
        from advsparse.models._adversarial import unheard

        with unheard() if self._heard else nullcontext():
            attacked = self.adversarial.attacked(model, x, y, int(seed))
        self._heard = True
        return super().loss(model, attacked, y, self.adversarial.weights(len(x)))


def placed(rows: Rows, device: str | torch.device = "cpu") -> Column:
    """A column of rows: in the memory of ``device`` where they fit into IN_MEMORY, and else where
    they are."""
    if math.prod(rows.shape) * rows.dtype.itemsize > IN_MEMORY:
        return rows
    return torch.from_numpy(rows[:]).to(device)


def _read_ahead(batches: Iterator[tuple]) -> Iterator[tuple]:
    """The same, some of which a thread makes before they are asked for."""
    with ThreadPoolExecutor(1) as pool:
        waiting = deque(pool.submit(next, batches, None) for _ in range(_AHEAD))
        while (batch := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(next, batches, None))
            yield batch
