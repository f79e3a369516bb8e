"""Seconds of one SCADA learning iteration and of one attacked image, beside frecon2021's.

``python benchmarks/scada.py`` (make bench): LeNet on the photos of the demo, M = 8 atoms, N = 128
images, on as many threads as torch finds cores; medians of several runs. Training takes seconds
first; how well the network is trained hardly matters for the time.
"""

from __future__ import annotations

import platform
import statistics
import time
from pathlib import Path

import torch

from advsparse.attacks.scada import SCADA
from advsparse.data.photos import Photos
from advsparse.models._io import predict
from advsparse.models._training import Training, train
from advsparse.models.lenet import LeNet
from advsparse.provenance import machine

RUNS = 5
ITERATIONS = 60
PAPER = {"seconds per learning iteration": 0.524, "seconds per attacked image": 1.5}


def main() -> None:
    data = Photos().load(Path())
    model = LeNet().build((3, 32, 32), 10)
    x, y = torch.from_numpy(data.images("train")), torch.from_numpy(data.y_train)
    model.normalise.set_statistics(x)
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
    here = machine()
    print(f"{here['processor']}, {torch.get_num_threads()} threads, {platform.system()}")
    print(f"torch {torch.__version__}; medians of {RUNS} runs")
    print(f"{'':32s}{'paper':>10s}{'here':>10s}{'ratio':>8s}")
    for (name, paper), measured in zip(PAPER.items(), (learned, attacked), strict=True):
        seconds = statistics.median(measured)
        print(f"{name:32s}{paper:10.4f}{seconds:10.4f}{paper / seconds:8.1f}")
    print("The paper measured on a MacBook Pro, 2.3 GHz Core i9, 8 cores.")


if __name__ == "__main__":
    main()
