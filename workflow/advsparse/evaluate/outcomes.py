"""The table of attacks that failed, and of those that warn of their own results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from advsparse.artifacts import read_metadata
from advsparse.evaluate.repeated import again


def warnings_table(inputs: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Each attack of a paper that failed or that warned, with what it said.

    inputs: ``attacks``, the artifacts of all that are there; settings: the paper's key, under
    ``reads`` what is told of all attacks, and under ``failures`` why some are not there, by id and
    repetition.
    """
    attacks = settings["reads"]["attacks"]
    failed = settings["failures"].get("attacks", {})
    there = [attack for attack in attacks if _called(attack) not in failed]
    said = {
        _called(attack): read_metadata(path, stage="attack").extra["warnings"]
        for attack, path in zip(there, inputs.get("attacks", []), strict=True)
    }
    outcomes = {id: ("failed", reason) for id, reason in failed.items()}
    outcomes |= {id: ("warned", "; ".join(words)) for id, words in said.items() if words}
    shown = [attack for attack in attacks if _called(attack) in outcomes]
    records = [(_called(one), one["model"], *outcomes[_called(one)]) for one in shown]
    frame = pd.DataFrame(records, columns=["attack", "model", "outcome", "reason"])
    warned = len(outcomes) - len(failed)
    note = (
        f"Of {len(attacks)} attacks, {len(failed) or 'none'} failed and {warned or 'none'} warned. "
        "An attack that failed is a gap in figures and tables; one that warned may say more of "
        "itself than of the model's robustness."
    )
    title = f"{settings['paper']}: attacks that failed or warned"
    return {"frame": frame, "title": title, "note": note}


def _called(attack: Mapping[str, Any]) -> str:
    """An attack's id, and which repetition of it this is, after the first."""
    return attack["id"] + again(attack.get("repetition", 0))
