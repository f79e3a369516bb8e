"""Kinds of work, each named so that what was measured of it is found again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from advsparse import registry

Shape = tuple[int, ...]


def described(group: str, spec: Mapping[str, Any]) -> str:
    """A plugin in words: its kind, and the settings that are not its defaults."""
    method = registry.from_spec(group, spec)
    said = [spec["kind"]]
    for field in dataclasses.fields(method):
        value = getattr(method, field.name)
        default = type(method).__pydantic_fields__[field.name]
        if value == default.get_default(call_default_factory=True):
            continue
        plain = registry.plain(value)
        nested = plain if isinstance(plain, list) else [plain]
        if nested and all(isinstance(one, dict) and "kind" in one for one in nested):
            of = "attacks" if field.name == "attack" else group
            plain = "(" + ", ".join(described(of, one) for one in nested) + ")"
        said.append(f"{field.name}={plain}")
    return " ".join(said)


def sized(shape: Shape) -> str:
    return "x".join(map(str, shape))


@dataclass(frozen=True)
class Network:
    """A network that takes images of a shape; equal if it costs the same."""

    architecture: str
    """Its settings as JSON, so that networks are told apart by them."""
    shape: Shape
    classes: int
    coder: str | None = None
    """The settings of the coder whose codes it classifies, as JSON."""
    inside: str | None = None
    """Those of a defence that changes what its layers do, as JSON."""

    def __str__(self) -> str:
        said = described("models", json.loads(self.architecture))
        said += f" of {described('coding', json.loads(self.coder))}" if self.coder else ""
        said += f" with {described('defenses', json.loads(self.inside))}" if self.inside else ""
        return f"{said}, {sized(self.shape)}, {self.classes} classes"


@dataclass(frozen=True)
class Training:
    """An image that a network is trained on in one epoch: a pass in training mode, and its share of
    a step."""

    network: Network
    batch_size: int
    precision: str

    unit = "images"

    @property
    def key(self) -> str:
        return f"train {self.network}, batches of {self.batch_size}, {self.precision}"


@dataclass(frozen=True)
class Coding:
    """An image or signal that a coder is trained on in one epoch."""

    coder: str
    """The coder's settings, as JSON."""
    batch_size: int
    shape: Shape
    atoms: int | None = None
    """Of signals: entries of a code."""

    unit = "signals"

    @property
    def key(self) -> str:
        of = f"{sized(self.shape)} of {self.atoms} atoms" if self.atoms else sized(self.shape)
        coder = described("coding", json.loads(self.coder))
        return f"train coder {coder}, {of}, batches of {self.batch_size}"


@dataclass(frozen=True)
class Pass:
    """An image that passes a network in evaluation mode: forward, or backward to the image."""

    network: Network
    backward: bool = False

    unit = "passes"

    @property
    def key(self) -> str:
        return f"{'backward' if self.backward else 'forward'} {self.network}"


@dataclass(frozen=True)
class Defending:
    """An image that a defence transforms, or gives a score; or the way back to the image."""

    method: str
    """The defence's settings, as JSON."""
    shape: Shape
    backward: bool = False
    network: Network | None = None
    """The one that it looks at, if it does."""

    unit = "images"

    @property
    def key(self) -> str:
        way = "differentiate" if self.backward else "transform"
        looks = f", looking at {self.network}" if self.network else ""
        return f"{way} {described('defenses', json.loads(self.method))}, {sized(self.shape)}{looks}"


@dataclass(frozen=True)
class Learning:
    """A step of what a defence learns: see :func:`advsparse.estimate.learning.steps`."""

    method: str
    """The defence's settings as JSON, but for how long it learns."""
    shape: Shape
    network: Network | None = None

    unit = "steps"

    @property
    def key(self) -> str:
        looks = f", looking at {self.network}" if self.network else ""
        return f"learn {described('defenses', json.loads(self.method))}, {sized(self.shape)}{looks}"


Kind = Training | Coding | Pass | Defending | Learning
