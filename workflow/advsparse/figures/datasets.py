"""Pictures of datasets."""

from __future__ import annotations

import numpy as np

from advsparse.data._base import Splits
from advsparse.figures.style import WIDTH, plt, show_image
from advsparse.verbatim import in_figure


def draw_classes(data: Splits, dataset: str, per_class: int):
    """The first ``per_class`` training and test images of the first 20 classes, a row for each."""
    count = min(len(data.classes), 20)
    figure, axes = plt.subplots(
        count,
        2 * per_class + 1,
        figsize=(WIDTH, 0.52 * count + 0.5),
        squeeze=False,
        gridspec_kw={"width_ratios": [1] * per_class + [0.3] + [1] * per_class},
    )
    for label, name in enumerate(data.classes[:count]):
        axes[label, per_class].axis("off")
        for split, first in (("train", 0), ("test", per_class + 1)):
            index = np.flatnonzero(data.labels(split) == label)[:per_class]
            for column in range(per_class):
                ax = axes[label, first + column]
                ax.axis("off")
                if column < len(index):
                    show_image(ax, data.images(split, index[column : column + 1])[0])
        place = {"transform": axes[label, 0].transAxes, "ha": "right", "va": "center"}
        axes[label, 0].text(-0.15, 0.5, in_figure(name), **place)
    axes[0, per_class // 2].set_title(f"{len(data.y_train)} training images")
    axes[0, per_class + 1 + per_class // 2].set_title(f"{len(data.y_test)} test images")
    figure.suptitle(f"{in_figure(dataset)}: {len(data.classes)} classes", fontsize=10)
    return figure
