"""Signs of life of an attack whose single chunk of images takes long."""

from __future__ import annotations

import logging
import time

from advsparse.lazy import torch

logger = logging.getLogger(__name__)

INTERVAL = 10.0
"""Seconds between two lines in the log at least."""


class Progress:
    """Logs now and then how far the passes through the model have come.

    Passes are what all attacks have in common: an iteration of theirs is one or a few. Attacks that
    know more, such as a loss, log it by themselves.
    """

    def __init__(self) -> None:
        self._started = self._last = time.monotonic()

    def note(self, queries: torch.Tensor, active: int) -> None:
        """After passes over ``active`` of the images, whose passes so far are ``queries``, N."""
        now = time.monotonic()
        if now - self._last < INTERVAL:
            return
        self._last = now
        seconds, passes = now - self._started, int(queries.sum())
        logger.info(
            "after %.0f s: up to %d passes per image, %.0f a second; %d of %d images in the last",
            seconds,
            int(queries.max()),
            passes / seconds,
            active,
            len(queries),
        )
