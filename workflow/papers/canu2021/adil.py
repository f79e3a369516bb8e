"""The slides' figures of ADiL on LeNet, which are those of frecon2021, and SADiL beside ADiL."""

from __future__ import annotations

import pandas as pd

from advsparse.artifacts import read_arrays
from advsparse.figures.origin import stamp
from advsparse.figures.style import look, plt
from papers.frecon2021 import figures


def draw_atoms(inputs, settings):
    """Positive parts of the atoms above, negative parts below."""
    return figures.draw_atoms(inputs, settings)


def draw_examples(inputs, settings):
    """Two unseen images attacked, with their codes."""
    return figures.draw_examples(inputs, settings)


def draw_sadil(inputs, settings):
    """The loss of ADiL and of SADiL over the gradients that each has taken of every image."""
    figure, ax = plt.subplots(figsize=(4.6, 3.1))
    records = []
    # One method, in its colour, by two schemes.
    colour = look("scada").colour
    for name, label, line in (("adil", "ADiL", "-"), ("sadil", "SADiL", "--")):
        learned, _ = read_arrays(inputs[name], stage="fit")
        ax.plot(learned["gradients"], learned["loss"], line, color=colour, label=label)
        records += [
            {"method": label, "gradients of each image": int(gradients), "loss": float(loss)}
            for gradients, loss in zip(learned["gradients"], learned["loss"], strict=True)
        ]
    ax.set(xlabel="gradients of each image", ylabel="loss (sum over images)", ylim=(0, None))
    ax.legend()
    stamp(figure, settings)
    return figure, pd.DataFrame(records)
