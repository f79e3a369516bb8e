"""The evaluation of one attack on one classifier."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from advsparse.artifacts import Rows
from advsparse.decisions import UNDECIDED
from advsparse.evaluate.statistics import Estimate, mean, number, proportion
from advsparse.lazy import torch
from advsparse.models._io import choices, classes_of, excesses, predict


class Metric(NamedTuple):
    """What was measured, with what each image did."""

    name: str
    estimate: Estimate
    """Over images, with its 95 % interval."""
    samples: np.ndarray
    """For each image, in their order: whether it did, or a number, NaN where it has none. A number
    that is one for all images stands alone, of shape ()."""


def _rate(name: str, hits: np.ndarray) -> Metric:
    return Metric(name, proportion(hits), np.asarray(hits, dtype=bool))


def _mean(name: str, values: np.ndarray, seed: int) -> Metric:
    """The mean of those images that have a value."""
    values = np.asarray(values, dtype=np.float64)
    return Metric(name, mean(values[~np.isnan(values)], seed), values)


def _number(name: str, value: float) -> Metric:
    return Metric(name, number(value), np.array(value, dtype=np.float64))


def clean_metrics(
    model: torch.nn.Module,
    pixels: Rows,
    y: np.ndarray,
    predicted: Callable[[], np.ndarray] | None = None,
) -> Iterator[Metric]:
    """Metrics of the classifier on clean images in eight bits (N x C x H x W) with labels (N).

    predicted: gives what the classifier says of them, for who asks for that anyway.

    Of one with a detector beside it an image counts as right that passes and is right; ``refused``
    is the share that does not pass.
    """
    said = classes_of(model, pixels) if predicted is None else predicted()
    right, excess = said == y, excesses(model, pixels)
    if excess is None:
        yield _rate("accuracy", right)
    else:
        yield _rate("accuracy", right & (excess <= 0))
        yield _rate("refused", excess > 0)


def attack_metrics(
    model: torch.nn.Module,
    x: np.ndarray,
    attacked: Mapping[str, np.ndarray],
    seed: int,
    predicted: np.ndarray | None = None,
) -> Iterator[Metric]:
    """Metrics of an attack artifact's arrays, whose clean images are ``x``, on its own network.

    ``fooling_rate`` counts predictions that changed, against the prediction on the clean image;
    ``accuracy`` counts predictions that equal the label; both are measured afresh on the stored
    images, and once more (``_8bit``) as the 256 levels of an image file can hold them.
    ``rmse`` is the mean of ||d||^2 / ||x||^2 with the perturbation before its projection onto
    [0, 1] where the attack knows it (frecon2021, section 4), ``rmse_returned`` the same of the
    image that the attack returned. ``distance`` is in the attack's own norm, of the images that it
    fools.

    With a detector beside the network an image that is refused fools nobody and counts as right:
    ``refused`` is the share of them, ``auc`` how well its score tells attacked images from clean
    ones (the area under its curve).

    predicted: the :func:`choices` of the attacked images, where they are known already.
    """
    x_adv = attacked["x_adv"]
    levels = np.round(x_adv.clip(0, 1) * 255).astype(np.float32) / np.float32(255)
    clean, of_clean = attacked["clean_prediction"], excesses(model, x)
    for suffix, images, said in (("", x_adv, predicted), ("_8bit", levels, None)):
        yield from _judged(model, images, said, attacked, clean, of_clean, suffix)
    yield from _distances(x, attacked, seed)
    yield _rate("success_rate", attacked["success"])
    yield _mean("distance", np.where(attacked["success"], attacked["distance"], np.nan), seed)
    yield _mean("queries", attacked["queries"], seed)
    code = attacked.get("trace.code")
    if code is not None:
        active = np.count_nonzero(code, axis=1)
        yield _mean("active_atoms", active, seed)
        yield _rate("zero_codes", active == 0)
    if "dead_start" in attacked:
        yield _number("dead_start", float(attacked["dead_start"]))


def transfer_metrics(
    model: torch.nn.Module,
    x: np.ndarray,
    attacked: Mapping[str, np.ndarray],
    seed: int,
    clean: np.ndarray | None = None,
    predicted: np.ndarray | None = None,
) -> Iterator[Metric]:
    """Those of :func:`attack_metrics` that mean something on another network than was attacked.

    What counts as fooled is then a change of that network's own prediction on the clean image:
    ``clean``, where it is known already, as ``predicted`` on the attacked images. What an image
    file can hold is asked of the attacked network alone: a defence in front of this one may take
    longer than the attack.
    """
    clean = predictions(model, x) if clean is None else clean
    yield from _judged(model, attacked["x_adv"], predicted, attacked, clean, excesses(model, x))
    yield from _distances(x, attacked, seed)


def _judged(
    model: torch.nn.Module,
    images: np.ndarray,
    predicted: np.ndarray | None,
    attacked: Mapping[str, np.ndarray],
    clean: np.ndarray,
    of_clean: np.ndarray | None,
    suffix: str = "",
) -> Iterator[Metric]:
    """How often predictions differ from those on clean images, and how often they are right."""
    predicted = predictions(model, images, choices) if predicted is None else predicted
    # As the attack has it, an image that was led to where it has no class is not fooled.
    predicted = np.where(predicted == UNDECIDED, clean, predicted)
    excess = excesses(model, images)
    refused = np.zeros(len(images), bool) if excess is None else excess > 0
    yield _rate(f"fooling_rate{suffix}", (predicted != clean) & ~refused)
    yield _rate(f"accuracy{suffix}", (predicted == attacked["label"]) | refused)
    if excess is not None and of_clean is not None:
        yield _rate(f"refused{suffix}", refused)
        yield _number(f"auc{suffix}", _area(excess, of_clean))


def _area(attacked: np.ndarray, clean: np.ndarray) -> float:
    """The probability that an attacked image has a larger score than a clean one, ties by half."""
    from sklearn.metrics import roc_auc_score

    of_attacked = np.concatenate([np.ones(len(attacked)), np.zeros(len(clean))])
    return float(roc_auc_score(of_attacked, np.concatenate([attacked, clean])))


def _distances(x: np.ndarray, attacked, seed: int) -> Iterator[Metric]:
    """The mean size of the perturbations, relative to the images."""
    flat = x.reshape(len(x), -1).astype(np.float64)
    power = (flat**2).sum(1)
    # Relative to a black image nothing has a size: it is left out of the means.
    power[power == 0] = np.nan
    x_adv = attacked["x_adv"].reshape(len(x), -1).astype(np.float64)
    returned = ((x_adv - flat) ** 2).sum(1)
    unclipped = attacked.get("trace.unclipped_l2")
    added = returned if unclipped is None else unclipped**2
    yield _mean("rmse", added / power, seed)
    yield _mean("rmse_returned", returned / power, seed)


def predictions(model, x: np.ndarray, asked=predict) -> np.ndarray:
    """The class that ``model`` gives each image of ``x``, N."""
    device = next(model.parameters()).device
    return asked(model, torch.from_numpy(x).to(device)).cpu().numpy()
