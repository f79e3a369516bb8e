"""Figures 1, 2 and 3 (left) of frecon2021: a figure each, and the numbers that it shows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from advsparse.artifacts import read_arrays
from advsparse.data._io import load_dataset
from advsparse.decisions import UNDECIDED
from advsparse.figures.origin import stamp
from advsparse.figures.style import WIDTH, look, plt, show_image
from advsparse.verbatim import in_figure


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
    stamp(figure, settings)
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
        undecided = attacked["prediction"][i] == UNDECIDED
        names = {
            "source": data.classes[attacked["clean_prediction"][i]],
            "target": data.classes[attacked["trace.target"][i]],
            "prediction": "no class" if undecided else data.classes[attacked["prediction"][i]],
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
            f"perturbation\nscaled x {0.5 / size:.2g}",
            f"{'adversarial' if attacked['success'][i] else 'not fooled'}:\n{names['prediction']}",
            f"code, towards the target\n{names['target']}",
        )
        for column, title in zip(axes[line], titles, strict=True):
            column.set_title(in_figure(title), fontsize=8)
        record = {"image": int(attacked["index"][i]), "fooled": bool(attacked["success"][i])}
        record |= names | {"relative_l2": relative}
        records.append(record | {f"v{m + 1}": value for m, value in enumerate(code)})
    stamp(figure, settings)
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
    stamp(figure, settings)
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
