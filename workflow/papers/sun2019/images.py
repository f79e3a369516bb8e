"""Figures 3, 4 and 11 to 14 of sun2019: images as defences leave them."""

from __future__ import annotations

from math import nan

import pandas as pd

from advsparse.figures.origin import stamp
from advsparse.figures.style import WIDTH, decibels, plt, show_image
from papers.sun2019.found import DEFENSES, Behind

_ATTACK, _PAIR = "FGSM-0.08", ("adversarial", "transformed")


def draw_reconstructions(inputs, settings):
    """Figures 3 and 4: adversarial images, what each of some defences makes of them, clean ones."""
    seen = _seen(inputs, settings)
    columns = [name for name in settings["options"]["defenses"] if name in seen.transforms]
    pictures = {"adversarial": seen.of("shown", _ATTACK, "none")}
    pictures |= {DEFENSES[name]: seen.of("shown", _ATTACK, name) for name in columns}
    pictures["clean"] = seen.of("shown", "clean", "none")
    names, kept = ["none", *columns], seen.arrays["kept"]
    count = min(3, len(pictures["clean"]))
    side = WIDTH / len(pictures)
    size = (WIDTH, count * side * 1.12 + 0.45)
    figure, axes = plt.subplots(count, len(pictures), figsize=size, squeeze=False)
    records = []
    for column, (title, images) in enumerate(pictures.items()):
        axes[0, column].set_title(title, fontsize=8)
        for row in range(count):
            show_image(axes[row, column], images[row].clip(0, 1))
            if column < len(names):
                found = seen.of("psnr", _ATTACK, names[column])
                quality = nan if found is None else found[kept[row]]
                label = "pixels moved" if found is None else decibels(quality)
                axes[row, column].set_xlabel(label, fontsize=7, labelpad=2)
                records.append({"image": int(kept[row]), "defence": title, "PSNR": float(quality)})
    stamp(figure, settings)
    return figure, pd.DataFrame(records)


def draw_transformed(inputs, settings):
    """Figures 11 to 14: pairs of an adversarial image and what STL (cluster) makes of it."""
    seen, defense = _seen(inputs, settings), settings["options"]["defense"]
    before, after = (seen.of("shown", _ATTACK, name) for name in ("none", defense))
    kept = seen.arrays["kept"]
    count = len(kept)
    figure = plt.figure(figsize=(WIDTH, WIDTH / (2 * count) + 0.5))
    pairs = figure.subfigures(1, count, wspace=0.04)
    records = []
    for number, pair in enumerate(pairs if count > 1 else [pairs]):
        axes = pair.subplots(1, 2, gridspec_kw={"wspace": 0.0})
        for ax, image, title in zip(
            axes, (before, after), ("adversarial", "transformed"), strict=True
        ):
            show_image(ax, image[number].clip(0, 1))
            ax.set_title(title, fontsize=7)
        clean, attacked = (
            bool(seen.right(attack, defense)[kept[number]]) for attack in ("clean", _ATTACK)
        )
        quality = float(seen.of("psnr", _ATTACK, defense)[kept[number]])
        records.append(
            {
                "image": int(kept[number]),
                "PSNR": quality,
                "right, clean": clean,
                "right, attacked": attacked,
            }
        )
    stamp(figure, settings)
    return figure, pd.DataFrame(records)


def _seen(inputs, settings) -> Behind:
    told = settings["reads"]["transformations"]
    dataset = told["model"].partition("_")[2]
    return Behind(inputs["transformations"], told, dataset)
