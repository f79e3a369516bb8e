"""How far attacks on a classifier move the sparse codes of its images."""

from __future__ import annotations

from typing import Literal

import numpy as np

from advsparse.analyses._base import BATCH, Analysis, Given, in_batches, noise_like
from advsparse.decisions import UNDECIDED
from advsparse.lazy import torch
from advsparse.models._io import choices
from advsparse.settings import settings


@settings
class CodeChange(Analysis):
    r"""The change of each coefficient, \|f(x + d)_i - f(x)_i\|, by attacks and by noise.

    The coder f has never seen the classifier that the perturbations d were made for. The noise has
    the l2 norm of the perturbation that it is compared with, image by image; and so has a second
    kind, which also has the perturbation's spectrum.

    Source: weitzner2023, section 3, figure 2.
    """

    coders = 1
    attacks = None

    law: Literal["gaussian", "sign"] = "sign"
    """The law of the noise: sign has the linf norm of a perturbation that is eps everywhere."""

    def run(self, given: Given):
        (coder,) = given.coders.values()
        attacks = given.perturbed()
        first = next(iter(attacks.values()))
        x, clean = first.x, in_batches(coder.encode, first.x)
        example = _example(given.classifier, attacks)
        arrays = {"example": np.array(first.index[example]), "clean": _one(clean, example)}
        names = []
        for number, (name, attacked) in enumerate(attacks.items()):
            names.append(name)
            noise, alike = (
                noise_like(attacked.perturbation, given.rng, law, number)
                for law in (self.law, "spectrum")
            )
            for by, moved in (
                (name, attacked.x_adv),
                (f"{name}.noise", x + noise),
                (f"{name}.spectrum", x + alike),
            ):
                change = (in_batches(coder.encode, moved) - clean).abs()
                arrays[f"change.{by}"] = _one(change, example)
                arrays[f"mean.{by}"] = change.flatten(1).double().mean(1).cpu().numpy()
                # Where the clean code has nothing: atoms that the perturbation has brought in.
                for part, where in (("excess", clean == 0), ("support", clean != 0)):
                    there = torch.where(where, change, 0.0).flatten(1).double().mean(1)
                    arrays[f"{part}.{by}"] = there.cpu().numpy()
            arrays[f"l2.{name}"] = attacked.perturbation.flatten(1).norm(dim=1).cpu().numpy()
        return arrays | {"attacks": np.array(names)}


def _example(classifier, attacks) -> int:
    """The first image that all attacks fool; the first of all where there is none."""
    found = [choices(classifier, attacked.x_adv, BATCH) for attacked in attacks.values()]
    fooled = [
        (own != attacked.label) & (own != UNDECIDED)
        for own, attacked in zip(found, attacks.values(), strict=True)
    ]
    return int(torch.stack(fooled).all(0).int().argmax())


def _one(codes, example) -> np.ndarray:
    return codes[example].flatten().cpu().numpy()
