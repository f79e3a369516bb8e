"""What coders are trained on."""

from __future__ import annotations

from advsparse.coding._signals import Signals
from advsparse.data._pixels import floats
from advsparse.errors import TrainingError
from advsparse.lazy import torch
from advsparse.models._examples import Examples, Stored


class UnlabelledSignals(Stored):
    """Signals alone, N x the signal's shape, images in eight bits among them: their codes are not
    known."""

    def loss(self, model, x):
        return model.loss(floats(x), None), None


class GeneratedSignals(Examples):
    """Pairs of signals and codes, drawn anew in each epoch and on the CPU."""

    def __init__(self, signals: Signals, dictionary: torch.Tensor) -> None:
        self.signals, self.dictionary = signals, dictionary

    def batches(self, training, generator):
        if training.examples is None:
            raise TrainingError("generated signals have no end: set the training's examples")
        for start in range(0, training.examples, training.batch_size):
            count = min(training.batch_size, training.examples - start)
            yield self.signals.draw(count, self.dictionary, generator)

    def loss(self, model, x, code):
        return model.loss(x, code), None
