"""Figure 7 of weitzner2023: accuracy against the budget of universal attacks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from advsparse.figures.origin import ROLES, stamp
from advsparse.figures.style import WIDTH, look, plt
from papers.weitzner2023.found import tables

KINDS = {"da": "dict_attack", "targeted_uap": "targeted_uap", "uap": "uap", "noise": "noise"}
"""Kinds of the attacks that the paper compares, by their names in its numbers."""


def draw_budgets(inputs, settings):
    """Figure 7: accuracy against the l2 budget, with the paper's curves drawn thin."""
    reference = pd.read_csv(inputs["accuracies"])
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 4.1), sharey=True)
    found = tables({name: inputs[name] for name in ("budgets_mnist", "budgets_cifar10")})
    found = found["accuracies"]
    for ax, role in zip(axes, ("mnist", "cifar10"), strict=True):
        table = found[found["role"] == role]
        clean = table[table["attack"] == "none"]
        paper = reference[reference["role"] == role]
        for attack, kind in KINDS.items():
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
    handles, labels = axes[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize=7.5)
    stamp(figure, settings)
    return figure, _beside_paper(found.drop(columns="data"), reference)


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
