"""Evaluation rows turned into one line for each attack, as figures and tables read them."""

from __future__ import annotations

import pandas as pd

_METRICS = ("fooling_rate", "rmse", "rmse_returned", "accuracy", "active_atoms", "dead_start")


def experiment_table(rows: pd.DataFrame, points: list[dict]) -> pd.DataFrame:
    """One line for each of ``points`` (id, name, kind, norm, point): its settings and metrics.

    Metrics that an attack doesn't have are missing; ``fooling_low`` and ``fooling_high`` bound the
    95 % interval of the fooling rate, ``rmse_low`` and ``rmse_high`` that of the rMSE.
    """
    values = rows.pivot(index="attack", columns="metric", values="value")
    low = rows.pivot(index="attack", columns="metric", values="ci_low")
    high = rows.pivot(index="attack", columns="metric", values="ci_high")
    records = []
    for point in points:
        identity = {key: point[key] for key in ("id", "name", "kind", "norm")} | point["point"]
        measured = {name: values.at[point["id"], name] for name in _METRICS if name in values}
        for short, metric in (("fooling", "fooling_rate"), ("rmse", "rmse")):
            measured[f"{short}_low"] = low.at[point["id"], metric]
            measured[f"{short}_high"] = high.at[point["id"], metric]
        records.append(identity | measured)
    return pd.DataFrame(records)
