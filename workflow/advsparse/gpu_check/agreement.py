"""Whether each stage comes to the same on a GPU as on the CPU, from the same inputs.

Devices round differently, and what follows amplifies that: a training by its steps, an attack where
an image is as good as on a boundary, a choice where two candidates are as good as equal. So what is
compared of each stage is what rounding hardly moves, within a tolerance that says why it is as wide
as it is. What is wrong about a stage on a GPU (another random stream, a layout that is not minded,
a precision that is not meant) changes far more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from advsparse.artifacts import read_rows
from advsparse.config.plan import Plan
from advsparse.errors import UserError
from advsparse.gpu_check.jobs_again import Example, Runner, examples
from advsparse.lazy import torch
from advsparse.models._io import load_classifier
from advsparse.stages._registry import stages
from advsparse.stages._stage import Job

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Measure:
    """One number by which two artifacts differ, and how large it may be."""

    name: str
    tolerance: float
    why: str
    """Why it may be that large."""
    of: Callable[[Arrays, Arrays], float | None]
    """The number; None where the artifacts have nothing of the kind."""


@dataclass(frozen=True)
class Compared:
    """What was found of one job."""

    stage: str
    kind: str
    job: str
    measure: str
    found: float | None
    """None where the job failed on one of the devices."""
    tolerance: float
    why: str
    said: str = ""
    """What the job said when it failed."""

    @property
    def agrees(self) -> bool:
        return self.found is not None and self.found <= self.tolerance


def _distance(one: Arrays, other: Arrays, names: Any = None) -> float | None:
    """The distance of all numbers together, relative to their length."""
    chosen = [name for name in one if _is_float(one[name]) and (names is None or name in names)]
    if not chosen:
        return None
    if any(one[name].shape != other[name].shape for name in chosen):
        return float("inf")
    pairs = [(one[n].astype(np.float64), other[n].astype(np.float64)) for n in chosen]
    if any((np.isfinite(a) != np.isfinite(b)).any() for a, b in pairs):
        return float("inf")
    pairs = [(np.where(np.isfinite(a), a, 0.0), np.where(np.isfinite(b), b, 0.0)) for a, b in pairs]
    gap = sum(float(((a - b) ** 2).sum()) for a, b in pairs)
    size = sum(float((a**2).sum()) for a, _ in pairs)
    return (gap / size) ** 0.5 if size else gap**0.5


def _rows_apart(one: Arrays, other: Arrays) -> float | None:
    """The share of rows of learned arrays that differ by more than a hundredth of their length."""
    shares = []
    for name in one:
        if not _is_float(one[name]) or one[name].ndim < 2:
            continue
        if one[name].shape != other[name].shape:
            return float("inf")
        a, b = (x[name].reshape(len(x[name]), -1).astype(np.float64) for x in (one, other))
        length = np.linalg.norm(a, axis=1)
        shares.append(float((np.linalg.norm(a - b, axis=1) > 0.01 * length + 1e-12).mean()))
    # Of most arrays: components and features may turn, and what follows from them does not.
    return sorted(shares)[len(shares) // 2] if shares else None


def _pixels_apart(one: Arrays, other: Arrays) -> float | None:
    a, b = (arrays["x_train"].astype(np.float64) for arrays in (one, other))
    if a.shape != b.shape:
        return float("inf")
    level = 1.0 if one["x_train"].dtype == np.uint8 else 1 / 255
    return float((np.abs(a - b) > level).mean())


def _outcomes_apart(one: Arrays, other: Arrays) -> float:
    return float((one["success"] != other["success"]).mean())


def _distances_apart(one: Arrays, other: Arrays) -> float | None:
    both = one["success"] & other["success"]
    a, b = (arrays["distance"][both] for arrays in (one, other))
    finite = np.isfinite(a) & np.isfinite(b)
    if not finite.any():
        return None
    medians = [float(np.median(values[finite])) for values in (a, b)]
    return abs(medians[0] - medians[1]) / max(*medians, 1e-12)


def _passes_apart(one: Arrays, other: Arrays) -> float:
    totals = [float(arrays["queries"].sum()) for arrays in (one, other)]
    return abs(totals[0] - totals[1]) / max(*totals, 1.0)


def _shares_apart(one: Arrays, other: Arrays) -> float | None:
    """The largest difference of a share of images, of which rows of evaluations are made."""
    names = [n for n in one if n.rpartition(":")[2].removesuffix("_8bit") in _SHARES]
    gaps = [abs(float(one[n].mean()) - float(other[n].mean())) for n in names if n in other]
    return max(gaps) if gaps else None


_SHARES = ("accuracy", "fooling_rate", "success_rate")


def _steps_apart(one: Arrays, other: Arrays) -> float | None:
    return None if _DRAWN in one else _distance(one, other)


def _lengths_apart(one: Arrays, other: Arrays) -> float | None:
    if any(not np.isfinite(array).all() for array in other.values()):
        return float("inf")
    lengths = [
        sum(float((array.astype(np.float64) ** 2).sum()) for array in arrays.values()) ** 0.5
        for arrays in (one, other)
    ]
    return abs(lengths[0] - lengths[1]) / max(*lengths, 1e-12)


_DRAWN = "drawn"
"""The array that says of a network that its layers draw at random."""


def _ends_apart(one: Arrays, other: Arrays) -> float | None:
    names = [name for name in _ENDS if name in one]
    ends = [[float(arrays[name].reshape(-1)[-1]) for name in names] for arrays in (one, other)]
    gaps = [abs(a - b) / max(abs(a), abs(b), 1e-12) for a, b in zip(*ends, strict=True)]
    return max(gaps) if gaps else None


_ENDS = ("loss", "fooling_rate", "success_rate")


def _is_float(array: np.ndarray) -> bool:
    return array.dtype.kind == "f"


_TRAINED = (
    Measure(
        "distance of the first steps, relative to their length",
        0.05,
        "a training amplifies rounding with each step, so that the first ones are compared, along "
        "plain gradients; not where layers draw at random, which each device does by itself",
        _steps_apart,
    ),
    Measure(
        "difference of the length of the first steps, relative",
        0.3,
        "where layers draw at random, steps go other ways, about as far",
        _lengths_apart,
    ),
)
_FITTED = (
    Measure(
        "distance of all that was learned, relative to its length",
        0.3,
        "a dictionary and its codes part step by step; the loss that they come to does not",
        _distance,
    ),
    Measure(
        "relative difference of the last loss, or of the share that is fooled",
        0.05,
        "one of 16 images that is as good as on a boundary",
        _ends_apart,
    ),
)
_LEARNED = (
    Measure(
        "share of rows (atoms, filters, patches, weights) that differ by 1 % of their length, of "
        "the median array",
        0.25,
        "what is chosen among candidates that are as good as equal may be another one, and a "
        "training amplifies rounding",
        _rows_apart,
    ),
)
_TRANSFORMED = (
    Measure(
        "share of entries that differ by more than a level of 255",
        0.02,
        "rounding to eight bits moves entries by a level; patches and atoms that are as good as "
        "equal are chosen otherwise",
        _pixels_apart,
    ),
)
_ATTACKED = (
    Measure(
        "share of images on which one fools and the other does not",
        0.2,
        "attacks amplify rounding, and there are few images: of the 6 to 16 here one or two may be "
        "on a boundary",
        _outcomes_apart,
    ),
    Measure(
        "median distance, relative",
        0.05,
        "the median over images that both fool: single paths part, where they end hardly differs",
        _distances_apart,
    ),
    Measure(
        "passes in all, relative",
        0.2,
        "an attack that ends once it has found something may find it a step later",
        _passes_apart,
    ),
)
_EVALUATED = (
    Measure(
        "largest difference of a share of images (accuracy, fooling rate)",
        0.1,
        "an image whose two largest logits are as good as equal",
        _shares_apart,
    ),
)
_ANALYSED = (
    Measure(
        "distance of all numbers, relative to their length",
        0.05,
        "sums are taken in another order; codes of few atoms change by one atom",
        _distance,
    ),
)


def measures(example: Example) -> tuple[Measure, ...]:
    """By what the artifacts of a stage are compared, told by what they hold."""
    stage = stages()[example.job.stage]
    if stage.suffixes == (".csv", ".npz"):
        return _EVALUATED
    if stage.suffixes == (".safetensors",):
        return _TRANSFORMED if stage.name == "transformed" else _TRAINED
    known = {"attack": _ATTACKED, "fit": _FITTED, "analysis": _ANALYSED}
    return known.get(stage.name, _LEARNED)


def compare(example: Example, one: Arrays, other: Arrays) -> list[Compared]:
    """The numbers by which what a job made on two devices differs."""
    found = []
    for measure in measures(example):
        missing = one.keys() ^ other.keys()
        value = float("inf") if missing else measure.of(one, other)
        if value is not None:
            found.append(_compared(example, measure, value))
    return found


def agreement(
    plan: Plan,
    folder: Path,
    device: str,
    *,
    until: Callable[[], bool] = lambda: False,
    said: Callable[[str], None] = lambda line: None,
    chosen: Callable[[Example], bool] = lambda example: True,
) -> tuple[list[Compared], list[str]]:
    """What was found of all examples, and those that were not run as the time was over.

    device: that which is compared with the CPU; on ``cpu`` itself, without the library of kernels
    that it has otherwise, so that it rounds otherwise, too. until: whether the time is over.
    """
    runner, found, skipped = Runner(plan, folder), [], []
    for example in filter(chosen, examples(plan)):
        name = f"{example.job.paper} {example.job.stage} {example.job.name}"
        if until():
            skipped.append(name)
            continue
        said(name)
        try:
            runner.prepare(example.job)
            one, other = both(runner, example.job, device)
        except (UserError, RuntimeError, ValueError) as error:
            said_last = " ".join(str(error).split())[-300:]
            found.append(_compared(example, measures(example)[0], None, said_last))
        else:
            found += compare(example, one, other)
    return found, skipped


def both(runner: Runner, job: Job, device: str) -> tuple[Arrays, Arrays]:
    """What a job makes on the CPU, and on the device."""
    if "training" in stages()[job.stage].settings(runner.plan, job):
        return _first_steps(runner, job, device)
    one = contents(runner.run(job, "cpu"))
    with _otherwise(device):
        return one, contents(runner.run(job, device, again=True))


def _first_steps(runner: Runner, job: Job, device: str) -> tuple[Arrays, Arrays]:
    """By how much a network's weights are changed by the first steps of its training: what a whole
    one comes to hangs on rounding."""

    def after(where: str, rate: float) -> Arrays:
        return contents(runner.run(job, where, again=True, rate=rate))

    start, one = after("cpu", _HARDLY), after("cpu", RATE)
    with _otherwise(device):
        other = after(device, RATE)
    changes = [
        {n: arrays[n].astype(np.float64) - start[n] for n in start if _is_float(start[n])}
        for arrays in (one, other)
    ]
    if stages()[job.stage].name == "classifier" and _draws(runner.run(job, "cpu")[0]):
        changes = [change | {_DRAWN: np.array(True)} for change in changes]
    return changes[0], changes[1]


def _draws(path: Path) -> bool:
    """Whether layers of a classifier draw at random while it is trained."""
    network, _ = load_classifier(path)
    return any(getattr(layer, "p", 0) for layer in network.modules() if _is_dropout(layer))


def _is_dropout(layer: Any) -> bool:
    return isinstance(layer, torch.nn.modules.dropout._DropoutNd)


RATE, _HARDLY = 0.001, 1e-30
"""The length of steps that are compared; and one at which weights stay where they start."""


def contents(files: list[Path]) -> dict[str, np.ndarray]:
    """The arrays of the last of a job's files, which is where its numbers are."""
    path = files[-1]
    if path.suffix == ".csv":
        return {name: column.to_numpy() for name, column in read_rows(path)[0].items()}
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as held:
            return {name: held[name] for name in held.files if held[name].dtype.kind in "fiub"}
    from safetensors.numpy import load_file

    return load_file(path)


@contextmanager
def _otherwise(device: str):
    """On a CPU, other kernels."""
    if device != "cpu":
        yield
        return
    with torch.backends.mkldnn.flags(enabled=False):
        yield


def _compared(example: Example, measure: Measure, found: float | None, said: str = "") -> Compared:
    job = example.job
    name = f"{job.paper}/{job.name}"
    about = job.stage, example.kind, name, measure.name, found
    return Compared(*about, measure.tolerance, measure.why, said)


def rows(found: list[Compared]) -> list[dict[str, Any]]:
    """As plain values."""
    return [asdict(one) | {"agrees": one.agrees} for one in found]
