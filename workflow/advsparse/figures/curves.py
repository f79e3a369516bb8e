"""Accuracy against the budget, from the nearest images that attacks have found."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pandas as pd

from advsparse.evaluate.judged import found
from advsparse.figures.origin import stamp
from advsparse.figures.style import WIDTH, look, plt
from advsparse.verbatim import in_figure

_ACROSS = 4
_SHOWN = 0.9
"""Share of all distances that the axis reaches."""


def draw_curves(inputs, settings):
    """For each classifier, the share of images that withstand each minimum-norm attack up to a
    budget, and all of them together; of any paper's experiments.

    inputs: ``experiments``, their rows; options: ``norm``, and ``shown``, what the figure calls the
    classifiers, in their order, none meaning all of them by their names.
    """
    paths, told = inputs["experiments"], settings["reads"]["experiments"]
    seen = found([paths], [told]) if isinstance(paths, str) else found(paths, told)
    norm = settings["options"]["norm"]
    shown = settings["options"].get("shown") or {model: model for model in seen.clean}
    nearest = [one for one in seen.attacks if one.own and one.eps is None and one.norm == norm]
    models = [model for model in shown if any(one.model == model for one in nearest)]
    distances = np.concatenate([one.distance for one in nearest] or [np.zeros(1)])
    finite = distances[np.isfinite(distances)]
    limit = float(np.quantile(finite, _SHOWN)) if finite.size else 1.0
    budgets = np.linspace(0, limit or 1.0, 60)
    across = min(max(len(models), 1), _ACROSS)
    down = -(-max(len(models), 1) // across)
    few = across < _ACROSS
    size = (WIDTH * (0.3 + 0.3 * across if few else 1), 0.4 + (2.2 if few else 1.55) * down)
    figure, axes = plt.subplots(down, across, figsize=size, sharex=True, sharey=True, squeeze=False)
    records = []
    for ax, model in zip(axes.flat, models, strict=False):
        curves = [one for one in nearest if one.model == model]
        drawn = [(look(one.kind).label, [one], {"color": look(one.kind).colour}) for one in curves]
        if len(curves) > 1:
            drawn.append(("nearest of all", curves, {"color": "0.1", "linestyle": ":"}))
        for label, attacks, style in drawn:
            share = [_withstood(attacks, eps) for eps in budgets]
            ax.plot(budgets, share, label=label, **style)
            pairs = zip(budgets, share, strict=True)
            records += [(shown[model], label, *pair) for pair in pairs]
        ax.set_title(in_figure(textwrap.fill(shown[model], 26)), fontsize=7)
        ax.set(ylim=(0, 1.02), xlim=(0, budgets[-1]))
    for ax in axes.flat[len(models) :]:
        ax.set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel("accuracy")
    for column in range(across):
        lowest = [ax for ax in axes[:, column] if ax.get_visible()][-1:]
        for ax in lowest:
            ax.set_xlabel(f"budget ({norm})")
            ax.tick_params(labelbottom=True)
    by_label: dict[str, Any] = {}
    for ax in axes.flat:
        by_label |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    if by_label:
        figure.legend(
            [*by_label.values()], [*by_label], loc="outside upper center", ncols=min(across + 2, 5)
        )
    stamp(figure, settings)
    return figure, pd.DataFrame(records, columns=["defence", "attack", "budget", "accuracy"])


def _withstood(attacks, eps: float) -> float:
    """The share of images that withstand each of some attacks within a budget."""
    return float(np.mean(np.all([one.withstood(eps) for one in attacks], axis=0)))
