"""Adversarial training: images that are attacked while a network is trained."""

from __future__ import annotations

import importlib
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from advsparse import registry
from advsparse.lazy import torch
from advsparse.settings import PositiveFloat, PositiveShare, settings


@settings
class Adversarial:
    r"""Part of each mini-batch is attacked, with the network as it is by then.

    .. math:: \min_\theta \frac{1}{(m - k) + \lambda k} \Big( \lambda \sum_{i \le k}
              l(f_\theta(A_\theta(x_i, y_i)), y_i) + \sum_{i > k} l(f_\theta(x_i), y_i) \Big),
              \qquad k = \lceil \rho\, m \rceil

    A attacks the network in evaluation mode, whose normalisation it leaves alone.

    Source: Madry et al. 2018 (PGD from a random start, all of each mini-batch); Kurakin, Goodfellow
    and Bengio 2017 (half of it, away from the prediction: FGSM away from the label teaches the
    network to tell attacked images by what the label has left in them; lambda of 0.3, and a budget
    that is drawn for each image, which is left out).
    """

    attack: Any
    """The attack A: its kind and hyper-parameters. Any on single images."""
    share: PositiveShare = 1.0
    """The share rho of a mini-batch that is attacked."""
    against: Literal["label", "prediction"] = "label"
    """What an image is led away from: its label, or what the network says of it."""
    weight: PositiveFloat = 1.0
    """The weight lambda of an attacked image's loss beside that of another one."""

    def __post_init__(self) -> None:
        if self.attack.universal:
            kind = registry.kind_of(self.attack)
            raise ValueError(f"attack: {kind} learns from many images, a training attacks each")

    @classmethod
    def of(cls, values: Mapping[str, Any] | None) -> Adversarial | None:
        """The same from plain values, of which None means none."""
        if values is None:
            return None
        return cls(**values | {"attack": registry.from_spec("attacks", values["attack"])})

    def attacked(
        self, model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, seed: int
    ) -> torch.Tensor:
        """``x`` (N x C x H x W) with labels ``y`` (N), the first images of it attacked."""
        count = self._count(len(x))
        part, labels = x[:count], y[:count]
        if self.against == "prediction":
            training = model.training
            model.eval()
            with torch.no_grad():
                labels = model(part).argmax(1)
            model.train(training)
        found = self.attack(model, part, labels, rng=seed).x
        return torch.cat([found.to(x), x[count:]])

    def weights(self, size: int) -> torch.Tensor | None:
        """Those of the images of a mini-batch of this ``size``, whose mean is 1; None where all are
        the same."""
        if self.weight == 1:
            return None
        attacked = torch.arange(size) < self._count(size)
        weights = torch.where(attacked, self.weight, 1.0)
        return weights / weights.mean()

    def _count(self, size):
        """How many of a mini-batch are attacked."""
        return math.ceil(self.share * size)


@contextmanager
def unheard() -> Iterator[None]:
    """What attacks have to say is neither logged nor warned of: each mini-batch has one."""
    # By name: a training without attacks is not to rerun for an edit of theirs.
    kind = importlib.import_module("advsparse.attacks._checks").AttackWarning
    attacks = logging.getLogger("advsparse.attacks")
    level = attacks.level
    attacks.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", kind)
            yield
    finally:
        attacks.setLevel(level)
