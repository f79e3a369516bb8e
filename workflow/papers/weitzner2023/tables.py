"""The tables of weitzner2023: its statistical tests, and its claims beside what was rebuilt."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from advsparse.artifacts import read_arrays
from advsparse.evaluate.beside import NOTE, beside
from advsparse.evaluate.claims import Claim, judge, read_claims, verdict_line
from advsparse.evaluate.comparisons import COMPARISONS
from advsparse.evaluate.findings import Finding
from advsparse.evaluate.statistics import Estimate, mean
from advsparse.figures.origin import ROLES, data_used, origins
from papers.weitzner2023.found import tables

_SYNTHETIC = "synthetic signals"


def tests(inputs, settings):
    """Every statistical test: what is compared, the statistic, and p."""
    found, records = tables(_analyses(inputs)), []
    for claim in _stated(inputs, settings):
        way = COMPARISONS[claim.by]
        for one in judge(claim, found)[1] if claim.by != "intervals" else ():
            records.append(
                {
                    "claim": claim.claim,
                    "test": way.name,
                    "for": one.place,
                    "a": one.a,
                    "b": one.b,
                    "of a": one.found.a,
                    "of b": one.found.b,
                    "statistic": one.found.statistic,
                    "p": one.found.p,
                    "n": one.found.n,
                    "data": _data(claim, settings),
                }
            )
    note = (
        "Of t-tests the means of the two samples are shown, of Levene's test the standard "
        "deviations. Entries of one image's code, and atoms of one dictionary, are no independent "
        "samples: p is then far too small, as in the paper. n is the size of sample a."
    )
    return {
        "frame": pd.DataFrame(records),
        "title": "weitzner2023: statistical tests",
        "note": note,
    }


def claims(inputs, settings):
    """What the paper states, by which criterion it is judged, what was found, and the verdict."""
    found, records = tables(_analyses(inputs)), []
    for claim in read_claims(inputs["claims"]):
        failed = settings["failures"].get(_analysis(claim))
        if failed:
            finding = Finding(failed, failed=(_analysis(claim),))
        else:
            finding, _ = judge(claim, found)
        records.append(verdict_line(claim, finding, _data(claim, settings)))
    note = (
        f"Built with preset {settings['preset']}. A verdict is of the data named in the last "
        "column, and of networks as that preset trains them. Only orderings and trends are judged "
        "here, never the paper's absolute numbers."
    )
    title = "weitzner2023: paper beside reproduced"
    return {"frame": pd.DataFrame(records), "title": title, "note": note}


def _stated(inputs, settings) -> list[Claim]:
    """The claims whose analyses have not failed."""
    stated = read_claims(inputs["claims"])
    return [claim for claim in stated if _analysis(claim) not in settings["failures"]]


def _analysis(claim: Claim) -> str:
    """The analysis that a claim is judged by."""
    of = {"changes": "change", "accuracies": "budgets", "errors": "signals", "codes": "signals"}
    kind = of.get(claim.reads, "correlation")
    role = claim.rows.get("role")
    return f"{kind}_{role}" if role else kind


def _analyses(inputs) -> dict[str, str]:
    """The files of analyses among the inputs."""
    return {name: path for name, path in inputs.items() if str(path).endswith(".npz")}


def numbers(inputs, settings):
    """Every number that the paper gives of its figures 5 and 7, beside the reproduced one."""
    records = []
    if "signals" in inputs:
        records += _energies(inputs, settings)
    budgets = {name: path for name, path in inputs.items() if name.startswith("budgets_")}
    found = tables(budgets)["accuracies"]
    for printed in pd.read_csv(inputs["accuracies"]).itertuples():
        same = {"role": printed.role, "attack": printed.attack, "budget": printed.budget}
        rows = found[~found["clamped"]] if len(found) else found
        for column, value in same.items():
            rows = rows[rows[column] == value] if len(rows) else rows
        for row in rows.itertuples():
            ours = Estimate(row.value, int(row.n), row.low, row.high)
            quantity = (
                f"accuracy on {ROLES[printed.role]} under {printed.attack} at {printed.budget:g}"
            )
            origin = origins(settings)[row.data]
            records.append(beside(quantity, "figure 7", printed.accuracy, ours, origin))
    title = "weitzner2023: the paper's numbers beside the reproduced ones"
    return {"frame": pd.DataFrame(records), "title": title, "note": NOTE}


def _energies(inputs, settings) -> Iterator[dict]:
    arrays, metadata = read_arrays(inputs["signals"], stage="analysis")
    values = pd.read_csv(inputs["values"]).set_index("quantity")
    origin = {"stand_in": False, "data": _SYNTHETIC, "preset": settings["preset"]}
    for name in ("pgd", "noise"):
        energy = (arrays[f"code_{name}"].astype("float64") ** 2).sum(1)
        value, where = values.loc[f"energy {name}", ["value", "where"]]
        quantity = f"mean energy of the code of {name}"
        yield beside(quantity, where, value, mean(energy, metadata.seed), origin)


def _data(claim: Claim, settings) -> str:
    origin = origins(settings).get(_analysis(claim))
    return data_used(origin) if origin else _SYNTHETIC
