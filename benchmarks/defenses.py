"""Every defence: seconds to learn, images a second, a peer where there is one, accuracy lost."""

from __future__ import annotations

import logging
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from advsparse import registry
from advsparse.data._base import Splits
from advsparse.data._pixels import channel_statistics
from advsparse.data.photos import Photos
from advsparse.defenses._base import Defense, Detector, Transformation
from advsparse.defenses._defended import Beside, Defended
from advsparse.errors import ArchitectureError
from advsparse.models._training import Training, train
from advsparse.models.lenet import LeNet
from advsparse.seeding import Random
from benchmarks.beside import Measured, beside, in_turns
from benchmarks.defense_peers import peer_of
from benchmarks.subject import CLASSES, SHAPE

TITLE = "Defences"
SETTINGS = """\
Every defence in front of, in or beside a LeNet that is trained on 1200 of `photos`, patches of
photographs of 3 x 32 x 32 pixels, from which defences learn too; with the settings that are named,
and otherwise as they are by default. One thread, batches of 32 images.

*Images / s* are those of the transformation by itself, or of the detector's score; of an ensemble
(all of its draws) and in the network those of the defended network, less the time of the network
alone. *Seconds to fit* are once where it takes more than two, else the median of three. The *ratio*
is the time of advsparse to that of a library that computes the same, or the part that is named
below. *Accuracy lost* is that of 256 clean test images, in points of percent; by itself the network
is right on {right:.1f} % of them. Beside a detector, an image is right only if it passes. The
network is not trained again, save behind what changes the shape of images: there it is trained
anew, in the same way, on the training images as they are transformed.
"""
BESIDE = """\
The same computed by a published library, on the same thread, in turns; medians of three or five.
There is no ratio where results differ by more than is allowed (of total variation: where an
objective exceeds the optimum by more). ART's `TotalVarMin` is not among them: it minimises
something else (an unsquared distance, norms of whole rows and columns, three entries of ten kept)
in ten steps of L-BFGS; nor is its `PixelDefend`, which takes all conditionals from the image as it
was given.
"""

TRAIN, TEST, BATCH = 120, 60, 32
"""Patches of each photograph, for training and for the test; images at once."""
COUNT = 256
"""Images on which accuracy is measured."""
LONG = 2.0
"""Seconds beyond which learning is measured once."""

OPTIONS: dict[str, dict[str, Any]] = {
    "averaged": {
        "parts": [{"kind": "pixel_deflection"}, {"kind": "tvm", "iterations": 100}],
        "draws": 4,
    },
    "chain": {"parts": [{"kind": "bit_depth"}, {"kind": "tvm", "iterations": 100}]},
    "d3": {"patch": 4, "atoms": 1000, "candidates": 20000},
    "denoising_dictionary": {"patches": 5000},
    "divergence": {"epochs": 20},
    "magnet_reformer": {"structure": "normalised", "filters": 16, "epochs": 20},
    "pixel_defend": {"steps": 300},
    "quilting": {"patches": 20000},
    "random_resizing": {"smallest": 0.9, "largest": 1.0},  # LeNet takes no images of 35 pixels
    "reconstruction_error": {"epochs": 20},
    "stl": {"filters": 32, "passes": 10, "images": 100},
    "stl_cluster": {"filters": 32, "passes": 10, "images": 100, "epochs": 5},
}
"""Small ones; kinds that are not named here have none."""

logger = logging.getLogger(__name__)


def measure() -> dict[str, Any]:
    """What the page is made from: a row for each defence, and one for each peer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the peers, most of which know no other
    try:
        with threadpool_limits(1):
            return _table() | {"origin": {"threads": 1}}
    finally:
        torch.set_num_threads(threads)


def _table() -> dict[str, Any]:
    on, rows, peers = _Networks(), [], []
    for kind in registry.kinds("defenses"):
        row, found = _measured(kind, on)
        rows.append(row)
        if found is not None:
            peers.append([f"`{kind}`", found.task, *_compared(found)])
        logger.info("%s: %s", TITLE, ", ".join(row))
    return {
        "section": "defences",
        "title": TITLE,
        "settings": SETTINGS.format(right=100 * on.right),
        "columns": ["defence", "settings", "s to fit", "images / s", "ratio", "accuracy lost"],
        "rows": rows,
        "beside": BESIDE,
        "peer_columns": [
            *("", "by", "images / s", "advsparse, images / s", "ratio", "difference", "allowed")
        ],
        "peers": peers,
    }


class _Networks:
    """Images, and networks that are trained on them."""

    def __init__(self) -> None:
        splits = Photos(train_per_class=TRAIN, test_per_class=TEST).load(Path())
        (self.x, self.y), (test, labels) = (_mixed(splits, split) for split in ("train", "test"))
        self.test, self.labels = test[:COUNT], labels[:COUNT]
        self.plain = self.trained(self.x)
        with torch.no_grad():
            self.right = float(self.share(self.plain))

    def trained(self, x: torch.Tensor) -> torch.nn.Module:
        """A LeNet for images like ``x``, which are the training images."""
        model = LeNet().build(tuple(x.shape[1:]), CLASSES)
        model.normalise.set_statistics(*channel_statistics(x.numpy()))
        train(Training(), model, x, self.y, seed=0)
        return model.eval().requires_grad_(False)

    def share(self, model: torch.nn.Module) -> torch.Tensor:
        """Of the test images, those that pass and are right."""
        right = model(self.test).argmax(1) == self.labels
        if isinstance(model, Beside):
            right &= model.excess(self.test) <= 0
        return right.double().mean()


def _mixed(splits: Splits, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The images and labels of a split, which come class by class, in random order."""
    x, y = (torch.from_numpy(of(split)) for of in (splits.images, splits.labels))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return x[order], y[order]


def _measured(kind: str, on: _Networks) -> tuple[list[str], Measured | None]:
    options = OPTIONS.get(kind, {})
    defense = registry.from_spec("defenses", {"kind": kind, **options})
    learned, seconds = _fitted(defense, on)
    network, note = _network(defense, learned, on)
    head = [f"`{kind}`", _said(options)]
    fit = f"{seconds:.3g}" if defense.learns else ""
    if network is None:
        return [*head, fit, "", "", note], None
    defended, x = defense.wrap(network, learned), on.test[:BATCH]
    with torch.no_grad():
        speed = len(x) / _seconds(defense, defended, x)
        lost = f"{100 * (on.right - float(on.share(defended))):.1f}{note}"
        peer = peer_of(kind, defense, learned, x)
        found = beside(peer) if peer else None
    return [*head, fit, _number(speed), _beside(found), lost], found


def _fitted(defense: Defense, on: _Networks) -> tuple[dict, float]:
    """What it learns, and the seconds that it takes."""
    model, seconds = on.plain if defense.asks_network else None, []
    while len(seconds) < (3 if not seconds or seconds[0] <= LONG else 1):
        started = time.perf_counter()
        learned = defense.fit(on.x, on.y, model=model, rng=0)
        seconds.append(time.perf_counter() - started)
    return dict(learned), statistics.median(seconds)


def _network(defense, learned, on: _Networks) -> tuple[torch.nn.Module | None, str]:
    """The network behind a defence, and what is to be said of it."""
    if not isinstance(defense, Transformation) or defense.shape(SHAPE) == SHAPE:
        return on.plain, ""
    t = defense.for_network(learned, on.plain)
    numbers = (Random(0),) if defense.stochastic else ()
    with torch.no_grad():
        x = torch.cat([t(part, *numbers) for part in on.x.split(BATCH)])
    try:
        return on.trained(x), ", trained behind it"
    except ArchitectureError:
        return None, "no LeNet takes such images"


def _seconds(defense: Defense, defended: Any, x: torch.Tensor) -> float:
    """What it takes for images, the network's own time left out."""
    if isinstance(defense, Detector):
        return in_turns([lambda: defended.excess(x)])[0][0]
    if isinstance(defense, Transformation) and defense.ensemble == 1:
        return in_turns([lambda: defended.transform(x)])[0][0]
    network: Defended = defended.model
    (whole, alone), _ = in_turns([lambda: defended(x), lambda: network(x)])
    return max(whole - alone, 1e-9)


def _number(value: float) -> str:
    """Three digits of it."""
    return f"{float(f'{value:.3g}'):,.{0 if value >= 100 else 1}f}"


def _said(options: dict[str, Any]) -> str:
    """Settings in words."""
    return ", ".join(f"{name} {_value(value)}" for name, value in options.items())


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " and ".join(_value(one) for one in value)
    if isinstance(value, dict):
        kind, *rest = (_value(one) if key == "kind" else f"{key} {_value(one)}"
                       for key, one in value.items())  # fmt: skip
        return f"{kind} ({', '.join(rest)})" if rest else kind
    return str(value)


def _beside(found: Measured | None) -> str:
    if found is None:
        return ""
    return found.library + (f" {found.ratio:.2g}" if found.ratio is not None else ", differs")


def _compared(found: Measured) -> list[str]:
    return [
        _number(found.theirs),
        _number(found.ours),
        f"{found.ratio:.2g}" if found.ratio is not None else "not the same",
        f"{found.difference:.1e}",
        f"{found.equal:.0e}",
    ]
