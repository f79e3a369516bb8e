"""Figure 7 of weitzner2023: accuracy against the budget of universal attacks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from advsparse.evaluate.repeated import repeated
from advsparse.figures.origin import ROLES, stamp
from advsparse.figures.style import WIDTH, look, plt
from papers.weitzner2023.found import accuracies

KINDS = {"da": "dict_attack", "targeted_uap": "targeted_uap", "uap": "uap", "noise": "noise"}
"""Kinds of the attacks that the paper compares, by their names in its numbers."""


def draw_budgets(inputs, settings):
    """Figure 7: accuracy against the l2 budget, with the paper's curves drawn thin.

    Repetitions after the first stand behind it, as bands from the least to the most.
    """
    reference = pd.read_csv(inputs["accuracies"])
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 4.1), sharey=True)
    every = _of_runs(inputs, settings)
    found = every[every["repetition"] == 0]
    repeated_often = every["repetition"].max() > 0
    for ax, role in zip(axes, ("mnist", "cifar10"), strict=True):
        table = found[found["role"] == role]
        clean = table[table["attack"] == "none"]
        paper = reference[reference["role"] == role]
        for attack, kind in KINDS.items():
            own = every[(every["role"] == role) & every["attack"].isin([attack, "none"])]
            _draw_band(ax, own[~own["clamped"]], look(kind))
            _draw_attack(ax, table[table["attack"] == attack], clean, look(kind))
            printed = paper[paper["attack"] == attack]
            ax.plot(printed["budget"], printed["accuracy"], color=look(kind).colour, linewidth=0.6)
        variant = table[(table["attack"] == "da_columns") & ~table["clamped"]]
        ax.plot(variant["budget"], variant["value"], "--", color=look("dict_attack").colour)
        ax.set(
            xlabel=r"budget $\epsilon$ ($\ell_2$)",
            title=ROLES[role],
            ylim=(0, 1.02),
        )
    axes[0].set_ylabel("accuracy")
    for label, style in (
        ("DA, constraint of the authors' code", {"linestyle": "--"}),
        ("clamped to [0, 1]", {"linestyle": ":"}),
        ("paper", {"linestyle": "-", "linewidth": 0.6}),
    ):
        axes[1].plot([], [], color="0.3", label=label, **style)
    if repeated_often:
        label = f"{every['repetition'].nunique()} runs, least to most"
        axes[1].fill_between([], [], color="0.3", alpha=0.2, linewidth=0, label=label)
    handles, labels = axes[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize=7.5)
    stamp(figure, settings)
    return figure, _beside_paper(every, reference)


def _of_runs(inputs, settings) -> pd.DataFrame:
    """The accuracies of all repetitions that are there."""
    tables = [
        accuracies(one.path, name).assign(repetition=one.repetition)
        for name in ("budgets_mnist", "budgets_cifar10")
        for one in repeated(inputs, settings, name)
        if one.path is not None
    ]
    return pd.concat(tables, ignore_index=True)


def _draw_band(ax, table, style) -> None:
    by_budget = table.groupby("budget")["value"]
    least, most = by_budget.min(), by_budget.max()
    if table["repetition"].max() > 0:
        ax.fill_between(least.index, least, most, color=style.colour, alpha=0.2, linewidth=0)


def _beside_paper(found: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """With the paper's accuracies, which are of images that are not clamped."""
    printed = reference.rename(columns={"accuracy": "paper"}).assign(clamped=False)
    both = found.merge(printed, how="left", on=["role", "attack", "budget", "clamped"])
    return both.assign(difference=both["value"] - both["paper"])


def _draw_attack(ax, table, clean, style) -> None:
    plain, clamped = (
        pd.concat([clean, table[table["clamped"] == clamp]]) for clamp in (False, True)
    )
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
