"""How long defences learn: in steps, of which a few can be measured for all."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from advsparse import registry

_TURNS = ("passes", "epochs", "steps")
"""Settings that say how often something is gone over."""


def learners(method: Any) -> Iterator[Any]:
    """The defences that learn by themselves, of which one is made."""
    parts = getattr(method, "parts", None) if method.of_parts else None
    for one in [method] if parts is None else parts:
        if parts is not None:
            yield from learners(one)
        elif one.learns:
            yield one


def steps(method: Any, images: int) -> int:
    """How many steps a defence learns from so many images.

    What trains or goes over images takes a step for each of them, each time; what trains by steps
    of its own takes these; what chooses among candidates or draws patches takes one for each.
    """
    fields = _fields(method)
    if "candidates" in fields:
        return int(method.candidates)
    if "steps" in fields:
        return int(method.steps)
    turns = [getattr(method, name) for name in _TURNS if name in fields]
    # Where two things are learned, such as features and filters, the longer one counts.
    each = min(images, method.images) if "images" in fields else images
    if "patches" in fields:
        each = int(method.patches)
    return each * max(turns, default=1) * int(getattr(method, "clusters", 1))


def shortened(method: Any, images: int) -> tuple[Any, int]:
    """The same defence that learns for as short as it can, and from how many of ``images``.

    What it has learned then has the size that it has in earnest.
    """
    fields = _fields(method)
    short: dict[str, Any] = {name: 1 for name in _TURNS if name in fields}
    if "candidates" in fields:
        # Noise is hardly coherent, so that as many candidates give all atoms.
        short["candidates"] = method.atoms
    least = {"lid": getattr(method, "reference", 0) + 64}.get(registry.kind_of(method), 32)
    clusters = int(getattr(method, "clusters", 1))
    return dataclasses.replace(method, **short), min(images, max(least, 8 * clusters))


def of_learning(method: Any) -> dict[str, Any]:
    """The settings of a defence but for how long it learns."""
    short, _ = shortened(method, 1)
    return registry.spec_of(short)


def _fields(method: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(method)}
