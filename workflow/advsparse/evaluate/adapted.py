"""Whether an attack that adapts to a defence may be believed."""

from __future__ import annotations

import numpy as np

from advsparse.evaluate.effects import ALPHA, Effect


def fault(static: np.ndarray, adaptive: np.ndarray) -> str | None:
    """What shows that an adaptive attack is faulty, in a sentence; None if nothing does.

    static, adaptive: for each image (N), whether the defence stands, against images that were made
    without knowing of it, and against the attack that knows, within the same budget. What knows
    more can do no worse. That it does is told from chance by the exact one-sided test of McNemar,
    at a level of ``ALPHA``.
    """
    static, adaptive = np.asarray(static, dtype=bool), np.asarray(adaptive, dtype=bool)
    if static.ndim != 1 or static.shape != adaptive.shape:
        raise ValueError(
            "adaptive: expected a value for each image that static has one for, "
            f"{static.shape}, got {adaptive.shape}"
        )
    # In floating point: booleans have no difference.
    p = Effect((adaptive.astype(float) - static,), "rate").p("above")
    if not p <= ALPHA:
        return None
    return (
        f"the attack is faulty: accuracy is {adaptive.mean():.1%} under the one that adapts and "
        f"{static.mean():.1%} under one that does not, of {len(static)} images (p = {p:.2g})"
    )
