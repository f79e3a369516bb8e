"""The slides' figures of ADiL on LeNet: those of frecon2021, of the same attack."""

from __future__ import annotations

from papers.frecon2021 import figures


def draw_atoms(inputs, settings):
    """Positive parts of the atoms above, negative parts below."""
    return figures.draw_atoms(inputs, settings)


def draw_examples(inputs, settings):
    """Two unseen images attacked, with their codes."""
    return figures.draw_examples(inputs, settings)
