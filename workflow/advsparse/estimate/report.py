"""An estimate for a reader: hours of each paper and stage, the costliest jobs, what is assumed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from advsparse.errors import UserError
from advsparse.estimate.kinds import Coding, Defending, Kind, Learning, Pass, Training
from advsparse.estimate.work import Work

SHOWN = 15
"""Jobs that are shown, the costliest first."""
LARGE = 8
"""GiB of images that a job holds at once, from which on it is told."""

ASSUMPTIONS = (
    "Passes of attacks are counted on a small random network: where an attack stops once an image "
    "is fooled, that network's images stand for the real ones.",
    "What an attack does between passes (steps of an optimiser, projections) costs what it costs "
    "in the first one of its kind, which was measured as a whole with 20 iterations, so that what "
    "it does once counts as often; nothing where none of its kind was.",
    "An image takes the same time in any lot as in a full one: what asks about few images at once "
    "(UAP while it learns, the last ones of DeepFool) takes longer than is estimated.",
    "Reading data, starting Python, drawing figures and waiting in a queue are left out.",
    "What a defence learns takes time in proportion to its steps.",
    "Analyses count by the images that they transform alone; certificates run on CPUs, and count "
    "by their own limit of time, which many end before.",
)


@dataclass
class Measured:
    """What was measured on a machine: seconds of each kind of work, by its name."""

    device: str
    kind: str = "cpu"
    """cpu or cuda."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    least: frozenset[str] = frozenset()
    """Those that took longer than they were given: at least so long."""
    whole: Mapping[str, float] = field(default_factory=dict)
    """By kind of attack: the time of a whole attack as a multiple of that of its passes."""
    host_mib: float = 0.0
    """The most that the process that measured took."""

    @classmethod
    def read(cls, path: Path) -> Measured:
        """What ``make gpu-check`` has written; UserError for anything else."""
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            rows = [row for row in told["measured"] if row["counts"]]
            return cls(
                told["device"]["name"],
                told["device"]["kind"],
                {row["key"]: float(row["seconds_each"]) for row in rows},
                frozenset(row["key"] for row in rows if row["at_least"]),
                {row["attack"]: float(row["ratio"]) for row in told["attacks"]},
                max((float(row["host_mib"]) for row in rows), default=0.0),
            )
        except FileNotFoundError as error:
            raise UserError(f"{path} is not there: make gpu-check writes it") from error
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is not what make gpu-check writes: {error!r}") from error


@dataclass
class Cost:
    """What a job is estimated to take."""

    work: Work
    seconds: float = 0.0
    at_least: bool = False
    unmeasured: list[str] = field(default_factory=list)
    """The work of it that no measurement says anything of."""


def cost(work: Work, measured: Measured) -> Cost:
    """The seconds of a job's work on the measured machine."""
    found = Cost(work)
    for kind, amount in work.amounts.items():
        each = measured.seconds.get(kind.key)
        if each is None:
            found.unmeasured.append(kind.key)
            continue
        around = measured.whole.get(work.attack, 1.0) if isinstance(kind, Pass) else 1.0
        found.seconds += amount * each * max(1.0, around)
        found.at_least |= kind.key in measured.least
    return found


_SAID: dict[type, str] = {
    Training: "images trained on",
    Coding: "signals trained on",
    Pass: "passes",
    Defending: "images transformed",
    Learning: "steps of defences that learn",
}


def counted(work: Iterable[Work]) -> dict[str, float]:
    """Amounts of work, added up by what they are of."""
    found: dict[str, float] = {}
    for one in work:
        for kind, amount in one.amounts.items():
            name = _SAID[type(kind)]
            found[name] = found.get(name, 0.0) + amount
    return found


def lines(preset: str, every: list[Work], measured: Measured | None) -> Iterator[str]:
    """The estimate, line by line."""
    every = [work for work in every if work.amounts or work.limit]
    papers = list(dict.fromkeys(work.job.paper for work in every))
    if measured is None:
        yield f"preset {preset}: work that is counted, of which nothing was measured"
        yield "  make gpu-check measures it; then: --measured results/gpu-check/throughput.json"
        for paper in papers:
            yield from _counted_of(paper, [work for work in every if work.job.paper == paper])
    else:
        costs = [cost(work, measured) for work in every]
        yield f"preset {preset} on {measured.device}, one device, jobs one after the other"
        for paper in papers:
            yield from _hours_of(paper, [one for one in costs if one.work.job.paper == paper])
        yield f"in all: {_hours(costs)}"
        yield from _costliest(costs)
        yield from _unmeasured(costs)
    yield from _large(every)
    limits = sum(work.limit for work in every)
    if limits:
        yield f"on CPUs: certificates, {limits / 3600:.3g} hours at most by their own limits"
    yield "assumed:"
    notes = dict.fromkeys(note for work in every for note in work.notes)
    yield from (f"  - {said}" for said in (*ASSUMPTIONS, *notes))


def _by_stage(every: Iterable[Any], stage: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for one in every:
        found.setdefault(stage(one), []).append(one)
    return found


def _counted_of(paper: str, every: list[Work]) -> Iterator[str]:
    yield paper or "shared"
    for stage, works in _by_stage(every, lambda work: work.job.stage).items():
        amounts = ", ".join(f"{amount:.3g} {name}" for name, amount in counted(works).items())
        yield f"  {stage:12} {len(works):4} jobs  {amounts or 'certificates, on CPUs'}"


def _hours_of(paper: str, costs: list[Cost]) -> Iterator[str]:
    yield f"{paper or 'shared'}: {_hours(costs)}"
    for stage, some in _by_stage(costs, lambda one: one.work.job.stage).items():
        yield f"  {stage:12} {len(some):4} jobs  {_hours(some)}"


def _hours(costs: list[Cost]) -> str:
    seconds = sum(one.seconds for one in costs)
    least = "at least " if any(one.at_least for one in costs) else ""
    missing = sum(bool(one.unmeasured) for one in costs)
    more = f", and what was not measured of {missing} jobs" if missing else ""
    return f"{least}{seconds / 3600:.3g} hours{more}"


def _costliest(costs: list[Cost]) -> Iterator[str]:
    yield "the costliest jobs:"
    for one in sorted(costs, key=lambda one: -one.seconds)[:SHOWN]:
        job = one.work.job
        least = "at least " if one.at_least else ""
        name = f"{job.paper} {job.stage} {job.name}{job.again}"
        yield f"  {one.seconds / 3600:10.3g} h  {least}{name}"


def _large(every: list[Work]) -> Iterator[str]:
    large = [work for work in every if work.held_mib >= LARGE * 1024]
    if large:
        yield f"jobs that hold {LARGE} GiB of images and more, several times over (shards divide):"
        for work in sorted(large, key=lambda work: -work.held_mib):
            name = f"{work.job.paper} {work.job.stage} {work.job.name}{work.job.again}"
            yield f"  {work.held_mib / 1024:8.1f} GiB  {name}"


def _unmeasured(costs: list[Cost]) -> Iterator[str]:
    amounts: dict[str, float] = {}
    for one in costs:
        for kind, amount in one.work.amounts.items():
            if kind.key in one.unmeasured:
                said = f"{kind.key} ({kind.unit})"
                amounts[said] = amounts.get(said, 0.0) + amount
    if amounts:
        yield "not measured, and not in the hours:"
        for name, amount in sorted(amounts.items(), key=lambda item: -item[1]):
            yield f"  {amount:10.3g}  {name}"


def kinds_of(every: Iterable[Work]) -> dict[Kind, float]:
    """All kinds of work, each with its amount."""
    found: dict[Kind, float] = {}
    for work in every:
        for kind, amount in work.amounts.items():
            found[kind] = found.get(kind, 0.0) + amount
    return found
