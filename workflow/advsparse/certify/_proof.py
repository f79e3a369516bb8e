"""A proof that no image of a ball is adversarial, as a list of instructions.

The one who replays it keeps bounds of all hidden units, and does with each instruction what
:mod:`advsparse.certify.check` says. Numbers of units count through all layers; integers and reals
are read one after the other, each from a list of its own.

=========  ================================================  ==========================
Code       Integers                                          Reals
=========  ================================================  ==========================
``LINE``   n, n units; m, m units                            n lower slopes; m betas
``BOUND``  n, n units from 1 on, negative for lower bounds   n lambdas
``SPLIT``  a unit; the proof where it is on, then where off  none
``CLOSE``  none                                              none
=========  ================================================  ==========================
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from advsparse.certify._network import Array

LINE, BOUND, SPLIT, CLOSE = range(4)


@dataclass
class Proof:
    """The instructions."""

    integers: list[int] = field(default_factory=list)
    reals: list[float] = field(default_factory=list)

    def line(self, units: Array, slopes: Array, stable: Array, betas: Array) -> None:
        self.integers += [LINE, len(units), *units.tolist(), len(stable), *stable.tolist()]
        self.reals += [*slopes.tolist(), *betas.tolist()]

    def bound(self, units: Array, lambdas: Array) -> None:
        self.integers += [BOUND, len(units), *units.tolist()]
        self.reals += lambdas.tolist()

    def split(self, unit: int) -> None:
        self.integers += [SPLIT, unit]

    def close(self) -> None:
        self.integers.append(CLOSE)

    def add(self, other: Proof) -> None:
        self.integers += other.integers
        self.reals += other.reals

    def arrays(self) -> tuple[Array, Array]:
        return np.array(self.integers, dtype=np.int32), np.array(self.reals, dtype=np.float64)
