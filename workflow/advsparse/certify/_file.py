"""Certificates in a file, image by image, for those who check them or draw them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from advsparse.certify._ball import distance
from advsparse.certify._certified import OPEN, REPLAYED, SOLVER, WORDS, case_of
from advsparse.certify._network import ReluNetwork
from advsparse.certify._replay import Case, Refused, margin_at_least, replay
from advsparse.certify._targets import classes

_ROUNDING = 1e-12


@dataclass(frozen=True)
class Checked:
    """What a check has found of one image."""

    index: int
    """Where in its split the image stands."""
    lower: float
    upper: float
    rests_on: str
    """What the lower bound rests on: ``replayed``, ``solver, not replayed`` or ``open``."""
    wrong: tuple[str, ...]
    """What does not hold."""


def check(arrays: Mapping[str, np.ndarray], method: Mapping[str, object]) -> Iterator[Checked]:
    """Replay all certificates of an artifact, made with the settings ``method``."""
    network = ReluNetwork.of_arrays(arrays)
    for row in range(len(arrays["index"])):
        yield _checked(arrays, method, network, row)


def proofs(arrays: Mapping[str, np.ndarray], row: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The instructions, integers and reals, of each target's proof of an image."""
    found = []
    for kind, ends in (("integers", "integer"), ("reals", "real")):
        all_ends = arrays[f"proof_{kind}_ends"]
        own = arrays[f"proof_{kind}"][_own(all_ends, row)]
        stops = arrays[f"proof_{ends}_ends"][row]
        found.append(np.split(own, stops)[: len(stops)])
    return list(zip(*found, strict=True))


def history(arrays: Mapping[str, np.ndarray], row: int) -> tuple[np.ndarray, ...]:
    """The seconds, lower and upper bounds of an image's events."""
    own = _own(arrays["event_seconds_ends"], row)
    return tuple(arrays[f"event_{name}"][own] for name in ("seconds", "lower", "upper"))


def _own(ends: np.ndarray, row: int) -> slice:
    """Where the entries of an image are, of an array that has any number for each."""
    return slice(int(ends[row - 1]) if row else 0, int(ends[row]))


def _checked(arrays, method, network: ReluNetwork, row: int) -> Checked:
    x = arrays["x"][row].astype(np.float64)
    label, others = classes(network, x)
    lower, upper = float(arrays["lower"][row]), float(arrays["upper"][row])
    wrong = []
    if label != arrays["prediction"][row]:
        wrong.append("the network gives the image another class")
    targets = [int(target) for target in arrays["targets"][row]]
    wanted = method.get("target")
    if targets == [label] == [wanted]:  # the image itself
        wrong += ["an image of its own class is not at distance 0"] if lower or upper else []
        return Checked(int(arrays["index"][row]), lower, upper, WORDS[REPLAYED], tuple(wrong))
    if wanted is not None and targets != [wanted]:
        wrong.append("the bound is of another class than was asked for")
    elif wanted is None and method["targets"] == "all" and set(targets) != {*others}:
        wrong.append("not all other classes have a bound")
    elif wanted is None and method["targets"] == "second" and targets != others[:1]:
        wrong.append("the bound is not of the second class")
    # What is no number is neither below nor above anything.
    if not lower <= upper:
        wrong.append("the lower bound is above the upper one")
    if not lower <= arrays["target_lower"][row].min():
        wrong.append("the lower bound is above that of a class")
    wrong += _witness(arrays, method, network, row, label)
    try:
        given = proofs(arrays, row)
    except (ValueError, IndexError):
        given = []
    if len(given) != len(targets):
        wrong.append("there are not as many proofs as classes")
    statuses = []
    for place, (target, proof) in enumerate(zip(targets, given, strict=False)):
        radius = float(arrays["target_lower"][row, place])
        claimed = int(arrays["target_status"][row, place])
        near = (x, str(method["norm"]), radius)
        case = case_of(network, *near, label, target, float(str(method["confidence"])))
        said = _refused(case, claimed, proof, pooled=network.pooled)
        wrong += [] if said is None else [f"class {target}: {said}"]
        statuses.append(claimed if said is None else OPEN)
    weakest = WORDS[min(statuses, default=OPEN)]
    return Checked(int(arrays["index"][row]), lower, upper, weakest, tuple(wrong))


def _refused(
    case: Case, claimed: int, proof: tuple[np.ndarray, np.ndarray], *, pooled: bool
) -> str | None:
    """Why the bound of a class does not rest on what it claims to."""
    if claimed == OPEN:
        return None if case.radius == 0 else "a bound without a proof"
    if claimed == SOLVER:
        return None
    if claimed != REPLAYED:
        return f"there is no status {claimed}"
    if pooled:
        return "there are no proofs of networks with pooling"
    try:
        replay(case, *proof)
    except Refused as error:
        return str(error)
    return None


def _witness(arrays, method, network: ReluNetwork, row: int, label: int) -> Iterator[str]:
    """What is wrong with the nearest adversarial image."""
    if not np.isfinite(arrays["upper"][row]):
        return
    a, x = arrays["witness"][row], arrays["x"][row].astype(np.float64)
    target = int(arrays["nearest"][row])
    if not ((a >= 0) & (a <= 1)).all():
        yield "the witness is no image"
    if distance(a - x, str(method["norm"])) > arrays["upper"][row] * (1 + _ROUNDING):
        yield "the witness is farther away than the upper bound"
    confidence = float(str(method["confidence"]))
    if network.pooled:
        logits = network.logits(a[None])[0]
        reached = logits[target] - logits[label] >= confidence
    else:
        case = case_of(network, x, "l0", 0.0, label, target, confidence)
        reached = margin_at_least(case, a) >= confidence
    if not reached:
        yield "the witness is not adversarial"
