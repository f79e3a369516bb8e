"""Figures 2, 3 and 4 of weitzner2023: attacked images as the sparse coder sees them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from advsparse.analyses._axes import GROUPS
from advsparse.artifacts import read_arrays
from advsparse.figures.origin import stamp
from advsparse.figures.style import ON_WHITE, WIDTH, look, plt

DICTIONARIES = {"learned": "learned dictionary", "random": "random dictionary"}
_GROUP_COLOURS = {"top": "#0072B2", "bottom": "#E69F00", "random": "#7F7F7F"}
_SHOWN = 10000
"""Entries of a code that a figure draws at most: all of them would be megabytes."""


def draw_code_change(inputs, settings):
    """Figure 2: each coefficient's change against its clean size, for one image."""
    arrays, _ = read_arrays(inputs["change"], stage="analysis")
    clean, records = np.abs(arrays["clean"]), []
    names = list(arrays["attacks"])
    figure, axes = plt.subplots(
        1, len(names), figsize=(WIDTH, 3.4), sharex=True, sharey=True, squeeze=False
    )
    for ax, name in zip(axes[0], names, strict=True):
        kind = settings["reads"]["change"]["attacks"][name]
        for by, style in ((f"{name}.noise", look("noise")), (name, look(kind))):
            change = arrays[f"change.{by}"]
            shown = _evenly(np.maximum(change, clean))
            label = "noise, same $\\ell_2$ norm" if by != name else style.label
            ax.plot(
                clean[shown],
                change[shown],
                style.marker,
                color=style.colour,
                markersize=2.5,
                alpha=0.6,
                label=label,
                rasterized=True,
            )
            records.append(
                pd.DataFrame(
                    {"by": by, "entry": shown, "clean": clean[shown], "change": change[shown]}
                )
            )
        ax.set(xlabel="clean coefficient $|a_i|$", title=style.label)
        ax.legend(loc="upper left", markerscale=2, **ON_WHITE)
    axes[0, 0].set_ylabel("change $|a_i' - a_i|$")
    stamp(figure, settings)
    return figure, pd.concat(records)


def _evenly(size: np.ndarray) -> np.ndarray:
    """Every n-th of the entries that are not 0 throughout: their distribution stays what it is."""
    present = np.flatnonzero(size)
    return present[:: max(1, -(-len(present) // _SHOWN))]


def draw_correlation(inputs, settings):
    """Figures 3 and 4: correlation densities of perturbations, and spectra of sub-matrices."""
    arrays, _ = read_arrays(inputs["correlation"], stage="analysis")
    figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 5.4))
    records = []
    for row, (name, title) in zip(axes, DICTIONARIES.items(), strict=True):
        records += _draw_densities(row[0], arrays, name, title)
        records += _draw_spectra(row[1], arrays[f"singular_values.{name}"], name, title)
    stamp(figure, settings)
    return figure, pd.DataFrame(records)


def _draw_densities(ax, arrays, name, title) -> list[dict]:
    found = {by: arrays[f"density.{name}.{by}"].astype(np.float64) for by in ("attack", "noise")}
    count = len(found["attack"])
    # In units of the even density: 1 is an atom like any other.
    scaled = {by: density * count for by, density in found.items()}
    edge = max(np.quantile(density, 0.9995) for density in scaled.values())
    bins, records = np.linspace(0, edge, 81), []
    for by, style in (("attack", look("pgd")), ("noise", look("noise"))):
        label = f"{style.label}: std {scaled[by].std():.2g}"
        heights, _, _ = ax.hist(
            scaled[by], bins, density=True, color=style.colour, alpha=0.55, label=label
        )
        records += [
            {
                "dictionary": name,
                "what": f"density of {by}",
                "at": float(at),
                "value": float(height),
            }
            for at, height in zip(bins[:-1], heights, strict=True)
        ]
    ax.set(xlabel="correlation of an atom / mean over atoms", ylabel="density", title=title)
    ax.legend(loc="upper left", **ON_WHITE)
    return records


def _draw_spectra(ax, spectra, name, title) -> list[dict]:
    records = []
    columns = np.arange(1, spectra.shape[2] + 1)
    for group, values in zip(GROUPS, spectra, strict=True):
        low, middle, high = np.quantile(values, [0, 0.5, 1], axis=0)
        colour = _GROUP_COLOURS[group]
        ax.plot(columns, middle, color=colour, label=group)
        ax.fill_between(columns, low, high, color=colour, alpha=0.2, linewidth=0)
        records += [
            {"dictionary": name, "what": f"singular value of {group}", "at": int(k), "value": v}
            for k, v in zip(columns, middle, strict=True)
        ]
    ax.set(xlabel="index", ylabel="singular value", title=f"sub-matrices, {title}", ylim=(0, None))
    ax.legend(title="atoms by correlation with PGD", title_fontsize=7.5)
    return records
