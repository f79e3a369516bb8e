"""The two networks, one plain and one trained against PGD, and the images that are attacked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from advsparse.attacks.pgd import PGD
from advsparse.data._base import Splits
from advsparse.data.digits import Digits
from advsparse.data.npz import Npz
from advsparse.models._adversarial import Adversarial
from advsparse.models._training import Training, train
from benchmarks import subject

EPS, EPOCHS, STEPS = 0.2, 4, 5
"""Of the training against PGD; so many more epochs on the few digits of scikit-learn."""
FEW, MORE = 10_000, 10


@dataclass(frozen=True)
class Network:
    """A network, and test images that it classifies correctly."""

    name: str
    said: str
    """What it is, in a sentence."""
    model: torch.nn.Module
    x: torch.Tensor
    y: torch.Tensor

    def drawn(self, count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Some of the images with their labels."""
        chosen = torch.randperm(len(self.x), generator=torch.Generator().manual_seed(seed))[:count]
        return self.x[chosen], self.y[chosen]


def networks(mnist: Path | None) -> dict[str, Callable[[], Network]]:
    """How each is made; ``mnist``: an .npz file of MNIST, none meaning digits of scikit-learn."""
    return {"plain": _plain, "pgd": lambda: _trained(mnist)}


def _plain() -> Network:
    on = subject.subject()
    said = "the LeNet of the oracle tests, trained on `photos` of 3 x 32 x 32 pixels, not robust"
    return Network("plain", said, on.model, on.x, on.y)


def _trained(mnist: Path | None) -> Network:
    data: Splits = Digits().load(Path()) if mnist is None else Npz(path=str(mnist)).load(Path())
    x, y = (torch.from_numpy(of("train")) for of in (data.images, data.labels))
    epochs = EPOCHS * (MORE if len(x) < FEW else 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = small_network()
    attack = PGD(eps=EPS, steps=STEPS, step=EPS / 2)
    train(Training(epochs=epochs), model, x, y, adversarial=Adversarial(attack=attack), seed=0)
    model.eval().requires_grad_(False)
    test, labels = (torch.from_numpy(of("test")) for of in (data.images, data.labels))
    with torch.no_grad():
        right = model(test).argmax(1) == labels
    share = float(right.double().mean())
    source = "MNIST" if mnist is not None else "scikit-learn's digits, which stand in for MNIST"
    said = (
        f"two strided convolutions and two linear layers, trained for {epochs} epochs against PGD "
        f"of {STEPS} steps at linf {EPS} on {source} (clean accuracy {100 * share:.1f} %)"
    )
    return Network("pgd", said, model, test[right], labels[right])


def small_network() -> torch.nn.Module:
    """For images of 1 x 28 x 28 pixels and 10 classes."""
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 4, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, 4, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(32 * 7 * 7, 100),
        torch.nn.ReLU(),
        torch.nn.Linear(100, 10),
    )
