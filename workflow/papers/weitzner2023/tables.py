"""The tables of weitzner2023: its statistical tests, and its claims beside what was rebuilt."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from advsparse.artifacts import read_arrays
from advsparse.evaluate.beside import NOTE, beside
from advsparse.evaluate.findings import Finding
from advsparse.evaluate.statistics import Estimate, mean
from advsparse.figures.origin import ROLES, data_used
from papers.weitzner2023.accuracy import accuracy_table
from papers.weitzner2023.hypotheses import LEVEL, Test, of_change, of_correlation, of_signals

_SYNTHETIC = "synthetic signals"


def _tests(inputs) -> Iterator[tuple[str, Test]]:
    """All tests, each with the analysis that it is of; those of analyses that failed are left."""
    of = {
        "signals": of_signals,
        "change": of_change,
        "correlation_cifar10": lambda arrays: of_correlation(arrays, "cifar10"),
        "correlation_tiny_imagenet": lambda arrays: of_correlation(arrays, "tiny_imagenet"),
    }
    for name, tests in of.items():
        if name in inputs:
            arrays, _ = read_arrays(inputs[name], stage="analysis")
            for test in tests(arrays):
                yield name, test


def tests(inputs, settings):
    """Every statistical test: what is compared, the statistic, and p."""
    records = [
        {
            "claim": test.claim,
            "test": test.name,
            "what": test.what,
            "a": test.a,
            "b": test.b,
            "of a": test.of_a,
            "of b": test.of_b,
            "statistic": test.statistic,
            "p": test.p,
            "n": test.n,
            "data": _data(name, settings),
        }
        for name, test in _tests(inputs)
    ]
    note = (
        "Of t-tests the means of the two samples are shown, of Levene's test the standard "
        "deviations. Entries of one image's code, and atoms of one dictionary, are no independent "
        "samples: p is then far too small, as in the paper. n is the size of a sample."
    )
    return {
        "frame": pd.DataFrame(records),
        "title": "weitzner2023: statistical tests",
        "note": note,
    }


def claims(inputs, settings):
    """What the paper states, by which criterion it is judged, what was found, and the verdict."""
    stated = pd.read_csv(inputs["claims"]).set_index("claim")
    reasons = pd.read_csv(inputs["reasons"]).set_index("claim")["reason"]
    found: dict[str, list[tuple[str, Test]]] = {}
    for name, test in _tests(inputs):
        found.setdefault(test.claim, []).append((name, test))
    records = []
    for claim in stated.index:
        if claim in found:
            criterion, finding, data = _of_tests(found[claim], settings)
        else:
            criterion, finding, data = _of_accuracies(claim, inputs, settings)
        records.append(
            {
                "claim": claim,
                "where": stated.at[claim, "where"],
                "paper": stated.at[claim, "statement"],
                "criterion": criterion,
                "reproduced": finding.text,
                "verdict": finding.verdict,
                "likely reason": reasons.get(claim, "") if finding.contradicted else "",
                "data": data,
            }
        )
    note = (
        f"Built with preset {settings['preset']}. A verdict is of the data named in the last "
        "column, and of networks as that preset trains them. Only orderings and trends are judged "
        "here, never the paper's absolute numbers."
    )
    return {
        "frame": pd.DataFrame(records),
        "title": "weitzner2023: paper beside reproduced",
        "note": note,
    }


def numbers(inputs, settings):
    """Every number that the paper gives of its figures 5 and 7, beside the reproduced one."""
    records = []
    if "signals" in inputs:
        records += _energies(inputs, settings)
    printed = pd.read_csv(inputs["accuracies"])
    for role, curves in printed.groupby("role", sort=False):
        if f"budgets_{role}" in inputs:
            table = accuracy_table(inputs[f"budgets_{role}"], role)
            table = table[~table["clamped"]].set_index(["attack", "budget"])
            origin = settings["origins"][f"budgets_{role}"]
            for row in curves.itertuples():
                if (row.attack, row.budget) in table.index:
                    one = table.loc[(row.attack, row.budget)]
                    found = Estimate(one["value"], int(one["n"]), one["low"], one["high"])
                    quantity = f"accuracy on {ROLES[role]} under {row.attack} at {row.budget:g}"
                    records.append(beside(quantity, "figure 7", row.accuracy, found, origin))
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


def _of_tests(entries, settings) -> tuple[str, Finding, str]:
    tests = [test for _, test in entries]
    words = {
        "above": f"of a is larger than of b (p < {LEVEL:g})",
        "below": f"of a is smaller than of b (p < {LEVEL:g})",
        "alike": f"does not differ (p >= {LEVEL:g})",
    }
    spread = "spread" if tests[0].name == "Levene" else "mean"
    criterion = f"the {spread} {words[tests[0].expects]}"
    text = "; ".join(
        f"{test.what}: {test.a} {test.of_a:.4g}, {test.b} {test.of_b:.4g} (p = {test.p:.2g})"
        for test in tests
    )
    finding = Finding(text, tuple(test.speaks for test in tests))
    return criterion, finding, _data(entries[0][0], settings)


def _of_accuracies(claim, inputs, settings) -> tuple[str, Finding, str]:
    role = "mnist" if claim == "da_mnist" else "cifar10"
    name = f"budgets_{role}" if claim.startswith(("da_", "tuap")) else None
    if name is None or name not in inputs:
        reasons = settings["failures"]
        return "", Finding("; ".join(reasons.values()), failed=tuple(reasons)), ""
    table = accuracy_table(inputs[name], role)
    table = table[~table["clamped"] & (table["budget"] > 0)].set_index(["attack", "budget"])
    lower, others = ("da", ("uap", "targeted_uap", "noise"))
    if claim == "tuap_weaker_than_noise":
        lower, others = "noise", ("targeted_uap",)
    speaks, parts = [], []
    for budget in table.loc[lower].index:
        strong = table.loc[(lower, budget)]
        values = [f"{lower} {strong['value']:.3f}"]
        for other in others:
            weak = table.loc[(other, budget)]
            speaks.append(_apart(strong, weak))
            values.append(f"{other} {weak['value']:.3f}")
        parts.append(f"budget {budget:g}: {', '.join(values)}")
    criterion = f"the accuracy under {lower} is below each, 95 % intervals apart"
    return criterion, Finding("; ".join(parts), tuple(speaks)), _data(name, settings)


def _apart(strong, weak) -> int:
    if strong["high"] < weak["low"]:
        return 1
    return -1 if strong["low"] > weak["high"] else 0


def _data(name: str, settings) -> str:
    return data_used(settings["origins"][name]) if name in settings["origins"] else _SYNTHETIC
