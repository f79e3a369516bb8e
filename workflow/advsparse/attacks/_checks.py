"""What an attack refuses, and signs that it cannot be trusted with the model it was given.

Each sign is a sentence that reaches the log, the caller (once a call, as an
:class:`AttackWarning`) and :attr:`Result.warnings`.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterable, Mapping
from numbers import Integral
from pathlib import Path
from typing import NamedTuple

from advsparse.arguments import check_tensor, kind_of
from advsparse.lazy import torch

_LIBRARY = Path(__file__).parents[1]

logger = logging.getLogger(__name__)

_SUM = 1e-3
"""How far the sum of K probabilities may be from 1; float16 networks round that much."""


class AttackWarning(UserWarning):
    """What an attack reports may say more of the attack than of the model."""


class Signs(NamedTuple):
    """What :func:`warnings_of` goes by, each a flag per image, bool of shape N."""

    softmax: torch.Tensor
    """The output was a vector of probabilities."""
    differentiated: torch.Tensor
    """A gradient was taken."""
    zero: torch.Tensor
    """The first gradient was exactly 0."""
    broken: torch.Tensor
    """The first gradient was NaN or infinite."""
    undecided: torch.Tensor
    """The first logits named no class."""
    astray: torch.Tensor
    """The attack led to an image or to logits that are NaN or infinite."""
    misscaled: torch.Tensor
    """The logits are of a size that is lost beside the length of a perturbation, or drowns it, to
    an attack that weighs one against the other."""


def not_zero(value: float) -> float:
    """Refuse 0 for the change of a feature."""
    if value == 0:
        raise ValueError("must not be 0: no feature would change")
    return value


def check_types(model, x, memory, **labels: torch.Tensor | None) -> None:
    """Refuse what is no model, images and labels by name that are no tensors, and bytes that are no
    number."""
    check_model(model)
    check_tensor("x", x)
    if not isinstance(memory, Integral):
        raise TypeError(f"memory: expected bytes, an int, got {kind_of(memory)}")
    for name, given in labels.items():
        if given is not None or name == "y":
            check_tensor(name, given)


def check_model(model, name: str = "model") -> None:
    """Refuse what has no evaluation mode, and weights that no gradient goes through."""
    if not isinstance(model, torch.nn.Module):
        raise TypeError(
            f"{name}: expected a torch.nn.Module, got {kind_of(model)}; let the forward of a "
            "module call it"
        )
    for weights in (*model.parameters(), *model.buffers()):
        if weights.is_inference():
            raise ValueError(
                f"{name}: its weights were made in torch.inference_mode(), where no gradient can "
                "be taken; make or load it outside of that"
            )


def check_logits(logits: object, count: int) -> None:
    """Refuse what a model returns for ``count`` images if it is not a row of logits for each."""
    if not isinstance(logits, torch.Tensor):
        raise TypeError(
            f"model: expected logits N x K, a torch.Tensor, got {kind_of(logits)}; let the "
            "forward of a module pick them out"
        )
    if logits.ndim != 2 or len(logits) != count or not logits.is_floating_point():
        raise ValueError(
            f"model: expected floating-point logits N x K, for {number_of(count)} {count} x K, got "
            f"{logits.dtype} of shape {tuple(logits.shape)}"
        )
    if logits.shape[1] < 2:
        raise ValueError(
            "model: expected logits of at least 2 classes, got shape "
            f"{tuple(logits.shape)}: of a score s make the logits 0 and s"
        )


def number_of(count: int) -> str:
    """So many images, in words."""
    return "one image" if count == 1 else f"{count} images"


def check_images(x: torch.Tensor) -> None:
    """Refuse what are not images in [0, 1]."""
    check_form(x)
    low, high = x.amin(), x.amax()
    if not (low >= 0 and high <= 1):
        # As NumPy writes them: with all the digits that tell them from 0 and 1.
        found = " to ".join(str(value.cpu().numpy()) for value in (low, high))
        raise ValueError(f"x: pixels must lie in [0, 1], found {found}")


def check_form(x: torch.Tensor) -> None:
    """Refuse what are not images, whatever their pixels."""
    if x.ndim != 4 or x.numel() == 0 or x.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            "x: expected float32 or float64 images N x C x H x W, none of them 0, got "
            f"{x.dtype} {tuple(x.shape)}"
        )
    if x.layout != torch.strided or x.is_meta:
        found = "a meta tensor" if x.is_meta else str(x.layout)
        raise ValueError(f"x: expected images with all their pixels, a dense tensor, got {found}")


def check_fit(arrays: Mapping[str, object], names: Iterable[str], x: torch.Tensor) -> None:
    """Refuse what was learned by another attack, or from images of another size than ``x``.

    names: those of the arrays that are applied, each of them so many images.
    """
    for name in names:
        if name not in arrays:
            raise ValueError(
                f"fit: expected what this attack has learned, {name}, got {', '.join(arrays)}"
            )
        learned = arrays[name]
        if not isinstance(learned, torch.Tensor):
            raise TypeError(
                f"fit: expected {name}, a torch.Tensor, got {kind_of(learned)}; torch.as_tensor "
                "makes one of arrays and lists"
            )
        if learned.shape[1:] != x.shape[1:]:
            raise ValueError(
                f"fit: expected {name} for images {tuple(x.shape[1:])}, got those learned from "
                f"images {tuple(learned.shape[1:])}"
            )


def check_labels(x: torch.Tensor, classes: int, **labels: torch.Tensor | None) -> None:
    """Refuse labels that don't fit the images ``x`` and the number of classes.

    labels: by the names of the arguments, none where they were not given.
    """
    for name, given in labels.items():
        if given is None:
            continue
        if given.shape != x.shape[:1] or given.dtype != torch.int64:
            raise ValueError(
                f"{name}: expected {len(x)} int64 labels, got {given.dtype} {tuple(given.shape)}"
            )
        if given.device != x.device:
            raise ValueError(f"{name}: expected labels on {x.device}, got them on {given.device}")
        least, most = int(given.min()), int(given.max())
        if least < 0 or most >= classes:
            raise ValueError(
                f"{name}: labels must lie in 0..{classes - 1}, found {least} to {most}"
            )


def looks_like_softmax(logits: torch.Tensor) -> torch.Tensor:
    """Whether each row of ``logits`` (N x K) is a vector of probabilities; bool of shape N."""
    inside = ((logits >= 0) & (logits <= 1)).all(1)
    return inside & ((logits.double().sum(1) - 1).abs() <= _SUM) & (logits.shape[1] > 1)


def spread_of(logits: torch.Tensor) -> torch.Tensor:
    """By how much those entries of each row of ``logits`` (N x K) differ that are finite; N."""
    finite = logits.isfinite()
    lowest = torch.where(finite, logits, torch.inf).amin(1).double()
    return torch.where(finite, logits, -torch.inf).amax(1).double() - lowest


def misscaled(spread: torch.Tensor, scales: tuple[float, float]) -> torch.Tensor:
    """Which images' logits differ by less or more than an attack works with, if at all; bool, N."""
    return ((spread > 0) & (spread < scales[0])) | (spread > scales[1])


def warnings_of(
    signs: Signs, scales: tuple[float, float], *, learning: bool = False
) -> tuple[str, ...]:
    """The sentences for a call, or for a fit, which learns, of an attack made for ``scales``."""
    found = []
    if len(signs.softmax) and bool(signs.softmax.all()):
        found.append(
            "the model appears to end in softmax (outputs in [0, 1] that sum to 1): attacks expect "
            "logits, and gradients through softmax vanish where the model is sure of itself"
        )
    if signs.undecided.any():
        found.append(
            f"the first logits were NaN or +infinity for {_share(signs.undecided)}: they name no "
            "class, and these images count as not fooled, which says nothing of their robustness"
        )
    if signs.zero.any():
        found.append(
            f"the first gradient was exactly 0 for {_share(signs.zero, signs.differentiated)}: an "
            "attack that follows gradients cannot move them, which says nothing of their robustness"
        )
    if signs.broken.any():
        found.append(
            "the first gradient was NaN or infinite for "
            f"{_share(signs.broken, signs.differentiated)}: an attack that follows gradients "
            "cannot move them, which says nothing of their robustness"
        )
    if signs.misscaled.any():
        found.append(
            f"the logits of {_share(signs.misscaled)} differ by less than {scales[0]:g} or more "
            f"than {scales[1]:g}: this attack, which weighs them against the length of a "
            "perturbation, finds little there, which says nothing of robustness; scale them"
        )
    if signs.astray.any() and learning:
        found.append(
            f"learning led {_share(signs.astray)} to where their logits are NaN or +infinity: they "
            "name no class there, and that little was learned from these says nothing of the model"
        )
    elif signs.astray.any():
        found.append(
            f"the attack led {_share(signs.astray)} to where the image or its logits are NaN or "
            "infinite: these count as not fooled, which says nothing of their robustness"
        )
    return tuple(found)


def _share(flagged: torch.Tensor, among: torch.Tensor | None = None) -> str:
    count, total = int(flagged.sum()), len(flagged) if among is None else int(among.sum())
    return f"{count} of {total} images ({100 * count / total:.3g} %)"


def report(name: str, found: tuple[str, ...]) -> None:
    """Log the sentences, and warn at the line outside this library that called the attack."""
    for sentence in found:
        logger.warning("%s: %s", name, sentence)
        warnings.warn(f"{name}: {sentence}", AttackWarning, stacklevel=_frames_to_caller())


def _frames_to_caller() -> int:
    """How many frames above the caller of this function the first one of other code is."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and Path(frame.f_code.co_filename).is_relative_to(_LIBRARY):
        level, frame = level + 1, frame.f_back
    return level
