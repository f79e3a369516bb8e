"""The comparison of Carlini and Wagner that the slides cite: three distances, seven objectives."""

from __future__ import annotations

from math import nan
from typing import Any

import numpy as np
import pandas as pd

from papers.canu2021 import found
from papers.canu2021.certificates import built

_FORMULAS = {
    "f1": "cross-entropy - 1",
    "f2": "hinge of probabilities",
    "f3": "softplus of probabilities",
    "f4": "hinge of 1/2 - probability",
    "f5": "-log(2 probability)",
    "f6": "hinge of logits",
    "f7": "softplus of logits",
}


def objectives(inputs, settings):
    """How far each attack's images are, beside the nearest that there are."""
    told = settings["reads"]["objectives"]
    exact = {norm: found.distance(inputs[norm]) for norm in found.DISTANCES}
    rows = found.objectives(inputs["objectives"], told, exact).set_index(
        ["objective", "norm", "metric"]
    )
    lines = []
    for name in dict.fromkeys(rows.index.get_level_values("objective")):
        line: dict[str, Any] = {"objective": name, "is": _FORMULAS[name]}
        for norm in found.DISTANCES:
            here = {
                metric: rows.loc[(name, norm, metric), "samples"]
                if (name, norm, metric) in rows.index
                else nan
                for metric in ("fooling_rate", "distance", "excess")
            }
            line[f"{norm}: fooled"] = _mean(here["fooling_rate"])
            line[f"{norm}: distance"] = _mean(here["distance"])
            line[f"{norm}: / nearest"] = _mean(here["excess"])
        lines.append(line)
    frame = pd.DataFrame(lines)
    said = []
    for norm in found.DISTANCES:
        known = int(np.isfinite(exact[norm]).sum())
        best = frame[f"{norm}: / nearest"]
        winner = ", ".join(frame["objective"][best <= best.min() * 1.001]) or "none"
        said.append(f"{norm}: {winner} ({known} images whose distance is known)")
    note = (
        "Mean distance of the images that are fooled, in the norm of the column, and the mean of "
        "its ratio to the certified distance where that is known. Nearest of all, to a thousandth: "
        f"{'; '.join(said)}. As printed f1 leads away from the target and f5 is defined nowhere; "
        "as meant they have the same gradient, and so the same images. The box is clipped. "
        f"{built(settings)}"
    )
    title = "Three distances and seven objectives of Carlini and Wagner"
    return {"frame": frame, "title": title, "note": note}


def _mean(values) -> float:
    values = np.asarray(values, dtype=float)
    return float(np.nanmean(values)) if np.isfinite(values).any() else nan
