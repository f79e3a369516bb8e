"""The class of an image, and the others in the order of their logits."""

from __future__ import annotations

import numpy as np

from advsparse.certify._network import Array, ReluNetwork


def classes(network: ReluNetwork, x: Array) -> tuple[int, list[int]]:
    """The class that the network gives the image ``x``, and all others, the most probable first."""
    logits = network.logits(x[None])[0]
    label = int(logits.argmax())
    return label, [int(k) for k in np.argsort(-logits, kind="stable") if k != label]
