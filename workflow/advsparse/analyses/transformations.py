"""What a classifier makes of attacked images behind each of several defences in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from advsparse.analyses._base import BATCH, Analysis, Given
from advsparse.lazy import torch
from advsparse.settings import NonNegativeInt, settings

if TYPE_CHECKING:
    from advsparse.defenses._base import Arrays


@settings
class Transformations(Analysis):
    r"""Predictions f(t(x')) with each defence t in front, and how near x' and x come by it.

    Of clean images x and those x' of each attack, with and without each defence: the prediction, by
    the mean class probability over draws where the defence is an ensemble; of a single draw the
    quality of t(x'), where t moves no pixels; and two distances from what becomes of the clean
    image by the same draw, which of a random defence are measured for the first attack alone,

    .. math:: \mathrm{PSNR}(t(x'), x) = -10 \log_{10} \frac{\|t(x') - x\|_2^2}{n}, \qquad
              \frac{\|t(x') - t(x)\|_2}{\|t(x)\|_2}, \qquad
              \frac{\|\phi(t(x')) - \phi(t(x))\|_2}{\|\phi(t(x))\|_2},

    with phi what the last linear layer of the network is given, and n the entries of an image.

    Source: sun2019, figures 1, 3, 4, 6 and 11 to 14, tables 5 to 7.
    """

    attacks: ClassVar[int | None] = None
    defenses: ClassVar[int | None] = None
    grids = True

    shown: NonNegativeInt = 4
    """Images that are kept, clean and of the first attack, as each defence leaves them: the first
    that this attack has perturbed, and others where they are too few."""

    def run(self, given: Given):
        first = next(iter(given.attacks.values()))
        sources, behind = self._sources(given), self._behind(given)
        still = (first.perturbation == 0).flatten(1).all(1)
        kept = still.int().argsort(stable=True)[: self.shown]
        arrays = {
            "sources": np.array(list(sources)),
            "transforms": np.array(list(behind)),
            "label": first.label.cpu().numpy(),
            "index": first.index,
            "kept": kept.cpu().numpy(),
        }
        shown = list(sources)[:2]
        moving = {name for name, (defense, _) in self._defenses(given) if defense.moves}
        for name, defended in behind.items():
            clean = None
            for source, x in sources.items():
                seen = _seen(given.classifier, defended, x)
                clean = seen if clean is None else clean
                made = seen["images"]
                found = {"prediction": seen["prediction"].cpu().numpy()}
                if name not in moving and made.shape == first.x.shape:
                    found["psnr"] = _quality_of(made, first.x)
                if seen is not clean and getattr(defended, "stochastic", False):
                    # Two draws of one image may differ by more than what an attack added.
                    seen = _alike(given.classifier, defended, x, first.x) if source in shown else {}
                found |= _distances(seen, clean) if seen else {}
                arrays |= {f"{what}:{source}:{name}": values for what, values in found.items()}
                if source in shown:
                    arrays[f"shown:{source}:{name}"] = made[kept].cpu().numpy()
        return arrays

    def _sources(self, given: Given) -> dict[str, torch.Tensor]:
        """The images that are looked at, the clean ones first."""
        first = next(iter(given.attacks.values()))
        return {"clean": first.x} | {name: one.x_adv for name, one in given.attacks.items()}

    def _behind(self, given: Given) -> dict[str, torch.nn.Module]:
        """The defended classifiers by the names of their defences; without any first."""
        found: dict[str, Any] = {"none": given.classifier}
        for name, (defense, learned) in self._defenses(given):
            seed = given.rng.part("defense").seed
            found[name] = defense.wrap(given.classifier, learned, seed=seed).eval()
        return found

    def _defenses(self, given: Given) -> Iterator[tuple[str, tuple[Any, Arrays]]]:
        yield from given.defenses.items()


def _seen(classifier, defended, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """What becomes of images in a defended classifier: themselves, features and predictions."""
    from advsparse.models._io import chosen_by

    found: dict[str, list[torch.Tensor]] = {"images": [], "features": [], "prediction": []}
    with torch.no_grad():
        for batch in x.split(BATCH):
            logits, given = (None, batch) if defended is classifier else defended.passed(batch)
            features, of_one = _features(classifier, given)
            parts = (given, features, chosen_by(of_one if logits is None else logits))
            for name, part in zip(found, parts, strict=True):
                found[name].append(part)
    return {name: torch.cat(parts) for name, parts in found.items()}


def _alike(classifier, defended, x: torch.Tensor, clean: torch.Tensor) -> dict[str, torch.Tensor]:
    """What becomes of images by the numbers that are drawn for the clean ones."""
    made, features = [], []
    with torch.no_grad():
        for batch, like in zip(x.split(BATCH), clean.split(BATCH), strict=True):
            made.append(defended.transform(batch, like=like))
            features.append(_features(classifier, made[-1])[0])
    return {"images": torch.cat(made), "features": torch.cat(features)}


def _features(classifier, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What the last linear layer is given, N x F, and the logits, N x K."""
    heard: list[torch.Tensor] = []
    last = [layer for layer in classifier.modules() if isinstance(layer, torch.nn.Linear)][-1]
    hook = last.register_forward_pre_hook(lambda layer, given: heard.append(given[0].flatten(1)))
    try:
        logits = classifier(x.clone())
    finally:
        hook.remove()
    return heard[-1], logits


def _quality_of(made: torch.Tensor, x: torch.Tensor) -> np.ndarray:
    """PSNR to the clean images ``x`` of what was made of them."""
    from advsparse.analyses import _quality

    return _quality.psnr(x.cpu().numpy(), made.cpu().numpy(), peak=1.0)


def _distances(seen, clean) -> dict[str, np.ndarray]:
    """Relative distances from what becomes of the clean images."""
    found = {}
    for what, name in (("images", "distance"), ("features", "feature_distance")):
        one, other = (value[what].double().flatten(1) for value in (seen, clean))
        length = other.norm(dim=1).clamp(min=torch.finfo(other.dtype).tiny)
        found[name] = ((one - other).norm(dim=1) / length).cpu().numpy()
    return found
