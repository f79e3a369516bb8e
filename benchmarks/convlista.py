"""Seconds of a training step of ConvLISTA, beside those of its bare convolutions.

What ConvLISTA adds to them are thresholds, residuals and the structural similarity.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from torch.nn.functional import mse_loss

from advsparse.coding.convlista import ConvLISTA
from advsparse.models._training import Training

TITLE = "ConvLISTA training"
SETTINGS = (
    "Steps of Adam on batches of 32 images of 3x32x32, 64 filters of 7x7, K = 3: forward, backward "
    "and update, medians of 25 steps in turns. The bare convolutions are torch's layers with a "
    "squared error, in their fastest memory layout, without thresholds or structural similarity."
)
SHAPE, BATCH, RUNS = (3, 32, 32), 32, 25
WARM_UP = 3


class Plain(torch.nn.Module):
    """The convolutions of a ConvLISTA by torch's layers, and nothing between them."""

    def __init__(self, channels: int, convlista: ConvLISTA) -> None:
        super().__init__()
        count, size = convlista.filters, convlista.size
        options = {"padding": size // 2, "bias": False}
        self.iterations = convlista.iterations
        self.encoder = torch.nn.Conv2d(channels, count, size, **options)
        self.prediction, self.decoder = (
            torch.nn.ConvTranspose2d(count, channels, size, **options) for _ in range(2)
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(self.iterations):
            x = self.prediction(self.encoder(x))
        return self.decoder(self.encoder(x))

    def loss(self, x: torch.Tensor, code: None) -> torch.Tensor:
        return mse_loss(self(x), x)


def measure() -> dict[str, Any]:
    """A line for each of the two, in images per second."""
    ours, plain = convlista_training()
    rows = [
        ["advsparse", f"{BATCH / ours:.0f}", f"{ours / plain:.2f}", "1.15"],
        ["bare convolutions", f"{BATCH / plain:.0f}", "1", ""],
    ]
    return {
        "section": "alone",
        "title": TITLE,
        "settings": SETTINGS,
        "columns": ["", "images / s", "time / that of bare convolutions", "to reach"],
        "rows": rows,
    }


def convlista_training() -> tuple[float, float]:
    """Median seconds of a step with Adam on a batch, ours and plain, measured in turns."""
    x = torch.rand(BATCH, *SHAPE, generator=torch.Generator().manual_seed(0))
    contenders = [ConvLISTA().build(SHAPE), Plain(SHAPE[0], ConvLISTA())]
    optimizers = [Training().make_optimizer(network.parameters()) for network in contenders]
    seconds: list[list[float]] = [[], []]
    for run in range(WARM_UP + RUNS):
        for network, optimizer, taken in zip(contenders, optimizers, seconds, strict=True):
            started = time.perf_counter()
            optimizer.zero_grad()
            network.loss(x, None).backward()
            optimizer.step()
            if run >= WARM_UP:
                taken.append(time.perf_counter() - started)
    return statistics.median(seconds[0]), statistics.median(seconds[1])
