"""The images of a training set as a defence transforms them, kept as far as they have come."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from advsparse.artifacts import Chosen, Kept, Rows
from advsparse.data._io import load_described
from advsparse.data._pixels import floats
from advsparse.data._selection import choose
from advsparse.defenses._base import Transformation
from advsparse.defenses._io import load_defense
from advsparse.jobs import Job
from advsparse.lazy import torch
from advsparse.lots import TRANSFORMED, rows_of
from advsparse.models._io import load_classifier
from advsparse.seeding import Random

logger = logging.getLogger(__name__)


def transformed(job: Job, given: Mapping[str, str], checkpoint: str) -> Transformed:
    """The training images of a dataset, or a part of them, as a job's defence transforms them.

    given: the files of the dataset, of the defence and, for one that asks, of the classifier.
    """
    data, source = load_described(given["dataset"])
    defense, learned, its_metadata = load_defense(given["defense"], job.device)
    made_of = [source.payload_sha256, its_metadata.payload_sha256]
    if "classifier" in given:
        model, of_model = load_classifier(given["classifier"], job.device)
        t = defense.for_network(learned, model)
        made_of.append(of_model.payload_sha256)
    else:
        t = defense.transformation(learned)
    images: Rows = data.x_train
    if chosen := job.settings.get("images"):
        images = Chosen(images, choose(len(images), **chosen))
    return Transformed(
        images,
        defense,
        t,
        part=job.settings.get("part"),
        seed=job.settings["seed"],
        device=job.device,
        parts=Path(checkpoint).with_suffix(""),
        identity=json.dumps([job.code, job.settings, job.device, made_of]),
    )


class Transformed:
    """Rows of t(x), one draw for each image of a stochastic t, in lots that ``parts`` keeps.

    images: all of them, of which ``part`` may choose some (:func:`advsparse.lots.rows_of`); t: the
    transformation of ``defense``.

    What ``parts`` holds is used again if it is of the same ``identity``.
    """

    def __init__(
        self,
        images: Rows,
        defense: Transformation,
        t: Callable[..., torch.Tensor],
        *,
        part: tuple[int, int] | None = None,
        seed: int,
        device: str,
        parts: Path,
        identity: str,
    ) -> None:
        self._images, self._device, self._rng = images, device, Random(seed)
        self._t, self._defense = t, defense
        self._rows = rows_of(len(images), TRANSFORMED, part)
        self.stored = "uint8" if defense.eight_bits else "float32"
        self.dtype = np.dtype(self.stored)
        count = self._rows.stop - self._rows.start
        self.shape = (count, *defense.shape(tuple(images.shape[1:])))
        self._kept = Kept(parts, identity)
        self._began, self._made = time.monotonic(), 0

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: slice) -> np.ndarray:
        start, stop, _ = index.indices(len(self))
        lots = range(start // TRANSFORMED, -(-stop // TRANSFORMED))
        found = [self._lot(lot) for lot in lots]
        return np.concatenate(found)[start - lots[0] * TRANSFORMED : stop - lots[0] * TRANSFORMED]

    def forget(self) -> None:
        """Remove what was kept of this and of earlier identities."""
        self._kept.forget()

    def _lot(self, lot: int) -> np.ndarray:
        kept = self._kept.get(lot)
        if kept is not None:
            return kept["rows"]
        start = self._rows.start + lot * TRANSFORMED
        pixels = self._images[start : min(start + TRANSFORMED, self._rows.stop)]
        x = floats(torch.from_numpy(pixels).to(self._device))
        with torch.no_grad():
            numbers = (self._rng,) if self._defense.stochastic else ()
            made = self._stored(self._t(x, *numbers))
        self._kept.put(lot, {"rows": made})
        self._told(lot, len(made))
        return made

    def _stored(self, t: Any) -> np.ndarray:
        if self.stored == "uint8":
            t = (t.clamp(0, 1) * 255).round().to(torch.uint8)
        return t.cpu().numpy()

    def _told(self, lot: int, count: int) -> None:
        self._made += count
        done = min((lot + 1) * TRANSFORMED, len(self))
        left = (time.monotonic() - self._began) / self._made * (len(self) - done)
        logger.info("%d of %d images transformed, %.0f s left", done, len(self), left)
