"""The figures of frecon2021. Each function returns a figure and the numbers that it shows."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter

from advsparse.artifacts import read_arrays, read_rows
from advsparse.data._io import load_dataset
from advsparse.figures.origin import stamp
from advsparse.figures.style import WIDTH, look, plt, show_image
from papers.frecon2021.points import experiment_table


def draw_atoms(inputs, settings):
    """Figure 1: positive parts of the atoms above, negative parts below."""
    learned, metadata = read_arrays(inputs["fit"], stage="fit")
    atoms, codes = learned["atoms"], np.abs(learned["codes"])
    count = len(atoms)
    use, share = codes.sum(0), (codes > 0).mean(0)
    figure, axes = plt.subplots(
        2, count, figsize=(WIDTH, 2 * WIDTH / max(count, 6) + 0.75), squeeze=False
    )
    for m, atom in enumerate(atoms):
        size = np.abs(atom).max() or 1.0
        show_image(axes[0, m], np.clip(atom / size, 0, None))
        show_image(axes[1, m], np.clip(-atom / size, 0, None))
        axes[0, m].set_title(f"$d_{{{m + 1}}}$")
        axes[1, m].set_xlabel(f"{share[m]:.0%}", fontsize=8)
    axes[0, 0].set_ylabel("positive part")
    axes[1, 0].set_ylabel("negative part")
    method = metadata.params["method"]
    figure.suptitle(
        rf"Atoms learned with $\lambda_1 = {method['lambda1']:g}$, $\lambda_2 = "
        rf"{method['lambda2']:g}$; below each, the share of learning images that use it",
        fontsize=9,
    )
    stamp(figure, settings["origin"])
    numbers = pd.DataFrame(
        {
            "atom": np.arange(1, count + 1),
            "l2_norm": np.linalg.norm(atoms.reshape(count, -1).astype(np.float64), axis=1),
            "largest_entry": np.abs(atoms).reshape(count, -1).max(1),
            "sum_of_codes": use,
            "share_of_images": share,
        }
    )
    return figure, numbers


def draw_examples(inputs, settings):
    """Figure 2: two unseen images attacked, with their codes."""
    data = load_dataset(inputs["dataset"])
    attacked, metadata = read_arrays(inputs["attack"], stage="attack")
    split = metadata.params["images"]["split"]
    rows = _two_examples(attacked)
    figure, axes = plt.subplots(
        len(rows),
        4,
        figsize=(WIDTH, 1.95 * len(rows) + 0.2),
        squeeze=False,
        gridspec_kw={"width_ratios": [1, 1, 1, 1.6]},
    )
    records = []
    for line, i in enumerate(rows):
        clean = data.images(split, attacked["index"][i : i + 1])[0]
        d = attacked["x_adv"][i] - clean
        size = np.abs(d).max() or 1.0
        names = {
            "source": data.classes[attacked["clean_prediction"][i]],
            "target": data.classes[attacked["trace.target"][i]],
            "prediction": data.classes[attacked["prediction"][i]],
        }
        relative = np.linalg.norm(d) / np.linalg.norm(clean)
        code = attacked["trace.code"][i]
        show_image(axes[line, 0], clean)
        show_image(axes[line, 1], 0.5 + d / (2 * size))
        show_image(axes[line, 2], attacked["x_adv"][i])
        ax = axes[line, 3]
        ax.bar(np.arange(1, len(code) + 1), code, color=look("scada").colour)
        ax.axhline(0, color="0.3", linewidth=0.8)
        ax.set(xticks=np.arange(1, len(code) + 1), xlabel="atom", ylabel="$v$")
        titles = (
            f"image:\n{names['source']}",
            f"perturbation\nscaled x {0.5 / size:.0f}",
            f"adversarial:\n{names['prediction']}",
            f"code, towards the target\n{names['target']}",
        )
        for column, title in zip(axes[line], titles, strict=True):
            column.set_title(title, fontsize=8)
        record = {"image": int(attacked["index"][i])} | names | {"relative_l2": relative}
        records.append(record | {f"v{m + 1}": value for m, value in enumerate(code)})
    stamp(figure, settings["origin"])
    return figure, pd.DataFrame(records)


def _two_examples(attacked) -> list[int]:
    """The first two fooled images of different classes; others where there are no such two."""
    order = np.argsort(~attacked["success"], kind="stable")
    source = attacked["clean_prediction"]
    different = [i for i in order[1:] if source[i] != source[order[0]]]
    return [int(order[0]), *map(int, (different or list(order[1:]))[:1])]


def draw_loss(inputs, settings):
    """Figure 3, left: the objective of problem 2.1 over the iterations."""
    learned, metadata = read_arrays(inputs["fit"], stage="fit")
    loss, step, backtracks = (learned[name] for name in ("loss", "step", "backtracks"))
    method = metadata.params["method"]
    figure, (above, below) = plt.subplots(
        2, 1, sharex=True, figsize=(4.6, 3.9), gridspec_kw={"height_ratios": [3, 1]}
    )
    colour = look("scada").colour
    above.plot(loss, color=colour)
    above.set(ylabel="training loss (sum over images)", ylim=(0, None))
    above.set_title(
        rf"$\lambda_1 = {method['lambda1']:g}$, $\lambda_2 = {method['lambda2']:g}$: from "
        f"{_first_finite(loss):.1f} to {loss[-1]:.1f} in {len(step)} iterations"
    )
    if len(step):
        accepted = step * method["shrink"] ** backtracks
        below.semilogy(np.arange(1, len(step) + 1), accepted, color="0.35", linewidth=0.8)
    below.set(xlabel="iteration", ylabel="accepted step")
    stamp(figure, settings["origin"])
    numbers = pd.DataFrame(
        {
            "iteration": np.arange(len(loss)),
            "loss": loss,
            "proposed_step": np.concatenate([[np.nan], step]),
            "backtracks": pd.array([pd.NA, *backtracks.tolist()], dtype="Int64"),
        }
    )
    return figure, numbers


def _first_finite(loss) -> float:
    """The first loss that is a number: an infeasible start has none."""
    finite = loss[np.isfinite(loss)]
    return float(finite[0]) if len(finite) else float("nan")


def draw_tradeoff(inputs, settings):
    """Figure 3, right: fooling rate against rMSE for the grid and for the competitors."""
    rows, _ = read_rows(inputs["rows"], stage="rows")
    table = experiment_table(rows, settings["points"])
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.4))
    grid = table[table["name"] == "scada"]
    dead = grid[grid["rmse"] == 0]
    edge = _edge(table)
    for name, group in table.groupby("name", sort=False):
        if name != "scada":
            _draw_series(left, name, group, edge)
    style = look("scada")
    alive = grid[grid["rmse"] > 0]
    left.plot(
        alive["rmse"], alive["fooling_rate"], style.marker, color=style.colour, label="SCADA, grid"
    )
    if len(dead):
        left.plot(
            [edge] * len(dead),
            dead["fooling_rate"],
            "X",
            color=style.colour,
            label="SCADA, rMSE 0",
            clip_on=False,
        )
    left.set(
        xscale="log", xlabel="rMSE", ylabel="fooling rate on unseen images", ylim=(-0.03, 1.03)
    )
    _draw_grid(right, grid)
    right.set(xscale="log", xlabel="rMSE")
    right.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    right.xaxis.set_minor_formatter(
        FuncFormatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
    )
    # Labels of major and minor ticks on one line.
    right.tick_params(axis="x", which="both", length=3, pad=3, labelsize=8)
    left.set_title("all attacks")
    right.set_title("SCADA's grid, enlarged")
    for ax, columns in ((left, 3), (right, 2)):
        ax.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.17),
            ncols=columns,
            fontsize=7.5,
            handlelength=1.4,
            columnspacing=0.9,
        )
    stamp(figure, settings["origin"])
    return figure, table


def _edge(table) -> float:
    """Where points of rMSE 0, which a logarithmic axis cannot show, are drawn."""
    positive = table.loc[table["rmse"] > 0, "rmse"]
    return positive.min() / 2 if len(positive) else 1e-6


def _draw_series(ax, name, group, edge):
    """A competitor: its budgets joined by a line."""
    group = group.sort_values("rmse")
    style = look(group["kind"].iloc[0])
    label, line, fill = style.label, "-", style.colour
    if name == "scada_shortened":
        label, line, fill = "SCADA, shortened", "none", "none"
    elif name.startswith("pgd"):
        norm = group["norm"].iloc[0]
        label = {"linf": r"PGD, $\ell_\infty$", "l2": r"PGD, $\ell_2$"}.get(norm, f"PGD, {norm}")
        line, fill = ("-", style.colour) if norm == "linf" else ("--", "white")
    ax.plot(
        group["rmse"].clip(lower=edge),
        group["fooling_rate"],
        marker=style.marker,
        linestyle=line if len(group) > 1 else "none",
        color=style.colour,
        markerfacecolor=fill,
        label=label,
    )


def _draw_grid(ax, grid):
    """The points of SCADA's grid: colour for lambda2, marker for lambda1."""
    first, second = (sorted(grid[name].unique()) for name in ("lambda1", "lambda2"))
    shades = plt.get_cmap("YlOrBr")(np.linspace(0.35, 0.95, len(second)))
    markers = dict(zip(first, "osD^vP*X" * (1 + len(first) // 8), strict=False))
    for shade, lambda2 in zip(shades, second, strict=True):
        line = grid[(grid["lambda2"] == lambda2) & (grid["rmse"] > 0)].sort_values("lambda1")
        ax.plot(line["rmse"], line["fooling_rate"], color=shade, linewidth=0.8)
        ax.plot([], [], color=shade, linewidth=4, label=rf"$\lambda_2 = {lambda2:g}$")
    for row in grid[grid["rmse"] > 0].itertuples():
        shade = shades[second.index(row.lambda2)]
        interval = [[row.fooling_rate - row.fooling_low], [row.fooling_high - row.fooling_rate]]
        ax.errorbar(row.rmse, row.fooling_rate, yerr=interval, color=shade, alpha=0.4, linewidth=1)
        ax.plot(row.rmse, row.fooling_rate, markers[row.lambda1], color=shade, markeredgecolor="k")
    for lambda1 in first:
        ax.plot(
            [],
            [],
            markers[lambda1],
            color="w",
            markeredgecolor="k",
            label=rf"$\lambda_1 = {lambda1:g}$",
        )
    dead = grid[grid["rmse"] == 0]
    if len(dead):
        # Room for the note below the lowest interval.
        low, high = ax.get_ylim()
        ax.set_ylim(low - 0.08 * (high - low), high)
        which = ", ".join(f"{value:g}" for value in sorted(dead["lambda1"].unique()))
        starts = int((dead["dead_start"] == 1).sum())
        text = rf"$\lambda_1 = {which}$: $v = 0$ at {len(dead)} points, {starts} dead starts"
        ax.text(0.02, 0.02, text, transform=ax.transAxes, fontsize=8)


def draw_number_of_atoms(inputs, settings):
    """Beyond the paper: the same plane for several numbers of atoms M."""
    rows, _ = read_rows(inputs["rows"], stage="rows")
    others, _ = read_rows(inputs["tradeoff"], stage="rows")
    table = experiment_table(rows, settings["points"]).sort_values("atoms")
    around = experiment_table(others, settings["tradeoff"])
    around = around[~around["name"].str.startswith("scada")]
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.9))
    edge = _edge(pd.concat([table, around]))
    for name, group in around.groupby("name", sort=False):
        _draw_series(left, name, group, edge)
    for line in left.lines:
        line.set_alpha(0.35)
    style = look("scada")
    left.plot(table["rmse"].clip(lower=edge), table["fooling_rate"], "-", color=style.colour)
    left.scatter(
        table["rmse"].clip(lower=edge),
        table["fooling_rate"],
        s=18 + 14 * np.log2(table["atoms"].to_numpy(float)),
        color=style.colour,
        zorder=3,
        label="SCADA",
    )
    left.set(
        xscale="log", xlabel="rMSE", ylabel="fooling rate on unseen images", ylim=(-0.03, 1.03)
    )
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=3)
    left.set_title("larger dots: more atoms")
    interval = [
        table["fooling_rate"] - table["fooling_low"],
        table["fooling_high"] - table["fooling_rate"],
    ]
    right.errorbar(
        table["atoms"],
        table["fooling_rate"],
        yerr=interval,
        fmt="-o",
        color=style.colour,
        capsize=2,
    )
    right.set(xscale="log", xlabel="number of atoms $M$", ylim=(-0.03, 1.03))
    right.set_xticks(table["atoms"], [str(m) for m in table["atoms"]])
    right.minorticks_off()
    right.set_ylabel("fooling rate", color=style.colour)
    second = right.twinx()
    second.spines["right"].set_visible(True)
    second.grid(False)
    second.plot(table["atoms"], table["rmse"], "--s", color="0.35", markersize=4)
    second.set(ylabel="rMSE (dashed)", ylim=(0, None))
    right.set_title("from universal ($M = 1$) to specific")
    stamp(figure, settings["origin"])
    return figure, table
