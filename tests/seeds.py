"""What the claims of both papers read in three runs of the demo, seeds 0 to 2, as small arrays.

``python tests/seeds.py <results of seed 0> <of seed 1> <of seed 2>``, in the folder of the project,
writes tests/seeds/ from three folders of results.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from advsparse.evaluate.claims import Comparison, read_claims
from advsparse.evaluate.matching import matching

SEEDS = Path(__file__).with_suffix("")
WORKFLOW = Path(__file__).parents[1] / "workflow"
SHOWN = {"lambda1": 0.1, "lambda2": 0.1}

Tables = dict[str, pd.DataFrame]


def stored(paper: str) -> list[Tables]:
    """The tables of each seed."""
    return [read(SEEDS / f"{paper}-{seed}.npz") for seed in range(3)]


def read(path: Path) -> Tables:
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    rows = json.loads(str(arrays["rows"]))
    return {
        name: pd.DataFrame([row | {"samples": arrays[row["samples"]]} for row in table])
        for name, table in rows.items()
    }


def write(path: Path, tables: Tables) -> None:
    """Arrays that several rows have are stored once."""
    known: dict[bytes, str] = {}
    arrays: dict[str, np.ndarray] = {}
    rows: dict[str, list[dict[str, Any]]] = {}
    for name, table in tables.items():
        rows[name] = []
        for row in table.to_dict("records"):
            samples = np.asarray(row["samples"])
            samples = samples.astype(bool if samples.dtype == bool else np.float32)
            key = known.setdefault(samples.tobytes() + bytes(samples.ndim), f"a{len(known)}")
            arrays[key] = samples
            rows[name].append(row | {"samples": key})
    np.savez_compressed(path, rows=np.array(json.dumps(rows)), **arrays)


def asked_for(paper: str, tables: Tables) -> Tables:
    """The rows that a claim or a reason may read."""
    claims = read_claims(WORKFLOW / "papers" / paper / "reference/claims.yaml")
    parts: list[Comparison] = [part for claim in claims for part in claim.parts]
    parts += [part for claim in claims for reason in claim.reasons for part in reason.shown_by]
    found = {}
    for name, table in tables.items():
        kept = pd.Series(False, index=table.index)
        for part in parts:
            for measure in (part, *part.and_also, *part.or_else) if part.reads == name else ():
                kept[matching(table, part.rows | measure.rows, extremes=False).index] = True
        found[name] = table[kept]
    return {name: table for name, table in found.items() if len(table)}


def frecon2021(folder: Path) -> Tables:
    from advsparse.config.loading import load
    from advsparse.config.plan import Plan
    from advsparse.stages._registry import stages
    from advsparse.stages._stage import Job
    from papers.frecon2021 import found

    plan, paper = Plan(load([Path("config.yaml")], {"preset": "demo"})), "frecon2021"

    def attacks(experiment: str) -> list[dict[str, Any]]:
        told = stages()["experiment"].told(plan, Job("experiment", experiment, paper))
        return found.attacks(folder / paper / f"rows/{experiment}.csv", told["points"])

    # Seeds decide what a fit is called: by what was learned, the one of the shown point.
    shown = next(
        path
        for path in (folder / paper / "dictionaries").glob("scada-*.npz")
        if _learned(path) == SHOWN
    )
    return found.tables(attacks("tradeoff"), SHOWN) | {
        "accuracies": found.accuracy(folder / paper / "rows/tradeoff.csv", "lenet"),
        "sweep": found.sweep(attacks("atoms")),
        "learning": found.learning(shown, None),
    }


def _learned(path: Path) -> dict[str, float]:
    from advsparse.artifacts.arrays import read_metadata

    method = read_metadata(path).params["method"]
    return {name: method[name] for name in SHOWN} if method["atoms"] == 8 else {}


def weitzner2023(folder: Path) -> Tables:
    from papers.weitzner2023 import found

    analyses = folder / "weitzner2023/analyses"
    return found.tables({path.stem: path for path in sorted(analyses.glob("*.npz"))})


def main(folders: list[str]) -> Iterator[Path]:
    makers: dict[str, Callable[[Path], Tables]] = {
        "frecon2021": frecon2021,
        "weitzner2023": weitzner2023,
    }
    SEEDS.mkdir(exist_ok=True)
    for seed, folder in enumerate(folders):
        for paper, make in makers.items():
            path = SEEDS / f"{paper}-{seed}.npz"
            write(path, asked_for(paper, make(Path(folder))))
            yield path


if __name__ == "__main__":
    for written in main(sys.argv[1:]):
        print(written, written.stat().st_size)
