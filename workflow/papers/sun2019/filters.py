"""Figures 2 and 8 to 10 of sun2019: filters, feature maps and clusters."""

from __future__ import annotations

import numpy as np
import pandas as pd

from advsparse.artifacts import read_arrays
from advsparse.figures.origin import stamp
from advsparse.figures.style import WIDTH, mosaic, plt, show_image


def draw_pipeline(inputs, settings):
    """Figure 2: an adversarial image, its cluster, filters and feature maps, and its projection."""
    arrays, _ = read_arrays(inputs["projection"], stage="analysis")
    shown = {key: arrays[f"shown.{key}"][0] for key in _SHOWN}
    cluster, active = int(arrays["cluster.attacked"][0]) + 1, float(shown["active"])
    maps = np.abs(shown["maps"])[:, None]
    largest = max(float(maps.max()), 1e-12)
    steps = {
        "adversarial image": shown["attacked"],
        "what varies slowly": shown["slow"],
        f"filters of cluster {cluster}": mosaic(_visible(shown["filters"])),
        f"feature maps, {active:.1%} active": mosaic(1 - maps / largest),
        "projection": shown["made"],
    }
    figure, axes = plt.subplots(1, len(steps), figsize=(WIDTH, 1.8))
    for number, (ax, (title, image)) in enumerate(zip(axes, steps.items(), strict=True)):
        show_image(ax, image.clip(0, 1))
        ax.set_title(title, fontsize=7)
        if number:
            ax.annotate(
                "",
                xy=(-0.03, 0.5),
                xytext=(-0.16, 0.5),
                xycoords="axes fraction",
                arrowprops={"arrowstyle": "->", "color": "0.3"},
            )
    stamp(figure, settings)
    sizes = np.abs(shown["maps"]).reshape(len(maps), -1).sum(1)
    records = [
        {"filter": number, "l1 norm of its map": float(size)}
        for number, size in enumerate(sizes, 1)
    ]
    return figure, pd.DataFrame(records)


_SHOWN = ("attacked", "slow", "made", "maps", "filters", "active")


def draw_filters(inputs, settings):
    """Figures 8 and 9: learned filters of several numbers or sizes."""
    figure, axes = plt.subplots(1, len(inputs), figsize=(WIDTH, WIDTH / len(inputs) + 0.5))
    records = []
    for ax, (name, path) in zip(axes, inputs.items(), strict=True):
        learned, metadata = read_arrays(path, stage="defense")
        filters, method = learned["filters"], metadata.params["method"]
        show_image(ax, mosaic(_visible(filters)))
        size = filters.shape[2]
        ax.set_title(f"{len(filters)} filters of {size} x {size}")
        rough = _roughness(filters)
        records += [
            {"filters": name, "filter": number, "weight": method["weight"], "roughness": float(one)}
            for number, one in enumerate(rough, 1)
        ]
    stamp(figure, settings)
    return figure, pd.DataFrame(records)


def draw_clusters(inputs, settings):
    """Figure 10: the filters of each cluster, and images that belong to it."""
    learned, _ = read_arrays(inputs["stl_cluster"], stage="defense")
    arrays, _ = read_arrays(inputs["projection"], stage="analysis")
    names = sorted((n for n in learned if n.startswith("filters.")), key=lambda n: int(n[8:]))
    across = 6
    size = (WIDTH, len(names) * WIDTH / (across + 1.6) + 0.5)
    figure, axes = plt.subplots(
        len(names), across + 1, figsize=size, squeeze=False, width_ratios=[1.6] + [1] * across
    )
    records = []
    for number, name in enumerate(names):
        members = np.flatnonzero(arrays["cluster.clean"] == number)
        show_image(axes[number, 0], mosaic(_visible(learned[name])))
        axes[number, 0].set_ylabel(f"cluster {number + 1}", fontsize=8)
        for column in range(across):
            ax = axes[number, column + 1]
            if column < len(members):
                show_image(ax, arrays["x"][members[column]])
            else:
                ax.axis("off")
        if not len(members):
            said = f"none of the {len(arrays['cluster.clean'])} images"
            axes[number, 1].text(0, 0.5, said, fontsize=8, va="center")
        stays = arrays["cluster.attacked"][members] == number
        records.append(
            {
                "cluster": number + 1,
                "images": len(members),
                "in the same cluster once attacked": int(stays.sum()),
            }
        )
    stamp(figure, settings)
    return figure, pd.DataFrame(records)


def _visible(filters: np.ndarray) -> np.ndarray:
    """Filters, each scaled about grey to what can be shown."""
    largest = np.abs(filters).reshape(len(filters), -1).max(1)[:, None, None, None]
    return 0.5 + filters / (2 * np.maximum(largest, 1e-12))


def _roughness(filters: np.ndarray) -> np.ndarray:
    """The squared differences between neighbours, over the squared entries: 0 of a constant filter,
    8 of a chessboard."""
    squares = sum((np.diff(filters, axis=axis) ** 2).sum((1, 2, 3)) for axis in (2, 3))
    return squares / np.maximum((filters**2).sum((1, 2, 3)), 1e-12)
