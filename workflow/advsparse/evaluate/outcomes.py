"""The table of attacks that failed, and of those that warn of their own results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from advsparse.artifacts import read_rows


def warnings_table(inputs: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Each attack of a paper that failed or that warned, with what it said.

    inputs: ``rows``, the evaluation rows of all experiments; settings: the paper's key.
    """
    rows = pd.concat([read_rows(path, stage="rows")[0] for path in inputs["rows"]])
    told = rows[rows["metric"].isin(["failed", "warnings"])]
    told = told.drop_duplicates(["model", "attack", "metric"])
    shown = told[(told["metric"] == "failed") | (told["value"] > 0)]
    outcome = shown["metric"].map({"failed": "failed", "warnings": "warned"})
    frame = shown[["attack", "model"]].assign(outcome=outcome, reason=shown["note"])
    failed, warned = (int((outcome == name).sum()) for name in ("failed", "warned"))
    note = (
        f"Of {len(told)} attacks, {failed or 'none'} failed and {warned or 'none'} warned. An "
        "attack that failed is a gap in figures and tables; one that warned may say more of itself "
        "than of the model's robustness."
    )
    title = f"{settings['paper']}: attacks that failed or warned"
    return {"frame": frame, "title": title, "note": note}
