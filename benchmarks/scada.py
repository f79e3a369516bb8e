"""Seconds of one SCADA learning iteration and of one attacked image, beside frecon2021's.

LeNet on the photos of the demo, M = 8 atoms, N = 128 images; medians of several runs. Training
takes seconds first; how well the network is trained hardly matters for the time.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import torch

from advsparse.attacks.scada import SCADA
from advsparse.data._pixels import channel_statistics
from advsparse.data.photos import Photos
from advsparse.models._io import predict
from advsparse.models._training import Training, train
from advsparse.models.lenet import LeNet

TITLE = "SCADA beside its paper"
RUNS = 5
ITERATIONS = 60
PAPER = {"a learning iteration": 0.524, "an attacked image": 1.5}
SETTINGS = (
    "frecon2021's algorithm 1 with M = 8 atoms on N = 128 images, LeNet. The paper measured on a "
    "MacBook Pro, 2.3 GHz Core i9, 8 cores: another machine, so that the quotient says how long "
    "one waits, not how good the code is."
)


def measure() -> dict[str, Any]:
    """Rows of name, the paper's seconds and ours."""
    data = Photos().load(Path())
    model = LeNet().build((3, 32, 32), 10)
    x, y = torch.from_numpy(data.images("train")), torch.from_numpy(data.y_train)
    model.normalise.set_statistics(*channel_statistics(data.x_train))
    train(Training(epochs=3), model, x, y, seed=0)
    order = torch.randperm(len(data.y_test), generator=torch.Generator().manual_seed(0))
    test = torch.from_numpy(data.images("test"))
    learning, unseen = test[order[:128]], test[order[128:256]]
    attack = SCADA(atoms=8, iterations=ITERATIONS)
    labels = predict(model, learning), predict(model, unseen)
    attack.fit(model, learning, labels[0])  # warm up
    learned, attacked = [], []
    for seed in range(RUNS):
        started = time.perf_counter()
        fit = attack.fit(model, learning, labels[0], rng=seed)
        learned.append((time.perf_counter() - started) / max(len(fit.arrays["step"]), 1))
        started = time.perf_counter()
        attack(model, unseen, labels[1], fit=fit, rng=seed)
        attacked.append((time.perf_counter() - started) / len(unseen))
    here = map(statistics.median, (learned, attacked))
    rows = [(name, paper, own) for (name, paper), own in zip(PAPER.items(), here, strict=True)]
    return {"settings": SETTINGS, "rows": rows}
