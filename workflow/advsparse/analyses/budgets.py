"""The accuracy of a classifier when stored perturbations are scaled to several budgets."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from advsparse.analyses._base import BATCH, Analysis, Given
from advsparse.models._io import choices, predict
from advsparse.settings import PositiveFloat, settings


@settings
class Budgets(Analysis):
    r"""The accuracy on x + s d / \|d\|_2 for the perturbation d of each attack and each budget s.

    Counted as it is, as weitzner2023 does, and once more clamped to [0, 1], as an image file has
    to hold it; as it is also by the classifiers of other repetitions, where these judge. The
    attacks' own images must not be clamped, or else d would not be what they found.

    Source: weitzner2023, section 4.3, figure 7.
    """

    attacks = None
    crosses = True

    budgets: list[PositiveFloat] = Field(
        default_factory=lambda: [1.0, 3.25, 5.5, 7.75, 10.0], min_length=1
    )
    """The l2 norms of the perturbations."""

    def run(self, given: Given):
        first, classifier = next(iter(given.attacks.values())), given.classifier
        assert classifier is not None, "there are attacks, and so what they attack"

        def right(x, asked=choices, judge=classifier):
            return (asked(judge, x, BATCH) == first.label).cpu().numpy()

        correct = np.empty((len(given.attacks), 2, len(self.budgets), len(first.x)), dtype=bool)
        crossed = np.empty((len(given.judges), *correct[:, 0].shape), dtype=bool)
        for row, attacked in enumerate(given.attacks.values()):
            unit = attacked.perturbation.flatten(1)
            unit = (unit / unit.norm(dim=1, keepdim=True).clamp(min=1e-30)).reshape(first.x.shape)
            for column, budget in enumerate(self.budgets):
                moved = first.x + budget * unit
                correct[row, 0, column] = right(moved)
                correct[row, 1, column] = right(moved.clamp(0, 1))
                for index, judge in enumerate(given.judges):
                    crossed[index, row, column] = right(moved, judge=judge)
        return ({"crossed": crossed} if given.judges else {}) | {
            "attacks": np.array(list(given.attacks)),
            "budgets": np.array(self.budgets),
            "correct": correct,
            "clean": right(first.x, predict),
        }
