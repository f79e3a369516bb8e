"""The matrix: each defence against each attack, at each budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

import numpy as np
import pandas as pd

from advsparse import registry
from advsparse.evaluate.adapted import fault
from advsparse.evaluate.judged import Found, Judged, found
from advsparse.evaluate.statistics import proportion
from advsparse.figures.origin import data_used, origins
from advsparse.figures.style import look
from papers.matrix.proven import Proven, proven

NORMS = {"linf": "linf", "relative_l2": "relative l2", "l2": "l2", "l1": "l1", "l0": "l0"}
PLAIN, AGAIN = "plain", "again"
"""The undefended network, and the same trained anew."""
UNDEFENDED = (PLAIN, AGAIN, "small")
_BLACK_BOX, _CONTROLS = ("square", "shrinking_square", "one_pixel"), ("noise", "random_pixels")
_NOTE = (
    "Here {attacks} kinds of attacks and {defenses} defences of the library's {known}. Accuracy "
    "under the attack that is strongest for each image. Static: made on the undefended network; "
    "transferred: made on the same network trained anew; by name: made for the defence, by what it "
    "declares (BPDA, EOT, a detector's score in the objective); nearest found: by attacks that "
    "minimise the norm. Against all: images that withstand each of them, within the budget or "
    "less, with a 95 % interval. An image that a detector refuses counts as right if it is "
    "attacked, and as wrong if it is clean. {certified}Seconds: what classifying a clean image "
    "took in this run, the defence with it. Reported: by sun2019, of other networks and data, "
    "under BIM that ignores the defence; gap: how far that is above what withstands all here. "
    "Built on {data} with preset {preset}."
)
_SAME = "of those, against all"
_CERTIFIED = (
    "Certified: of {images} of the images, the share that is proven to withstand whatever lies "
    "within the budget, of networks small enough for that, and beside it the share of the same "
    "images that withstands all attacks here. "
)
_SECONDS = "seconds an image"
_WITHIN = 1 + 1e-6
"""Budgets are compared as they were written down."""


def matrix(inputs, settings) -> dict[str, Any]:
    """Accuracy of each defended classifier within each budget: under each attack that was made for
    it, under those made on other networks, under all of them; and what is certified of it."""
    seen = found(inputs["experiments"], settings["reads"]["experiments"])
    certified = proven(inputs, settings["reads"])
    shown = settings["options"]["shown"]
    reported = pd.read_csv(inputs["reported"]).set_index("model")["accuracy"]
    threats = _threats(seen)
    kinds = list(dict.fromkeys(one.kind for one in seen.attacks if one.eps is not None))
    lines = [
        _line(
            words,
            threat,
            seen,
            model,
            kinds,
            reported.get(model, nan),
            certified.get((model, threat[0])),
        )
        for model, words in shown.items()
        if model in seen.clean
        for threat in threats
    ]
    return {
        # A part of the matrix need not have attacks of all sorts.
        "frame": pd.DataFrame(lines).dropna(axis="columns", how="all"),
        "title": "Every attack against every defence",
        "note": _note(seen, shown, settings, [*certified.values()]),
        "timed": [_SECONDS],
    }


def _threats(seen: Found) -> list[tuple[str, float]]:
    """The budgets that attacks were made within, by norm."""
    budgets = {(one.norm, one.eps) for one in seen.attacks if one.eps is not None}
    order = list(NORMS)
    return sorted(budgets, key=lambda threat: (order.index(threat[0]), threat[1]))


def _line(
    words: str,
    threat,
    seen: Found,
    model: str,
    kinds: Sequence[str],
    reported: float,
    proofs: Proven | None,
) -> dict[str, Any]:
    norm, eps = threat
    attacks = [one for one in seen.of(model) if _within(one, norm, eps)]
    own = [one for one in attacks if one.own and one.eps is not None]
    static = [one for one in attacks if one.attacked == PLAIN != model]
    carried = [one for one in attacks if one.attacked == AGAIN != model]
    line: dict[str, Any] = {
        "defence": words,
        "norm": NORMS[norm],
        "budget": eps,
        "clean": float(np.mean(seen.clean[model])),
        _SECONDS: seen.seconds[model],
        "static": _accuracy(static, eps),
        "transferred": _accuracy(carried, eps),
    }
    line |= {look(k).label: _accuracy([o for o in own if o.kind == k], eps) for k in kinds}
    nearest = [one for one in attacks if one.own and one.eps is None]
    line["nearest found"] = _accuracy(nearest, eps)
    standing = _all(attacks, eps) if attacks else np.empty(0)
    every = proportion(standing)
    line |= {"against all": every.value, "ci_low": every.low, "ci_high": every.high}
    line |= {"certified": nan, _SAME: nan}
    if proofs is not None and attacks:
        line["certified"] = float(np.mean(proofs.withstands(eps)))
        same = np.isin(attacks[0].images, proofs.images)
        line[_SAME] = float(np.mean(standing[same]))
    line |= {"reported": reported, "gap": reported - every.value}
    refuted = [o for o in attacks if proofs is not None and proofs.refuted_by(o, eps)]
    said = [f"{look(one.kind).label} finds what is proven not to be there" for one in refuted]
    said += _warnings(own, nearest, static + carried, eps)
    line |= {"images": every.n, "warnings": "; ".join(said)}
    return line


def _within(one: Judged, norm: str, eps: float) -> bool:
    """Whether an attack says something of a budget: made within it, or for the nearest image."""
    return one.norm == norm and (one.eps is None or one.eps <= eps * _WITHIN)


def _at(attacks: Sequence[Judged], eps: float) -> list[Judged]:
    return [one for one in attacks if one.eps is None or one.eps >= eps / _WITHIN]


def _all(attacks: Sequence[Judged], eps: float) -> np.ndarray:
    """For each image, whether it withstands each attack; what holds within less is within eps."""
    return np.all([one.withstood(eps) for one in attacks], axis=0)


def _accuracy(attacks: Sequence[Judged], eps: float) -> float:
    """Under the strongest attack for each image; not-a-number without any."""
    at = _at(attacks, eps)
    return float(np.mean(_all(at, eps))) if at else nan


def _warnings(
    own: Sequence[Judged], nearest: Sequence[Judged], others: Sequence[Judged], eps: float
) -> list[str]:
    """Signs that an evaluation is not to be trusted, in words."""
    here = _at(own, eps)
    said = [f"{look(one.kind).label}: {one.warning}" for one in here if one.warning]
    carried = _at(others, eps)
    if here and carried and fault(_all(carried, eps), _all(here, eps)):
        said.append("attacks made for it are weaker than those that ignore it")
    asked = [*here, *nearest]
    black = [one for one in asked if one.kind in _BLACK_BOX]
    white = [one for one in asked if one.kind not in (*_BLACK_BOX, *_CONTROLS, "autoattack")]
    if black and white and fault(_all(black, eps), _all(white, eps)):
        said.append("a black-box attack is stronger than all by gradients")
    for one in here:
        less = [o for o in own if o.kind == one.kind and o.eps < eps / _WITHIN]
        if any(fault(o.right, one.right) for o in less):
            said.append(f"accuracy rises with the budget under {look(one.kind).label}")
    return said


def _note(seen: Found, shown: Mapping[str, str], settings, certified: Sequence[Proven]) -> str:
    attacks = len({one.kind for one in seen.attacks})
    defended = [model for model in shown if model in seen.clean and model not in UNDEFENDED]
    known = len(registry.kinds("attacks")) - len(["adaptive"])
    origin = origins(settings)["experiments"]
    note = _NOTE.format(
        attacks=attacks,
        defenses=len(defended),
        known=(
            f"{known} attacks and {len(registry.kinds('defenses'))} defences besides adversarial "
            "training"
        ),
        certified=_CERTIFIED.format(images=len(certified[0].images)) if certified else "",
        data=data_used(origin),
        preset=origin["preset"],
    )
    failed = [f"{shown.get(m, m)}: {why}" for m, reasons in seen.failed.items() for why in reasons]
    failed += [
        f"{shown.get(name, name)}: the certificate ({why})"
        for name, why in settings.get("failures", {}).items()
    ]
    return note + (f" What is missing has failed: {'; '.join(failed)}." if failed else "")
