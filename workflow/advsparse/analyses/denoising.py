"""What defences in front of a network make of attacked images: predictions and quality."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydantic import Field

from advsparse.analyses._base import BATCH, Analysis, Attacked, Given, in_batches
from advsparse.lazy import torch
from advsparse.seeding import Random
from advsparse.settings import NonNegativeInt, PositiveInt, settings
from advsparse.shapes import per_image

BINS = np.linspace(-1.0, 2.0, 151)
"""Borders of the histograms of pixels, which an attack may lead out of [0, 1]."""


@settings
class Denoising(Analysis):
    r"""Predictions f(t(x')) with each defence t, and how near t(x') is to the clean image x.

    Of clean images, of those of each attack, and of controls that know nothing of the network: for
    an attack in l0 as many random entries set to 1 as it has changed, for others random signs of
    its largest change. Nearness is PSNR, whose peak is the image's largest pixel, and the
    structural similarity in windows of 7 x 7 pixels. How far an attack shifts the distribution of
    an image's pixels is the Kolmogorov-Smirnov distance.

    Source: mitro2018, tables 1 and 2 and figure 8; the controls are this project's own.
    """

    attacks = None
    defenses = None
    grids = True

    sparsities: list[PositiveInt] = Field(default_factory=list)
    """Other numbers of atoms with which the first defence codes."""
    shown: NonNegativeInt = 3
    """Images that are kept as the first defence leaves them."""

    def run(self, given: Given):
        attacks = given.attacks
        first = next(iter(attacks.values()))
        sources = {"clean": first.x} | {name: a.x_adv for name, a in attacks.items()}
        controls = {f"control:{name}": _control(a, given.rng) for name, a in attacks.items()}
        defended = self._transforms(given)
        transforms = {"none": lambda x: x} | defended
        found = {}
        for source, x in (sources | controls).items():
            # What a defence makes of random changes is not asked.
            for name, t in transforms.items():
                if source in sources or name == "none":
                    found[source, name] = _measured(given.classifier, in_batches(t, x), first.x)
        arrays = {
            "sources": np.array([*sources, *controls]),
            "transforms": np.array(list(transforms)),
            "label": first.label.cpu().numpy(),
            "index": first.index,
        }
        arrays |= {
            f"{what}:{source}:{name}": values
            for (source, name), measured in found.items()
            for what, values in measured.items()
        }
        for source, x in sources.items():
            arrays |= {f"{what}:{source}": of for what, of in _distribution(x).items()}
        for name, attacked in attacks.items():
            arrays[f"shift:{name}"] = _shift(first.x, attacked.x_adv)
            arrays |= self._examples(name, attacked, next(iter(defended.values())))
        return arrays

    def _transforms(self, given: Given):
        """t by the names of defences; of the first one also by numbers of atoms."""
        found = {}
        for number, (name, (defense, learned)) in enumerate(given.defenses.items()):
            found[name] = _drawn(defense, learned, given.rng)
            for sparsity in self.sparsities if number == 0 else ():
                other = replace(defense, sparsity=sparsity)
                found[f"{name}:{sparsity}"] = _drawn(other, learned, given.rng)
        return found

    def _examples(self, name: str, attacked: Attacked, t):
        """The first images, clean, attacked and denoised."""
        kept = slice(self.shown)
        images = {"clean": attacked.x, "attacked": attacked.x_adv}
        images["denoised"] = in_batches(t, attacked.x_adv[kept]) if self.shown else attacked.x[kept]
        return {f"shown:{name}:{of}": x[kept].cpu().numpy() for of, x in images.items()}


def _drawn(defense, learned, rng: Random):
    t = defense.transformation(learned)
    return (lambda x: t(x, rng.part("defense"))) if defense.stochastic else t


def _control(attacked: Attacked, rng: Random) -> torch.Tensor:
    """Random changes of the size of an attack's, N x C x H x W."""
    x, changed = attacked.x, attacked.perturbation != 0
    if attacked.norm == "l0":
        keys = rng.part("control").uniform_like(x).flatten(1)
        # Those that are 1 already come last; of the others as many as were changed.
        keys = torch.where(x.flatten(1) == 1, 2.0, keys)
        rank = keys.argsort(dim=1, stable=True).argsort(dim=1, stable=True)
        few = rank < changed.flatten(1).sum(1, keepdim=True)
        return torch.where(few.reshape(x.shape), torch.ones_like(x), x)
    signs = (rng.part("control").uniform_like(x) < 0.5).to(x) * 2 - 1
    return x + per_image(attacked.perturbation.flatten(1).abs().amax(1), x) * signs


def _measured(classifier, images: torch.Tensor, clean: torch.Tensor) -> dict[str, np.ndarray]:
    """The prediction on each image, its probability, and how near the image is to the clean one."""
    from advsparse.analyses import _quality
    from advsparse.models._io import chosen_by, logits

    found = logits(classifier, images, BATCH)
    arrays = [x.cpu().numpy() for x in (clean, images)]
    return {
        "prediction": chosen_by(found).cpu().numpy(),
        "confidence": found.softmax(1).amax(1).cpu().numpy(),
        "psnr": _quality.psnr(*arrays),
        "ssim": _quality.ssim(*arrays),
    }


def _distribution(x: torch.Tensor) -> dict[str, np.ndarray]:
    """How often pixels of the images lie between the borders ``BINS``, and their quantiles, from
    the smallest to the largest in steps of a hundredth."""
    pixels = x.cpu().numpy().ravel()
    counts, _ = np.histogram(pixels, BINS)
    return {
        "histogram": counts,
        "quantiles": np.quantile(pixels.astype(np.float64), np.linspace(0, 1, 101)),
    }


def _shift(clean: torch.Tensor, attacked: torch.Tensor) -> np.ndarray:
    """The Kolmogorov-Smirnov distance between the pixels of each image before and after."""
    from scipy.stats import ks_2samp

    pairs = zip(clean.flatten(1).cpu().numpy(), attacked.flatten(1).cpu().numpy(), strict=True)
    return np.array([ks_2samp(x, y, method="asymp").statistic for x, y in pairs])
