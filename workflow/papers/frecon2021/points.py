"""Evaluation rows turned into one line for each attack, as figures and tables read them."""

from __future__ import annotations

import pandas as pd

from advsparse.artifacts import read_rows
from advsparse.evaluate.dead_starts import dead_start
from advsparse.evaluate.repeated import repeated

_SETTINGS = ("norm", "eps", "lambda1", "lambda2", "atoms", "shorten")
_METRICS = (
    "fooling_rate",
    "rmse",
    "rmse_returned",
    "accuracy",
    "active_atoms",
    "zero_codes",
    "dead_start",
)
_BOUNDED = ("fooling_rate", "rmse", "active_atoms")


def experiment(inputs, settings, name: str) -> pd.DataFrame:
    """The lines of an experiment that a figure or table reads."""
    rows, _ = read_rows(inputs[name], stage="rows")
    return experiment_table(rows, settings["reads"][name]["points"])


def experiments(inputs, settings, name: str) -> pd.DataFrame:
    """The lines of an experiment in all repetitions that are there, with their ``repetition``."""
    tables = [
        experiment_table(read_rows(one.path, stage="rows")[0], one.told["points"]).assign(
            repetition=one.repetition
        )
        for one in repeated(inputs, settings, name)
        if one.path is not None
    ]
    return pd.concat(tables, ignore_index=True)


def experiment_table(rows: pd.DataFrame, points: list[dict]) -> pd.DataFrame:
    """One line for each of ``points`` (id, name, kind, settings): its settings and its metrics.

    What an attack doesn't have is missing. ``<metric>_low`` and ``<metric>_high`` bound the 95 %
    interval of a metric, over ``n`` images. Of an attack that failed, ``failed`` says why, and no
    metric is there.
    """
    # Images made on one network and judged by another are none of the paper's.
    rows = rows[(rows["attack"] != "none") & (rows["attacked"] == rows["model"])]
    failed = rows[rows["metric"] == "failed"].set_index("attack")["note"].to_dict()
    values, low, high, numbers = (
        rows.pivot(index="attack", columns="metric", values=column)
        for column in ("value", "ci_low", "ci_high", "n")
    )
    records = []
    for point in points:
        record = {key: point[key] for key in ("id", "name", "kind")}
        record |= {key: point["settings"].get(key) for key in _SETTINGS}
        for metric in _METRICS:
            record[metric] = values.at[point["id"], metric] if metric in values else None
        for metric in _BOUNDED:
            known = metric in values
            record[f"{metric}_low"] = low.at[point["id"], metric] if known else None
            record[f"{metric}_high"] = high.at[point["id"], metric] if known else None
        record["n"] = numbers.at[point["id"], "fooling_rate"] if "fooling_rate" in numbers else None
        record["failed"] = failed.get(point["id"])
        records.append(record)
    return pd.DataFrame(records)


def done(table: pd.DataFrame) -> pd.DataFrame:
    """The lines of attacks that did not fail."""
    return table[table["failed"].isna()]


def live(table: pd.DataFrame) -> pd.DataFrame:
    """The lines whose dictionary was learned: all but SCADA's dead starts."""
    return table[~dead_start(table)]
