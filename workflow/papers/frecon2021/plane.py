"""The plane of fooling rate against rMSE: figure 3 (right), and its extension to other M."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter

from advsparse.evaluate.dead_starts import dead_start
from advsparse.figures.gaps import COLOUR, note_failures
from advsparse.figures.origin import stamp
from advsparse.figures.style import WIDTH, look, plt
from advsparse.verbatim import in_figure
from papers.frecon2021.points import done, experiment, experiments, live

_NORMS = {"linf": r"$\ell_\infty$", "l2": r"$\ell_2$", "relative_l2": r"relative $\ell_2$"}
_LEGEND = {"loc": "upper center", "fontsize": 7.5, "handlelength": 1.4, "columnspacing": 0.9}


def draw_tradeoff(inputs, settings):
    """Figure 3, right: fooling rate against rMSE for the grid and for the competitors.

    Points of repetitions after the first stand behind it, small and pale.
    """
    every = experiments(inputs, settings, "tradeoff")
    points = every[every["repetition"] == 0]
    table = done(points)
    grid = table[table["name"] == "scada"]
    alive, dead = live(grid), grid[dead_start(grid)]
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.4))
    edge = _edge(done(every))
    for kind, again in done(every[every["repetition"] > 0]).groupby("kind", sort=False):
        pale = {"color": look(kind).colour, "markersize": 3, "alpha": 0.3, "zorder": 1}
        _points(left, live(again), edge, look(kind).marker, **pale)
    _draw_series(left, table[table["name"] != "scada"], edge)
    style = look("scada")
    if len(alive):
        _points(left, alive, edge, style.marker, color=style.colour, label="SCADA, grid")
    if len(dead):
        _points(left, dead, edge, "X", color=style.colour, label="SCADA, dead start")
    _mark_gaps(left, points)
    _finish_plane(left, "all attacks")
    if len(alive):
        _draw_grid(right, alive)
    right.set_title("SCADA's grid, enlarged")
    if len(dead):
        _note_dead_starts(right, dead, alone=not len(alive))
    left.legend(bbox_to_anchor=(0.5, -0.17), ncols=3, **_LEGEND)
    if len(alive):
        right.legend(bbox_to_anchor=(0.5, -0.17), ncols=2, **_LEGEND)
    if runs := every["repetition"].max():
        left.set_title(f"all attacks; pale: {runs} more run{'s' if runs > 1 else ''}")
    note_failures(figure, points)
    stamp(figure, settings)
    return figure, every


def draw_number_of_atoms(inputs, settings):
    """Beyond the paper: the same plane for several numbers of atoms M."""
    points = experiment(inputs, settings, "atoms").sort_values("atoms")
    table = done(points)
    behind = experiment(inputs, settings, "tradeoff")
    behind = behind[behind["kind"] != "scada"]
    around = done(behind)
    alive, dead = live(table), table[dead_start(table)]
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.9))
    edge = _edge(pd.concat([table, around]))
    _draw_series(left, around, edge)
    for line in left.lines:
        line.set_alpha(0.35)
    style = look("scada")
    sizes = 18 + 14 * np.log2(alive["atoms"].to_numpy(float))
    shown = alive["rmse"].clip(lower=edge), alive["fooling_rate"]
    left.plot(*shown, "-", color=style.colour)
    if len(alive):
        left.scatter(*shown, s=sizes, color=style.colour, zorder=3, label="SCADA")
    if len(dead):
        _points(left, dead, edge, "X", color=style.colour, label="SCADA, dead start")
    _mark_gaps(left, pd.concat([behind, points]))
    _finish_plane(left, "larger dots: more atoms")
    left.legend(bbox_to_anchor=(0.5, -0.18), ncols=3, **_LEGEND)
    right.errorbar(
        alive["atoms"],
        alive["fooling_rate"],
        yerr=_interval(alive),
        fmt="-o",
        color=style.colour,
        capsize=2,
    )
    right.plot(dead["atoms"], dead["fooling_rate"], "X", color=style.colour)
    right.set(xscale="log", xlabel="number of atoms $M$", ylim=(-0.03, 1.03))
    right.set_xticks(points["atoms"], [str(m) for m in points["atoms"]])
    for m in points.loc[points["failed"].notna(), "atoms"]:
        right.axvline(m, color=COLOUR, linestyle=":")
        plain = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        where = {"rotation": 90, "ha": "center", "va": "center"}
        right.text(m, 0.5, "failed", color=COLOUR, bbox=plain, **where)
    right.minorticks_off()
    right.set_ylabel("fooling rate", color=style.colour)
    second = right.twinx()
    second.spines["right"].set_visible(True)
    second.grid(False)
    second.plot(alive["atoms"], alive["rmse"], "--s", color="0.35", markersize=4)
    second.set(ylabel="rMSE (dashed)", ylim=(0, None))
    right.set_title("from universal ($M = 1$) to specific")
    note_failures(figure, pd.concat([behind, points]))
    stamp(figure, settings)
    return figure, points


def _edge(table) -> float:
    """Where points of rMSE 0, which a logarithmic axis cannot show, are drawn."""
    positive = table.loc[table["rmse"] > 0, "rmse"]
    return positive.min() / 2 if len(positive) else 1e-6


def _points(ax, table, edge, marker, **look) -> None:
    x = table["rmse"].clip(lower=edge)
    ax.plot(x, table["fooling_rate"], marker, linestyle="none", clip_on=False, **look)


def _mark_gaps(ax, points) -> None:
    """A legend entry for each attack of which something has failed."""
    for _, group in points.groupby("name", sort=False):
        failed = int(group["failed"].notna().sum())
        if failed:
            style = look(group.iloc[0]["kind"])
            count = f"{failed} of {len(group)} " if len(group) > 1 else ""
            entries = points[points["kind"] == group.iloc[0]["kind"]]
            label = f"{_label(style.label, group.iloc[0], entries)}: {count}failed"
            ax.plot([], [], style.marker, color=style.colour, alpha=0.4, label=label)


def _finish_plane(ax, title) -> None:
    ax.set(xscale="log", xlabel="rMSE", ylabel="fooling rate on unseen images", ylim=(-0.03, 1.03))
    ax.set_title(title)


def _interval(table):
    rate = table["fooling_rate"]
    return [rate - table["fooling_rate_low"], table["fooling_rate_high"] - rate]


def _draw_series(ax, table, edge) -> None:
    """Each attack as a series, its budgets joined by a line; a kind keeps its colour."""
    for kind, entries in table.groupby("kind", sort=False):
        names = list(entries["name"].unique())
        for number, name in enumerate(names):
            group = entries[entries["name"] == name].sort_values("rmse")
            style = look(kind)
            hollow = number % 2 == 1 or kind == "scada"
            ax.plot(
                group["rmse"].clip(lower=edge),
                group["fooling_rate"],
                marker=style.marker,
                linestyle=("-", "--", ":", "-.")[number % 4] if len(group) > 1 else "none",
                color=style.colour,
                markerfacecolor="white" if hollow else style.colour,
                label=_label(style.label, group.iloc[0], entries),
            )


def _label(label: str, first, entries) -> str:
    """The kind's name; where it occurs twice, with what tells this attack from the other."""
    if first["shorten"] is True:
        return f"{label}, shortened"
    names = entries.drop_duplicates("name")
    if first["kind"] != "scada" and len(names) == 1:
        return label
    if names["norm"].nunique() == len(names) > 1:
        return f"{label}, {_NORMS.get(first['norm'], in_figure(str(first['norm'])))}"
    return f"{label} ({in_figure(first['name'])})"


def _draw_grid(ax, alive) -> None:
    """The live points of SCADA's grid: colour for lambda2, marker for lambda1."""
    first, second = (sorted(alive[name].unique()) for name in ("lambda1", "lambda2"))
    shades = plt.get_cmap("YlOrBr")(np.linspace(0.35, 0.95, len(second)))
    markers = {value: "osD^vP*X"[i % 8] for i, value in enumerate(first)}
    for shade, lambda2 in zip(shades, second, strict=True):
        line = alive[alive["lambda2"] == lambda2].sort_values("lambda1")
        ax.plot(line["rmse"], line["fooling_rate"], color=shade, linewidth=0.8)
        ax.errorbar(
            line["rmse"],
            line["fooling_rate"],
            yerr=_interval(line),
            fmt="none",
            color=shade,
            alpha=0.4,
            linewidth=1,
        )
        for row in line.itertuples():
            marker = markers[row.lambda1]
            ax.plot(row.rmse, row.fooling_rate, marker, color=shade, markeredgecolor="k")
        ax.plot([], [], color=shade, linewidth=4, label=rf"$\lambda_2 = {lambda2:g}$")
    for lambda1, marker in markers.items():
        label = rf"$\lambda_1 = {lambda1:g}$"
        ax.plot([], [], marker, color="w", markeredgecolor="k", label=label)
    if (alive["rmse"] > 0).all():
        ax.set_xscale("log")
    ax.set_xlabel("rMSE")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(
        FuncFormatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
    )
    # Labels of major and minor ticks on one line.
    ax.tick_params(axis="x", which="both", length=3, pad=3, labelsize=8)


def _note_dead_starts(ax, dead, alone: bool) -> None:
    which = ", ".join(f"{value:g}" for value in sorted(dead["lambda1"].unique()))
    text = rf"$\lambda_1 = {which}$: {len(dead)} dead starts, not shown here"
    if alone:
        ax.set(xticks=[], yticks=[])
        ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", fontsize=8)
        return
    # Room for the note below the lowest interval.
    low, high = ax.get_ylim()
    ax.set_ylim(low - 0.1 * (high - low), high)
    ax.text(0.02, 0.02, text, transform=ax.transAxes, fontsize=8)
