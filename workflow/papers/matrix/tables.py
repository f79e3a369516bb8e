"""The matrix: each defence against attacks that ignore it, and against those made for it."""

from __future__ import annotations

from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from advsparse.artifacts import read_arrays, read_rows
from advsparse.evaluate.experiment import samples_key
from advsparse.evaluate.statistics import proportion
from advsparse.figures.origin import data_used, origins


def defenses(inputs, settings):
    """Accuracy of each defended classifier: clean, against each attack, against all of them."""
    seen = [_Judged(inputs[name], settings["reads"][name]["points"]) for name in inputs]
    kinds = list(dict.fromkeys(kind for one in seen for kind in one.kinds.values()))
    lines, failed = [], []
    for model, words in settings["options"]["shown"].items():
        clean = next((one.clean(model) for one in seen if one.knows(model)), nan)
        line: dict[str, Any] = {"defence": words, "clean": clean}
        withstood = []
        for kind in kinds:
            for how in ("static", "adaptive"):
                found = [one.right(model, kind, adaptive=how == "adaptive") for one in seen]
                right = next((array for array in found if array is not None), None)
                line[f"{kind}, {how}"] = nan if right is None else float(np.mean(right))
                withstood += [] if right is None else [right]
        line |= _against_all(withstood)
        lines.append(line)
        failed += [f"{words}: {why}" for one in seen for why in one.failures(model)]
    origin = origins(settings)["static"]
    note = (
        "Static attacks are made on the undefended network, adaptive ones on the defended one. "
        "Against all: images that withstand each attack of their line, with a 95 % interval. Built "
        f"on {data_used(origin)} with preset {origin['preset']}."
    )
    if failed:
        note += f" What is missing has failed: {'; '.join(failed)}."
    title = "Defences against attacks that ignore them, and attacks made for them"
    return {"frame": pd.DataFrame(lines), "title": title, "note": note}


def _against_all(withstood: list[np.ndarray]) -> dict[str, Any]:
    """The share of images that withstand each attack, in whose order the arrays are."""
    found = proportion(np.all(withstood, axis=0) if withstood else np.empty(0))
    named = {"against all": found.value, "ci_low": found.low, "ci_high": found.high}
    return named | {"images": found.n}


class _Judged:
    """The rows of an experiment, and what each image did."""

    def __init__(self, path: str, points: list[dict[str, Any]]) -> None:
        self.rows, _ = read_rows(path, stage="rows")
        self.samples, _ = read_arrays(Path(path).with_suffix(".npz"), stage="rows")
        # By id; an attack that adapts goes by the one that it adapts.
        self.kinds = {
            point["id"]: point["settings"].get("attack", {}).get("kind", point["kind"]).upper()
            for point in points
        }

    def knows(self, model: str) -> bool:
        """Whether it judged anything by a classifier."""
        return samples_key(model, "none", "accuracy") in self.samples

    def clean(self, model: str) -> float:
        """The accuracy on the clean test set."""
        return float(np.mean(self.samples[samples_key(model, "none", "accuracy")]))

    def right(self, model: str, kind: str, *, adaptive: bool) -> np.ndarray | None:
        """Whether the classifier is right about each image of an attack, or its detector refuses
        it; None where there is none such. ``adaptive``: of the attack made on the classifier."""
        rows = self.rows[(self.rows["model"] == model) & (self.rows["metric"] == "accuracy")]
        for row in rows[rows["attack"] != "none"].itertuples():
            own = row.attacked == model
            if self.kinds[row.attack] == kind and own == adaptive:
                return self.samples[samples_key(model, row.attack, "accuracy")]
        return None

    def failures(self, model: str) -> list[str]:
        """Which attacks failed, and why."""
        rows = self.rows[(self.rows["model"] == model) & (self.rows["metric"] == "failed")]
        return [f"{row.attack} ({row.note})" for row in rows.itertuples()]
