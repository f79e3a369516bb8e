"""Passes that attacks take, counted on a small network: exact but for where they stop early.

An attack's passes follow from its settings, not from what a pass costs. So it is run with them on a
network of one hidden layer, and passes of that are counted. How early an attack stops, on images
that it fools, is then that network's word.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import math
import warnings
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advsparse import registry
from advsparse.lazy import torch

IMAGES = 4
"""Images that an attack is counted on."""
LEARNED = 8
"""Images that a universal attack is counted on while it learns."""
MOST = 5000
"""Passes for an image, forward and backward, after which no more are counted: at least so many."""
_HIDDEN, _LARGEST = 64, 32


@dataclass(frozen=True)
class Count:
    """Passes for each image, and of what stands before or beside the network."""

    forward: float = 0.0
    backward: float = 0.0
    defended: float = 0.0
    """Images that the defence transforms, or gives a score."""
    defended_backward: float = 0.0
    at_least: bool = False
    """Whether counting was given up at :data:`MOST`."""


@dataclass(frozen=True)
class Declared:
    """What attacks go by of a defence."""

    place: str
    stochastic: bool
    backward: str = "exact"
    ensemble: int = 1

    @classmethod
    def of(cls, method: Any) -> Declared:
        front = method.place == "in front of the network"
        more = (method.backward, method.ensemble) if front else ()
        return cls(method.place, method.stochastic, *more)


class Enough(Exception):
    """So many passes were counted that no more are."""


class Asked:
    """A function of images that counts them, and those on the way back; no more than ``most``."""

    def __init__(self, function: Callable[..., Any], most: float = math.inf) -> None:
        self.function, self.most = function, most
        self.forward = self.backward = 0

    def __call__(self, x, *numbers):
        if self.forward + self.backward > self.most:
            raise Enough
        self.forward += len(x)
        found = self.function(x)
        if found.requires_grad:
            found.register_hook(self._back)
        return found

    def _back(self, gradient):
        self.backward += len(gradient)


class Counter:
    """Counts passes of attacks; what was counted is kept in a file, by what it hangs on."""

    def __init__(self, kept: Path | None = None) -> None:
        self._file = kept
        self._kept: dict[str, dict[str, Any]] = {}
        if kept is not None and kept.is_file():
            self._kept = json.loads(kept.read_text(encoding="utf-8"))

    def count(
        self,
        method: Mapping[str, Any],
        shape: tuple[int, ...],
        classes: int,
        *,
        declared: Declared | None = None,
        targeted: str = "none",
        learns: bool = False,
        code: str = "",
    ) -> Count | None:
        """Passes for each image of an attack of these settings, or for each that it learns from.

        shape, classes: of the images; declared: what the defence of the attacked network declares;
        targeted: as an entry of ``attacks`` says it; code: a digest of what the count hangs on
        besides. None where the attack can't be run on the small network.
        """
        shape = (shape[0], *(min(side, _LARGEST) for side in shape[1:]))
        about = [method, shape, classes, declared and dataclasses.asdict(declared), targeted]
        text = json.dumps([*about, learns, code], sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:32]
        if key not in self._kept:
            found = _counted(method, shape, classes, declared, targeted, learns)
            self._kept[key] = dataclasses.asdict(found) if found else {}
            if self._file is not None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._file.write_text(json.dumps(self._kept), encoding="utf-8")
        return Count(**self._kept[key]) if self._kept[key] else None


class Once(Counter):
    """Takes any attack for one pass of each kind, by which it is known at once what is measured."""

    def count(self, *about: Any, **options: Any) -> Count:
        return Count(1.0, 1.0, 1.0, 1.0)


def _counted(method, shape, classes, declared, targeted, learns) -> Count | None:
    attack = registry.from_spec("attacks", method)
    generator = torch.Generator().manual_seed(0)

    x = torch.rand(max(IMAGES, LEARNED), *shape, generator=generator)
    images = LEARNED if learns else IMAGES
    network = Asked(_network(x, classes, generator), MOST * images)
    before = Asked(lambda z: z * 1.0)
    model = _model(network, before, declared)
    with torch.no_grad():
        y = network.function(x).argmax(1)
    x, y = x[:images], y[:images]
    options, given_up = {}, False
    if targeted == "random":
        options["target"] = (y + 1) % classes
    elif targeted == "runner_up":
        with torch.no_grad():
            options["towards"] = network.function(x).topk(2).indices[:, 1]
    try:
        with _quiet():
            if attack.universal and not learns:
                fit = attack.fit(model, x, y)
                network.forward = network.backward = before.forward = before.backward = 0
                options["fit"] = fit
            if learns:
                attack.fit(model, x, y)
            else:
                attack(model, x, y, **options)
    except (ValueError, TypeError, AttributeError):
        return None
    except Enough:
        given_up = True
    counts = network.forward, network.backward, before.forward, before.backward
    there, back, defended, defended_back = (count / len(x) for count in counts)
    return Count(there, back, defended, defended_back, at_least=given_up)


def _network(x, classes, generator):
    """Logits of mean 0 over images, by which classes are mixed, as a function."""
    size = x[0].numel()
    first = torch.randn(size, _HIDDEN, generator=generator) / size**0.5
    last = torch.randn(_HIDDEN, classes, generator=generator)

    def logits(z):
        return torch.relu((z.flatten(1) - 0.5) @ first.to(z)) @ last.to(z)

    mean = logits(x).mean(0)
    return lambda z: logits(z) - mean.to(z)


def _model(network, before, declared):
    from advsparse.defenses._defended import Beside, Changed, InFront

    class Counted(torch.nn.Module):
        def forward(self, x):
            return network(x)

    model = Counted()
    if declared is None:
        return model
    if declared.place == "in the network":
        return Changed(model, network, stochastic=declared.stochastic)
    if declared.place == "beside the network":
        score = Asked(lambda z: z.flatten(1).mean(1))
        one = torch.ones(())
        before.function = score.function
        return Beside(model, before, threshold=10 * one, spread=one)
    # A function that stands for the derivative costs what the derivative of t itself does.
    backward: Any = "exact" if declared.backward == "approximation" else declared.backward
    return InFront(
        model,
        before,
        stochastic=declared.stochastic,
        backward=backward,
        ensemble=declared.ensemble,
    )


@contextmanager
def _quiet():
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
