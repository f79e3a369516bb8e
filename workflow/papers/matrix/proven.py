"""What certificates prove of the networks that are small enough for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from advsparse.artifacts import read_arrays
from advsparse.evaluate.judged import Judged

_MARGIN = 1.01
"""How far a proven distance must lie above that of an attack to refute it: proofs are about logits
that differ by the certificate's confidence, and in exact arithmetic."""


@dataclass(frozen=True)
class Proven:
    """Lower bounds of the distance to the nearest adversarial image, of one classifier."""

    images: np.ndarray
    """The places of the images in their split."""
    right: np.ndarray
    """Of each image, whether the classifier is right about it."""
    lower: np.ndarray
    """Of each image, the distance within which no image is of another class."""

    def withstands(self, eps: float) -> np.ndarray:
        """For each image, whether it is proven that nothing within a budget fools the classifier;
        where not, there may still be nothing."""
        return self.right & (self.lower > eps)

    def refuted_by(self, attack: Judged, eps: float) -> bool:
        """Whether an attack claims, within a budget, what is proven not to be there: a defect of
        one of the two."""
        safe = self.images[self.withstands(eps * _MARGIN)]
        return bool(np.isin(safe, attack.images[~attack.withstood(eps)]).any())


def proven(inputs: Mapping[str, Any], reads: Mapping[str, Any]) -> dict[tuple[str, str], Proven]:
    """What those of the ``inputs`` that are certificates prove, by classifier and norm."""
    found = {}
    for name, told in reads.items():
        if name in inputs and isinstance(told, Mapping) and "method" in told:
            arrays, _ = read_arrays(inputs[name], stage="certificate")
            right = arrays["prediction"] == arrays["label"]
            key = told["model"], told["method"]["norm"]
            found[key] = Proven(arrays["index"], right, arrays["lower"])
    return found
