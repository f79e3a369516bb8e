"""The claims and the numbers of canu2021 beside what was rebuilt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from advsparse.artifacts import read_rows
from advsparse.evaluate.beside import NOTE, beside
from advsparse.evaluate.claims import Claim, read_claims
from advsparse.evaluate.judging import judge_all
from advsparse.evaluate.repeated import Read, repeated
from advsparse.evaluate.statistics import Estimate
from advsparse.evaluate.verdict_table import NOTE as VERDICTS
from advsparse.evaluate.verdict_table import claims_table, number_of
from advsparse.figures.origin import ROLES, comparable, data_used, origins
from advsparse.figures.style import look
from papers.canu2021 import found

_EXPERIMENTS = (*found.ROLES, "typology", "objectives", "defence")
_CERTIFICATES = ("formulations", "linf", "l2", "l0", "robust")
_ATTACKS = tuple(f"{attack}_{norm}" for norm, named in found.NEAREST.items() for attack in named)


def claims(inputs, settings):
    """What the slides state, by which criterion it is judged, what was found, and the verdict."""
    read = {
        name: repeated(inputs, settings, name)
        for name in (*_EXPERIMENTS, *_CERTIFICATES, *_ATTACKS)
    }
    count = len(next(iter(read.values())))
    runs = [_tables({name: of[number] for name, of in read.items()}) for number in range(count)]
    origin = origins(settings)
    judgements = judge_all(
        read_claims(inputs["claims"]),
        lambda claim: runs,
        lambda claim: all(comparable(origin[name]) for name in _reads(claim)),
    )
    frame = claims_table(
        judgements,
        lambda claim: "; ".join(dict.fromkeys(data_used(origin[n]) for n in _reads(claim))),
    )
    note = f"Built with preset {settings['preset']}, in {number_of(count)}. {VERDICTS}"
    return {"frame": frame, "title": "canu2021: paper beside reproduced", "note": note}


def _reads(claim: Claim) -> list[str]:
    """The inputs that a claim speaks of."""
    named = {str(part.rows["role"]) for part in claim.parts if "role" in part.rows}
    reads = {part.reads for part in claim.parts}
    if "rivals" in reads:
        return sorted(named) or list(found.ROLES)
    return [name for name in ("typology", "defence") if name in reads] or ["linf"]


def _tables(run: Mapping[str, Read]) -> dict[str, pd.DataFrame]:
    """The tables that claims read, of one repetition."""
    paths = {name: read.path for name, read in run.items()}
    failed = {name: read.failed for name, read in run.items() if read.failed is not None}
    experiments = {name: path for name, path in paths.items() if name in _EXPERIMENTS and path}
    told: dict[str, Any] = {name: run[name].told for name in experiments}
    return {
        "times": found.times(paths["formulations"], failed.get("formulations")),
        "distances": found.distances(paths, failed),
        "certificates": found.certificates(paths["linf"], failed.get("linf")),
        "nearest": found.nearest(paths, failed),
        "rivals": found.rivals(experiments, told),
        "typology": found.typology(experiments["typology"], told["typology"]),
        "objectives": found.objectives(
            experiments["objectives"],
            told["objectives"],
            {norm: found.distance(paths[norm]) for norm in found.DISTANCES},
        ),
        "defence": found.defence(experiments["defence"], told["defence"]),
    }


def numbers(inputs, settings):
    """Every number of the tables on ResNet18 and on the defence beside ours."""
    values, origin = pd.read_csv(inputs["values"]), origins(settings)
    lines = []
    for row in values.itertuples():
        rows = [read_rows(path, stage="rows")[0] for path in inputs[row.role]]
        metric = {"fooling_rate": "fooling rate", "rmse": "rMSE"}[row.metric]
        on = ROLES[origin[row.role]["role"]]
        for attack, of in _asked(row.role, row.attack):
            estimates = [e for one in rows for e in _estimate(one, attack, row.metric)]
            said = f"{metric} of {of}, {on}"
            lines.append(beside(said, row.where, row.value, estimates, origin[row.role]))
    title = "canu2021: the slides' numbers beside the reproduced ones"
    return {"frame": pd.DataFrame(lines), "title": title, "note": NOTE}


def _asked(role: str, named: str) -> Iterator[tuple[str, str]]:
    """The attacks of ours that a number of the slides is beside, by their ids and in words."""
    if role != "defence":
        kind = named.split("_")[0]
        yield named, f"{'ADiL' if kind == 'adil' else look(kind).label} on ResNet18"
        return
    network, _, atoms = named.partition("/")
    attacked = f"ADiL with {atoms} atoms on LeNet"
    if network == "none":
        yield f"adil_atoms/atoms={atoms}", attacked
    else:
        for name, manner in found.MANNERS.items():
            yield f"adil_{name}/atoms={atoms}", f"{attacked}, {manner}"


def _estimate(rows: pd.DataFrame, attack: str, metric: str) -> list[Estimate]:
    own = rows[(rows["attack"] == attack) & (rows["metric"] == metric)]
    return [Estimate(row.value, int(row.n), row.ci_low, row.ci_high) for row in own.itertuples()]
