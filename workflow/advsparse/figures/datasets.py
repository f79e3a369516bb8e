"""Pictures of datasets."""

from __future__ import annotations

import numpy as np

from advsparse.data._base import Splits
from advsparse.figures.style import WIDTH, mosaic, plt, show_image
from advsparse.verbatim import in_figure


def draw_classes(data: Splits, dataset: str, per_class: int):
    """The first ``per_class`` training and test images of the first 20 classes, a row for each."""
    count = min(len(data.classes), 20)
    # A picture of each split: to place hundreds of axes takes seconds.
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 0.52 * count + 0.5))
    for ax, split in zip(axes, ("train", "test"), strict=True):
        labels = data.labels(split)
        channels, height, width = data.images(split, np.arange(1)).shape[1:]
        tiles = np.ones((count, per_class, channels, height, width))
        for label in range(count):
            index = np.flatnonzero(labels == label)[:per_class]
            tiles[label, : len(index)] = data.images(split, index)
        show_image(ax, mosaic(tiles.reshape(-1, *tiles.shape[2:]), across=per_class))
        ax.set_title(f"{len(labels)} {'training' if split == 'train' else split} images")
    middle = (height + 1) * np.arange(count) + (height - 1) / 2
    axes[0].set_yticks(middle, [in_figure(name) for name in data.classes[:count]])
    axes[0].tick_params(length=0)
    figure.suptitle(f"{in_figure(dataset)}: {len(data.classes)} classes", fontsize=10)
    return figure
