"""Figures 3, 4 and 4a of mitro2018: the data, what an attack does to its pixels, dictionaries."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm

from advsparse.analyses.denoising import BINS
from advsparse.artifacts import read_arrays
from advsparse.data._io import load_dataset
from advsparse.figures.origin import ROLES, data_used, origins, stamp
from advsparse.figures.style import WIDTH, mosaic, plt, show_image
from papers.mitro2018.found import ATTACKS, Seen

_BEFORE, _AFTER = "#0072B2", "#D55E00"


def draw_embedding(inputs, settings):
    """Figure 3: t-SNE of the images of both datasets, coloured by class."""
    from sklearn.manifold import TSNE

    count = settings["options"]["count"]
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.6))
    records = []
    for ax, name in zip(axes, ("mnist", "cifar10"), strict=True):
        data = load_dataset(inputs[name])
        labels = data.labels("test")
        rows = np.sort(np.random.default_rng(0).permutation(len(labels))[:count])
        pixels = data.images("test", rows).reshape(len(rows), -1)
        perplexity = min(30.0, (len(rows) - 1) / 3)
        embedded = TSNE(init="pca", random_state=0, perplexity=perplexity).fit_transform(pixels)
        ax.scatter(*embedded.T, c=labels[rows], cmap="tab10", s=6, linewidths=0)
        ax.set(title=f"{ROLES[name]}: {len(rows)} images", xticks=[], yticks=[])
        records += [
            {"role": name, "image": int(row), "class": data.classes[labels[row]], "x": x, "y": y}
            for row, (x, y) in zip(rows, embedded.astype(np.float64), strict=True)
        ]
    stamp(figure, settings)
    return figure, pd.DataFrame(records)


def draw_distributions(inputs, settings):
    """Figure 4: quantiles against a normal law, and densities, of pixels before and after FGSM."""
    figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 5.0))
    records = []
    for line, name in zip(axes, ("convnet_mnist", "convnet_cifar10"), strict=True):
        seen = Seen(inputs[name], settings["reads"][name]["points"], name)
        attack = seen.source(ATTACKS["FGSM"])
        words = ROLES[name.partition("_")[2]]
        levels = np.linspace(0, 1, 101)
        inner = slice(1, -1)  # the outermost quantiles of a normal law are infinite
        centres, width = (BINS[1:] + BINS[:-1]) / 2, np.diff(BINS)[0]
        for source, colour, label in (("clean", _BEFORE, "before"), (attack, _AFTER, "after")):
            quantiles = seen.arrays[f"quantiles:{source}"]
            line[0].plot(norm.ppf(levels[inner]), quantiles[inner], color=colour, label=label)
            counts = seen.arrays[f"histogram:{source}"]
            density = counts / counts.sum() / width
            line[1].step(centres, density, where="mid", color=colour, label=label)
            records += [
                {"role": words, "images": label, "pixel": x, "density": y}
                for x, y in zip(centres, density, strict=True)
            ]
        line[0].set(
            title=f"{words}: qq-plot", xlabel="normal quantile", ylabel="quantile of pixels"
        )
        line[1].set(title=f"{words}: density", xlabel="pixel", ylabel="density", yscale="log")
        line[1].set_xlim(-0.6, 1.6)
        line[1].legend()
    stamp(figure, settings)
    return figure, pd.DataFrame(records)


def draw_dictionaries(inputs, settings):
    """Figure 4a: the atoms of both dictionaries, those with the largest first entries unsorted."""
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.8))
    records = []
    for ax, name in zip(axes, ("denoiser_mnist", "denoiser_cifar10"), strict=True):
        learned, metadata = read_arrays(inputs[name], stage="defense")
        atoms = learned["dictionary"].T
        size = metadata.params["method"]["patch"]
        tiles = atoms.reshape(len(atoms), -1, size, size)
        largest = np.abs(tiles).reshape(len(tiles), -1).max(1)[:, None, None, None]
        show_image(ax, mosaic(0.5 + tiles / (2 * largest)))
        ax.set_title(f"{data_used(origins(settings)[name])}: {len(atoms)} atoms", fontsize=7)
        records += [
            {"dictionary": name, "atom": number, **dict(enumerate(atom.astype(np.float64)))}
            for number, atom in enumerate(atoms, 1)
        ]
    stamp(figure, settings)
    return figure, pd.DataFrame(records)
