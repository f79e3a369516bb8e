"""The table of attacks that failed, and of those that warn of their own results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from advsparse.artifacts import read_metadata


def warnings_table(inputs: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Each attack of a paper that failed or that warned, with what it said.

    inputs: ``attacks``, the artifacts of all that are there; settings: the paper's key, under
    ``reads`` what is told of all attacks, and under ``failures`` why some are not there, by id.
    """
    attacks = settings["reads"]["attacks"]
    failed = settings["failures"].get("attacks", {})
    there = [attack for attack in attacks if attack["id"] not in failed]
    said = {
        attack["id"]: read_metadata(path, stage="attack").extra["warnings"]
        for attack, path in zip(there, inputs.get("attacks", []), strict=True)
    }
    outcomes = {id: ("failed", reason) for id, reason in failed.items()}
    outcomes |= {id: ("warned", "; ".join(words)) for id, words in said.items() if words}
    shown = [attack for attack in attacks if attack["id"] in outcomes]
    records = [(attack["id"], attack["model"], *outcomes[attack["id"]]) for attack in shown]
    frame = pd.DataFrame(records, columns=["attack", "model", "outcome", "reason"])
    warned = len(outcomes) - len(failed)
    note = (
        f"Of {len(attacks)} attacks, {len(failed) or 'none'} failed and {warned or 'none'} warned. "
        "An attack that failed is a gap in figures and tables; one that warned may say more of "
        "itself than of the model's robustness."
    )
    title = f"{settings['paper']}: attacks that failed or warned"
    return {"frame": frame, "title": title, "note": note}
