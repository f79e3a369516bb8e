"""Figure 7 of weitzner2023: accuracy against the budget of universal attacks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from advsparse.artifacts import read_arrays
from advsparse.evaluate.statistics import proportion
from advsparse.figures.origin import data_used, stamp
from advsparse.figures.style import WIDTH, look, plt

KINDS = {"da": "dict_attack", "targeted_uap": "targeted_uap", "uap": "uap", "noise": "noise"}
"""Kinds of the attacks that the paper compares, by their names in its numbers."""


def accuracy_table(path, role: str) -> pd.DataFrame:
    """One line for each attack, budget and clamp: the accuracy with its 95 % interval.

    Attacks are called what they are without the ``role`` of their data: ``da`` for ``da_mnist``.
    """
    arrays, _ = read_arrays(path, stage="analysis")
    records = []
    clean = proportion(arrays["clean"])._asdict()
    for name, correct in zip(arrays["attacks"], arrays["correct"], strict=True):
        attack = str(name).removesuffix(f"_{role}")
        for clamped, by_budget in zip((False, True), correct, strict=True):
            records.append({"attack": attack, "clamped": clamped, "budget": 0.0} | clean)
            for budget, right in zip(arrays["budgets"], by_budget, strict=True):
                found = proportion(right)._asdict()
                records.append({"attack": attack, "clamped": clamped, "budget": budget} | found)
    return pd.DataFrame(records)


def draw_budgets(inputs, settings):
    """Figure 7: accuracy against the l2 budget, with the paper's curves drawn thin."""
    reference = pd.read_csv(inputs["accuracies"])
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 4.1), sharey=True)
    tables = []
    for ax, role in zip(axes, ("mnist", "cifar10"), strict=True):
        table = accuracy_table(inputs[f"budgets_{role}"], role)
        paper = reference[reference["role"] == role]
        for attack, kind in KINDS.items():
            _draw_attack(ax, table[table["attack"] == attack], look(kind))
            printed = paper[paper["attack"] == attack]
            ax.plot(printed["budget"], printed["accuracy"], color=look(kind).colour, linewidth=0.6)
        variant = table[(table["attack"] == "da_columns") & ~table["clamped"]]
        ax.plot(variant["budget"], variant["value"], "--", color=look("dict_attack").colour)
        ax.set(
            xlabel=r"budget $\epsilon$ ($\ell_2$)",
            title=data_used(settings["origins"][role]),
            ylim=(0, 1.02),
        )
        tables.append(table.assign(role=role))
    axes[0].set_ylabel("accuracy")
    for label, style in (
        ("DA, constraint of the authors' code", {"linestyle": "--"}),
        ("clamped to [0, 1]", {"linestyle": ":"}),
        ("paper", {"linestyle": "-", "linewidth": 0.6}),
    ):
        axes[1].plot([], [], color="0.3", label=label, **style)
    handles, labels = axes[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize=7.5)
    stamp(figure, settings["origin"])
    return figure, pd.concat(tables)


def _draw_attack(ax, table, style) -> None:
    plain, clamped = table[~table["clamped"]], table[table["clamped"]]
    ax.errorbar(
        plain["budget"],
        plain["value"],
        yerr=np.abs([plain["value"] - plain["low"], plain["high"] - plain["value"]]),
        marker=style.marker,
        color=style.colour,
        capsize=2,
        label=style.label,
    )
    ax.plot(clamped["budget"], clamped["value"], ":", color=style.colour)
