"""Figures 1, 5 and 6 of weitzner2023: synthetic signals under attack."""

from __future__ import annotations

import numpy as np
import pandas as pd

from advsparse.analyses._axes import CONDITIONS, PARTS
from advsparse.artifacts import read_arrays
from advsparse.figures.origin import write_at_foot
from advsparse.figures.style import ON_WHITE, WIDTH, look, plt

FAMILIES = {"OMP": "omp", "LASSO": "lasso", "LISTA": "lista"}
COLOURS = {"excess": "#CC6677", "missing": "#DDCC77", "in support": "#88CCEE"}
TITLES = {"clean": "clean", "noise": "noise", "pgd": "PGD", "da": "DA"}
_HATCHES = ("", "///", "...")


def error_table(inputs) -> pd.DataFrame:
    """One line for each coder and condition: mean parts of the squared error, and its quartiles."""
    arrays, _ = read_arrays(inputs["signals"], stage="analysis")
    records = []
    for coder, errors in zip(arrays["coders"], arrays["errors"], strict=True):
        for condition, parts in zip(CONDITIONS, errors, strict=True):
            total = parts.sum(0)
            low, high = np.quantile(total, [0.25, 0.75])
            record = {"coder": str(coder), "condition": condition}
            record |= dict(zip(PARTS, parts.mean(1), strict=True))
            record |= {"mean": total.mean(), "quartile_1": low, "quartile_3": high}
            records.append(record | {"n": len(total)})
    return pd.DataFrame(records)


def draw_coding(inputs, settings):
    """Figures 1 and 6: the mean error of codes, part by part, a panel for each kind of coder."""
    table = error_table(inputs)
    table = table[table["condition"].isin(settings["options"]["conditions"])]
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.5))
    for ax, (title, prefix) in zip(axes, FAMILIES.items(), strict=True):
        family = table[table["coder"].str.startswith(prefix)]
        _draw_bars(ax, family, settings["options"]["conditions"])
        ax.set_title(title)
    axes[0].set_ylabel(r"mean of $\|\hat{a} - a\|_2^2$")
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS.values()]
    figure.legend(handles, COLOURS, loc="outside upper center", ncols=3)
    _stamp(figure, inputs, settings)
    return figure, table


def _draw_bars(ax, family, conditions) -> None:
    coders = list(family["coder"].unique())
    width = 0.8 / len(coders)
    for row in family.itertuples():
        place = conditions.index(row.condition) + (coders.index(row.coder) + 0.5) * width - 0.4
        bottom = 0.0
        for part, colour in COLOURS.items():
            height = family.at[row.Index, part]
            ax.bar(
                place,
                height,
                0.92 * width,
                bottom=bottom,
                color=colour,
                edgecolor="0.25",
                linewidth=0.5,
                hatch=_HATCHES[coders.index(row.coder) % 3],
            )
            bottom += height
        # From quartile to quartile; of a skewed law the mean can lie outside.
        ax.plot([place] * 2, [row.quartile_1, row.quartile_3], color="k", linewidth=1)
    ax.set_xticks(range(len(conditions)), [TITLES[name] for name in conditions])
    ax.grid(axis="x", visible=False)
    handles = [
        plt.Rectangle((0, 0), 1, 1, facecolor="white", edgecolor="0.25", hatch=hatch)
        for hatch in _HATCHES[: len(coders)]
    ]
    ax.set_ylim(0, 1.3 * ax.get_ylim()[1])
    ax.legend(handles, [_mode(coder) for coder in coders], fontsize=7, loc="upper left")


def _mode(coder: str) -> str:
    """How a coder was run: ``to a tolerance``, ``$\\lambda = 0.0125$``."""
    family, _, mode = coder.partition("_")
    if family == "lista":
        return {"a": "network attacked by PGD", "b": "another network"}.get(mode, mode)
    if mode in ("tolerance", "sparsity"):
        return {"tolerance": "to a tolerance", "sparsity": "to the sparsity"}[mode]
    return rf"$\lambda = {mode}$"


def draw_perturbation_codes(inputs, settings):
    """Figure 5: active values and energies of the codes of PGD's and of noise's perturbations."""
    arrays, metadata = read_arrays(inputs["signals"], stage="analysis")
    values = pd.read_csv(inputs["values"]).set_index("quantity")["value"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.2))
    codes = {name: arrays[f"code_{name}"] for name in ("pgd", "noise")}
    active = {name: code[code != 0] for name, code in codes.items()}
    energy = {name: (code.astype(np.float64) ** 2).sum(1) for name, code in codes.items()}
    edge = np.quantile(np.abs(np.concatenate(list(active.values()))), 0.999)
    bins = np.linspace(-edge, edge, 61)
    spans = np.linspace(0, max(map(np.max, energy.values())), 61)
    for name in codes:
        style = look(name)
        count, atoms = len(active[name]) / len(codes[name]), codes[name].shape[1]
        label = f"{style.label}: {count:.0f} of {atoms} active"
        left.hist(active[name], bins, color=style.colour, alpha=0.55, label=label)
        mean, paper = energy[name].mean(), values[f"energy {name}"]
        label = f"{style.label}: mean {mean:.3g} (paper {paper:g})"
        right.hist(energy[name], spans, color=style.colour, alpha=0.55, label=label)
        right.axvline(energy[name].mean(), color=style.colour, linewidth=1)
    left.set(xlabel="active value of the code", ylabel="count")
    right.set(xlabel=r"energy $\|a\|_2^2$ of the code", ylabel="perturbations")
    for ax in (left, right):
        ax.set_ylim(0, 1.3 * ax.get_ylim()[1])
        ax.legend(loc="upper right", fontsize=7.5, **ON_WHITE)
    method = metadata.params["method"]
    figure.suptitle(
        rf"LASSO codes ($\lambda = {method['perturbation_weight']:g}$) of perturbations with "
        rf"$\ell_2$ norm {method['eps']:g}",
        fontsize=9,
    )
    _stamp(figure, inputs, settings)
    records = []
    for name in codes:
        active_each = (codes[name] != 0).sum(1)
        records += [
            {"perturbation": name, "signal": i, "energy": e, "active": int(k)}
            for i, (e, k) in enumerate(zip(energy[name], active_each, strict=True))
        ]
    return figure, pd.DataFrame(records)


def _stamp(figure, inputs, settings) -> None:
    _, metadata = read_arrays(inputs["signals"], stage="analysis")
    signals = metadata.params["signals"]
    write_at_foot(
        figure,
        f"synthetic signals (m = {signals['size']}, n = {signals['atoms']}, "
        f"s = {signals['sparsity']}, {signals['support']} support); preset {settings['preset']}",
    )
