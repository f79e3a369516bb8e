"""The tables of frecon2021: its claims beside what was rebuilt, and the cost of learning."""

from __future__ import annotations

from math import nan

import pandas as pd

from advsparse.artifacts import read_arrays, read_rows
from advsparse.evaluate.beside import NOTE, beside
from advsparse.evaluate.claims import judge, read_claims, verdict_line
from advsparse.evaluate.statistics import Estimate
from advsparse.figures.origin import comparable, data_used, origins
from papers.frecon2021.found import nearest, tables
from papers.frecon2021.points import experiment
from papers.frecon2021.variant import variant

_ACCURACY = "test accuracy of LeNet on CIFAR-10"


def cost(inputs, settings):
    """Seconds per iteration of learning and per attacked image, beside the paper's."""
    values = pd.read_csv(inputs["values"]).set_index("quantity")
    learned, fit = read_arrays(inputs["fit"], stage="fit")
    attacked, attack = read_arrays(inputs["attack"], stage="attack")
    iterations, images = max(len(learned["step"]), 1), len(attacked["x_adv"])
    frame = pd.DataFrame(
        [
            _timed(values, "learning time", fit.extra["seconds"] / iterations),
            _timed(values, "attack time", attack.extra["seconds"] / images),
        ]
    )
    data = data_used(origins(settings)["fit"])
    note = (
        f"Learning {len(learned['atoms'])} atoms from {len(learned['codes'])} images took "
        f"{iterations} iterations of algorithm 1 ({variant(fit.params['method'])}); {images} "
        f"unseen images were attacked together. Measured on {data}, device {fit.device}, while "
        "other jobs may have run beside it. The paper measured on another machine: "
        "the ratio is no claim about its code."
    )
    timed = ["reproduced", "paper / reproduced"]
    return {"frame": frame, "title": "Cost of SCADA", "note": note, "timed": timed}


def _timed(values, quantity: str, seconds: float) -> dict:
    paper = values.at[quantity, "value"]
    return {
        "quantity": quantity,
        "unit": values.at[quantity, "unit"],
        "paper": paper,
        "reproduced": seconds,
        "paper / reproduced": paper / seconds,
        "paper's machine": values.at[quantity, "where"],
    }


def claims(inputs, settings):
    """What the paper states, by which criterion it is judged, what was found, and the verdict."""
    rows, _ = read_rows(inputs["tradeoff"], stage="rows")
    points, sweep = (experiment(inputs, settings, name) for name in ("tradeoff", "atoms"))
    model = settings["reads"]["tradeoff"]["model"]
    paper = pd.read_csv(inputs["values"]).set_index("quantity").at[_ACCURACY, "value"]
    reproduced = {"of": "reproduced", **_clean_accuracy(rows, model)._asdict()}
    if not reproduced["n"]:
        reproduced |= {"attack": model, "failed": _failure(rows, model)}
    accuracies = [reproduced, {"of": "paper", "value": paper, "low": paper, "high": paper}]
    shown = nearest(points[points["name"] == "scada"], settings["options"]["shown"])
    found = tables(points, sweep, shown["id"], accuracies)
    origin, records = origins(settings)["tradeoff"], []
    for claim in read_claims(inputs["claims"]):
        finding, _ = judge(claim, found, comparable(origin))
        records.append(verdict_line(claim, finding, data_used(origin)))
    dead = int((points["dead_start"] == 1).sum())
    note = (
        f"Rebuilt on {data_used(origin)} with preset {origin['preset']}. Comparisons are of 95 % "
        "intervals over the same images; where intervals overlap, the difference is within the "
        "noise. SCADA's and UAP's rMSE are of the perturbation before its projection onto [0, 1]. "
        f"{dead} dead starts of SCADA are left out."
    )
    if not comparable(origin):
        note += " Only orderings and trends are judged here, never the paper's absolute numbers."
    title = "frecon2021: paper beside reproduced"
    return {"frame": pd.DataFrame(records), "title": title, "note": note}


def numbers(inputs, settings):
    """Every number that the paper gives of its results and that is no time, beside ours."""
    rows, _ = read_rows(inputs["tradeoff"], stage="rows")
    values = pd.read_csv(inputs["values"]).set_index("quantity")
    value, where = values.loc[_ACCURACY, ["value", "where"]]
    model = settings["reads"]["tradeoff"]["model"]
    found, origin = _clean_accuracy(rows, model), origins(settings)["tradeoff"]
    frame = pd.DataFrame([beside(_ACCURACY, where, value, found, origin)])
    title = "frecon2021: the paper's numbers beside the reproduced ones"
    note = NOTE if found.n else f"{NOTE} What is missing has failed: {_failure(rows, model)}."
    return {"frame": frame, "title": title, "note": note}


def _clean_accuracy(rows, model: str) -> Estimate:
    clean = (rows["attack"] == "none") & (rows["metric"] == "accuracy") & (rows["model"] == model)
    if not clean.any():  # the classifier has failed
        return Estimate(nan, 0, nan, nan)
    row = rows[clean].iloc[0]
    return Estimate(row["value"], int(row["n"]), row["ci_low"], row["ci_high"])


def _failure(rows, model: str) -> str:
    """Why nothing is known of a classifier whose accuracy is missing."""
    failed = rows[(rows["model"] == model) & (rows["metric"] == "failed")]
    return failed["note"].iloc[0]
