"""The tables of frecon2021: its claims beside what was rebuilt, and the cost of learning."""

from __future__ import annotations

from math import nan

import pandas as pd

from advsparse.artifacts import read_arrays, read_rows
from advsparse.evaluate.beside import NOTE, beside
from advsparse.evaluate.claims import read_claims
from advsparse.evaluate.judging import judge_all
from advsparse.evaluate.repeated import repeated
from advsparse.evaluate.statistics import Estimate
from advsparse.evaluate.verdict_table import NOTE as VERDICTS
from advsparse.evaluate.verdict_table import claims_table, number_of
from advsparse.figures.origin import comparable, data_used, origins
from papers.frecon2021.found import accuracy, attacks, learning, sweep, tables
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
    runs = _runs(inputs, settings)
    origin = origins(settings)["tradeoff"]
    judgements = judge_all(
        read_claims(inputs["claims"]), lambda claim: runs, lambda claim: comparable(origin)
    )
    frame = claims_table(judgements, lambda claim: data_used(origin))
    runs_in_words = number_of(len(runs))
    note = (
        f"Rebuilt on {data_used(origin)} with preset {origin['preset']}, in {runs_in_words}. "
        f"{VERDICTS} SCADA's and UAP's rMSE are of the perturbation before its projection onto "
        "[0, 1], and compared on images that both attacks fool. Dead starts of SCADA are left out."
    )
    if not comparable(origin):
        note += " Only orderings and trends are judged here, never the paper's absolute numbers."
    title = "frecon2021: paper beside reproduced"
    return {"frame": frame, "title": title, "note": note}


def _runs(inputs, settings) -> list[dict[str, pd.DataFrame]]:
    """The tables that claims read, of each repetition."""
    of_run: dict[int, dict[str, pd.DataFrame]] = {}
    read = {name: repeated(inputs, settings, name) for name in ("tradeoff", "atoms", "fit")}
    for one in read["tradeoff"]:
        points, shown = attacks(one.path, one.told["points"]), settings["options"]["shown"]
        found = tables(points, shown) | {"accuracies": accuracy(one.path, one.told["model"])}
        of_run[one.repetition] = found
    for one in read["atoms"]:
        of_run.setdefault(one.repetition, {})["sweep"] = sweep(
            attacks(one.path, one.told["points"])
        )
    for one in read["fit"]:
        of_run.setdefault(one.repetition, {})["learning"] = learning(one.path, one.failed)
    return [of_run[number] for number in sorted(of_run)]


def numbers(inputs, settings):
    """Every number that the paper gives of its results and that is no time, beside ours."""
    values = pd.read_csv(inputs["values"]).set_index("quantity")
    value, where = values.loc[_ACCURACY, ["value", "where"]]
    told = settings["reads"]["tradeoff"]
    rows = [read_rows(path, stage="rows")[0] for path in inputs["tradeoff"]]
    estimates = [_clean_accuracy(one, told[0]["model"]) for one in rows]
    found, origin = [one for one in estimates if one.n], origins(settings)["tradeoff"]
    frame = pd.DataFrame([beside(_ACCURACY, where, value, found, origin)])
    title = "frecon2021: the paper's numbers beside the reproduced ones"
    failed = [one for one, estimate in zip(rows, estimates, strict=True) if not estimate.n]
    note = NOTE
    if failed:
        note += f" What is missing has failed: {_failure(failed[0], told[0]['model'])}."
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
