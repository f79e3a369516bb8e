"""How fast each heavy kind of work is, and how much memory it takes, within a limit of time."""

from __future__ import annotations

import dataclasses
import gc
import logging
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from advsparse import registry
from advsparse.estimate.kinds import Defending, Kind, Learning, Network, Pass, Training
from advsparse.estimate.passes import Asked
from advsparse.gpu_check.clock import Took, TooLong, at_most, taken
from advsparse.gpu_check.workloads import Variant, Workload, at_once, built, images, workload
from advsparse.lazy import torch

SECONDS, LIMIT = 0.4, 20.0
"""For how long something is repeated; and after how long it is given up."""
COMPILING = 60.0
"""Seconds that a network may be compiled for."""
RESERVED = 0.3
"""The share of the time that is left for attacks as a whole, and for variants."""
VARIED = 2
"""Networks whose variants are measured: those whose training takes longest."""
VARIANTS = (
    *map(Variant, ("float32", "tf32", "bfloat16")),
    *(Variant(precision, compiled=True) for precision in ("float32", "bfloat16")),
)


@dataclass
class Found:
    """What was measured; rows are plain values."""

    measured: list[dict[str, Any]] = field(default_factory=list)
    attacks: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)

    def seconds(self, kind: Kind) -> float | None:
        """Of one unit of a kind of work, as jobs do it."""
        rows = (row for row in self.measured if row["key"] == kind.key and row["counts"])
        return next((row["seconds_each"] for row in rows), None)


class Measuring:
    """Measures on a device until ``until``, a moment of :func:`time.monotonic`."""

    def __init__(self, device: str, until: float, said: Callable[[str], None]) -> None:
        self.device, self.until, self.said = device, until, said
        self.found = Found()

    def all(
        self, amounts: Mapping[Kind, float], attacks: Iterable[Mapping[str, Any]] = ()
    ) -> Found:
        """Every kind of work, then some attacks as a whole, then what other precisions, and
        compiling, are worth: first what an estimate needs."""
        until, began = self.until, time.monotonic()
        self.until = until - RESERVED * (until - began)
        for kind in in_order(amounts):
            self.kind(kind)
        self.until = until
        for entry in attacks:
            self.attack(entry["method"], entry["network"])
        for kind in self._varied(amounts):
            for variant in VARIANTS:
                self.kind(kind, variant)
        return self.found

    def kind(self, kind: Kind, variant: Variant | None = None) -> None:
        """One kind of work, as jobs do it or otherwise."""
        name = f"{kind.key}{f' ({variant})' if variant else ''}"
        self.said(name)
        limit = COMPILING if variant and variant.compiled else LIMIT
        left = self.until - time.monotonic()
        if left < 1:
            self.found.skipped.append({"key": name, "why": "the time was over"})
            return
        limit, work = min(limit, left), None
        try:
            with _quiet():
                with at_most(limit):
                    work = workload(kind, self.device, variant or Variant())
                took = taken(work.run, self.device, seconds=SECONDS, limit=limit)
        except TooLong as error:
            self.found.skipped.append({"key": name, "why": str(error)})
            if variant is None and work is not None:
                self.found.measured.append(_row(kind, limit, work, None, least=True))
        except Exception as error:
            # Of one kind of work that fails, the others say nothing.
            why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            self.found.skipped.append({"key": name, "why": why})
        else:
            each = self._without_forward(kind, variant, took.seconds / work.amount)
            seconds = each * work.amount
            self.found.measured.append(_row(kind, seconds, work, took, variant=variant))
        finally:
            self._free()

    def _without_forward(self, kind: Kind, variant: Variant | None, each: float) -> float:
        """Of a way back, what it takes besides the way there, as both are counted."""
        if variant is not None or not isinstance(kind, Pass | Defending) or not kind.backward:
            return each
        there = self.found.seconds(dataclasses.replace(kind, backward=False))
        return max(0.0, each - (there or 0.0))

    def attack(self, spec: Mapping[str, Any], network: Network) -> None:
        """A whole attack, of few iterations: its time as a multiple of that of its passes."""
        forward, backward = (self.found.seconds(Pass(network, back)) for back in (False, True))
        method = registry.from_spec("attacks", brief(spec))
        name = f"whole {spec['kind']} on {network}"
        self.said(name)
        left = self.until - time.monotonic()
        if forward is None or backward is None or left < 1:
            why = "its passes were not measured" if left >= 1 else "the time was over"
            self.found.skipped.append({"key": name, "why": why})
            return
        try:
            with _quiet():
                row = _whole(method, network, self.device, min(LIMIT, left))
        except (TooLong, RuntimeError, ValueError, TypeError) as error:
            why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            self.found.skipped.append({"key": name, "why": why})
        else:
            passes = row["forward"] * forward + row["backward"] * backward
            about = {"attack": spec["kind"], "network": str(network), "passes_seconds": passes}
            ratio = row["seconds"] / passes if passes else 1.0
            self.found.attacks.append(about | row | {"ratio": ratio})
        finally:
            self._free()

    def _varied(self, amounts: Mapping[Kind, float]) -> list[Kind]:
        """The trainings that take longest, and passes of their networks, there and back."""
        times = {
            kind: amount * (self.found.seconds(kind) or 0.0)
            for kind, amount in amounts.items()
            if isinstance(kind, Training)
        }
        longest = sorted(times, key=lambda kind: -times[kind])[:VARIED]
        found: list[Kind] = []
        for kind in longest:
            assert isinstance(kind, Training)
            found += [kind, Pass(kind.network, backward=True)]
        return found

    def _free(self) -> None:
        gc.collect()
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()


def in_order(amounts: Mapping[Kind, float]) -> list[Kind]:
    """Kinds of work in the order in which they are measured: trainings and passes first, a way back
    right after the way there; within that what there is most of."""
    every = dict(amounts)
    for kind in amounts:
        # What a way back takes is told by what it takes besides the way there.
        if isinstance(kind, Pass | Defending) and kind.backward:
            every.setdefault(dataclasses.replace(kind, backward=False), amounts[kind])
    slow = (Defending, Learning)

    def place(kind: Kind) -> tuple[Any, ...]:
        there = kind
        if isinstance(kind, Pass | Defending):
            there = dataclasses.replace(kind, backward=False)
        return isinstance(kind, slow), -every[there], there.key, getattr(kind, "backward", False)

    return sorted(every, key=place)


_BRIEF = {
    "iterations": 20,
    "steps": 20,
    "search_steps": 1,
    "restarts": 1,
    "passes": 1,
    "queries": 50,
}
"""Settings of attacks by which they are cut short where they are measured as a whole."""


def brief(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The same attack with few iterations."""
    return {
        name: min(value, _BRIEF[name]) if name in _BRIEF and isinstance(value, int) else value
        for name, value in spec.items()
    }


def _whole(method: Any, network: Network, device: str, limit: float) -> dict[str, Any]:
    model = built(network, device)
    asked = Asked(model)

    class Counted(torch.nn.Module):
        """The network, whose passes are counted."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x):
            return asked(x)

    counted = Counted().eval()
    x = images(at_once(model, network, device), network.shape, device)
    y = model(x).argmax(1)
    took = taken(lambda: method(counted, x, y), device, seconds=0.0, limit=limit, most=1)
    # Once to warm up and once for the clock.
    forward, backward = asked.forward / 2, asked.backward / 2
    return {
        "seconds": took.seconds,
        "images": len(x),
        "forward": forward,
        "backward": backward,
        "gpu_mib": took.gpu_mib,
    }


def _row(
    kind: Kind,
    seconds: float,
    work: Workload,
    took: Took | None,
    *,
    variant: Variant | None = None,
    least: bool = False,
) -> dict[str, Any]:
    return {
        "key": kind.key,
        "what": type(kind).__name__.lower(),
        "unit": kind.unit,
        "variant": str(variant) if variant else "",
        "counts": variant is None,
        "seconds_each": seconds / work.amount,
        "batch": work.batch,
        "at_least": least,
        "runs": took.runs if took else 0,
        "first_seconds": took.first if took else seconds,
        "gpu_mib": took.gpu_mib if took else 0.0,
        "host_mib": took.host_mib if took else 0.0,
    }


class _quiet:
    """Nothing is logged or warned of meanwhile."""

    def __enter__(self) -> None:
        self._level = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, *error: Any) -> None:
        self._warnings.__exit__(*error)
        logging.disable(self._level)
