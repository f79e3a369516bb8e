"""The tables of frecon2021: its claims beside what was rebuilt, and the cost of learning."""

from __future__ import annotations

from math import nan

import pandas as pd

from advsparse.artifacts import read_arrays, read_rows
from advsparse.evaluate.beside import NOTE, beside
from advsparse.evaluate.claims import judge, read_claims, verdict_line
from advsparse.evaluate.statistics import Estimate
from advsparse.figures.origin import comparable, data_used
from papers.frecon2021.found import tables
from papers.frecon2021.points import experiment_table

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
    note = (
        f"Learning {len(learned['atoms'])} atoms from {len(learned['codes'])} images took "
        f"{iterations} iterations of algorithm 1 ({settings['variant']}); {images} unseen images "
        f"were attacked together. Measured on {data_used(settings['origin'])}, device "
        f"{fit.device}, while other jobs may have run beside it. The paper measured on another "
        "machine: the ratio is no claim about its code."
    )
    return {"frame": frame, "title": "Cost of SCADA", "note": note}


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
    sweep, _ = read_rows(inputs["atoms"], stage="rows")
    points = experiment_table(rows, settings["points"])
    paper = pd.read_csv(inputs["values"]).set_index("quantity").at[_ACCURACY, "value"]
    reproduced = {"of": "reproduced", **_clean_accuracy(rows, settings["model"])._asdict()}
    if not reproduced["n"]:
        reproduced |= {"attack": settings["model"], "failed": _failure(rows, settings)}
    accuracies = [reproduced, {"of": "paper", "value": paper, "low": paper, "high": paper}]
    sweep = experiment_table(sweep, settings["atoms"])
    found = tables(points, sweep, settings["shown"], accuracies)
    origin, records = settings["origin"], []
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
    found = _clean_accuracy(rows, settings["model"])
    frame = pd.DataFrame([beside(_ACCURACY, where, value, found, settings["origin"])])
    title = "frecon2021: the paper's numbers beside the reproduced ones"
    note = NOTE if found.n else f"{NOTE} What is missing has failed: {_failure(rows, settings)}."
    return {"frame": frame, "title": title, "note": note}


def _clean_accuracy(rows, model: str) -> Estimate:
    clean = (rows["attack"] == "none") & (rows["metric"] == "accuracy") & (rows["model"] == model)
    if not clean.any():  # the classifier has failed
        return Estimate(nan, 0, nan, nan)
    row = rows[clean].iloc[0]
    return Estimate(row["value"], int(row["n"]), row["ci_low"], row["ci_high"])


def _failure(rows, settings) -> str:
    """Why nothing is known of a classifier whose accuracy is missing."""
    failed = rows[(rows["model"] == settings["model"]) & (rows["metric"] == "failed")]
    return failed["note"].iloc[0]
