"""The certificate stage of the pipeline: artifacts in, arrays out."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from advsparse import lots, registry
from advsparse.artifacts import Kept, read_arrays
from advsparse.certify._extract import relu_network
from advsparse.certify._network import ReluNetwork
from advsparse.data._io import load_described
from advsparse.data._selection import choose
from advsparse.errors import CertificateError
from advsparse.jobs import Job
from advsparse.lazy import torch
from advsparse.models._io import load_classifier, logits

logger = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]


def certified(
    job: Job, given: Mapping[str, str], checkpoint: str | Path
) -> tuple[Arrays, dict[str, Any], Kept]:
    """The certificates of a job's images, what to note of them, and where they were kept while they
    were made.

    given: the files of the dataset and the classifier.
    """
    settings = job.settings
    data, source = load_described(given["dataset"])
    model, classifier = load_classifier(given["classifier"])
    chosen = settings["images"]
    index = choose(len(data.labels(chosen["split"])), **chosen)
    index = index[lots.rows_of(len(index), lots.CERTIFIED, settings.get("part"))]
    images = data.images(chosen["split"], index)
    network = relu_network(model, images.shape[1:])
    method = registry.from_spec("certify", settings["method"])
    _agree(network, model, images, method.confidence)
    identity = [job.code, settings, source.payload_sha256, classifier.payload_sha256]
    kept = Kept(Path(checkpoint).with_suffix(""), json.dumps(identity))
    rows = []
    for number, (place, image) in enumerate(zip(index, images, strict=True), 1):
        row = kept.get(int(place))
        if row is None:
            row = method.row(network, image.reshape(-1).astype(np.float64), settings["seed"])
            kept.put(int(place), row)
        logger.info("image %d of %d in %.1f s", number, len(index), float(row["seconds"][0]))
        rows.append(row)
    arrays = {"index": index, "label": data.labels(chosen["split"])[index]}
    arrays |= together(method, rows)
    if method.whole:
        arrays |= network.arrays()
    noted = {"network_digest": network.digest, "classifier_sha256": classifier.payload_sha256}
    return arrays, noted, kept


def joined(
    settings: Mapping[str, Any], parts: Sequence[str | Path]
) -> tuple[Arrays, dict[str, Any]]:
    """What :func:`certified` returns for all images, of the artifacts of their parts.

    settings: those of the certificate's job.
    """
    method = registry.from_spec("certify", settings["method"])
    read = [read_arrays(part, stage="certificate_part") for part in parts]
    read = [one for one in read if len(one[0]["index"])]
    first, metadata = read[0]
    arrays = {name: array for name, array in first.items() if name.startswith("network.")}
    ends = {f"{name}_ends" for name in method.ragged}
    for name in first.keys() - arrays.keys() - ends:
        arrays[name] = np.concatenate([part[name] for part, _ in read])
    for name in ends:
        before = np.cumsum([0, *(part[name][-1] for part, _ in read[:-1])])
        arrays[name] = np.concatenate([p[name] + n for (p, _), n in zip(read, before, strict=True)])
    noted = ("network_digest", "classifier_sha256")
    return arrays, {name: metadata.extra[name] for name in noted}


def _agree(
    network: ReluNetwork, model: torch.nn.Module, images: np.ndarray, confidence: float
) -> None:
    """Refuse a network whose rounding could make more of a difference than the confidence."""
    if not len(images):
        return
    rounded = logits(model, torch.from_numpy(images)).double().numpy()
    exact = network.logits(images.reshape(len(images), -1).astype(np.float64))
    apart = float(np.abs(rounded - exact).max())
    if not apart < confidence / 4:
        raise CertificateError(
            f"the network's logits in float32 are up to {apart:.2g} from what they are in float64: "
            f"a confidence of {confidence:g} does not cover that; set 'confidence' to at least "
            f"{8 * apart:.1g}"
        )


def together(method: Any, rows: Sequence[Arrays]) -> Arrays:
    """The arrays of all images. Of those that have any number for each, ``<name>_ends`` says where
    each image's end."""
    if not rows:
        return {}
    arrays = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    for name in method.ragged:
        arrays[f"{name}_ends"] = np.cumsum([len(row[name]) for row in rows])
    return arrays
