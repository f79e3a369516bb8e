"""Which atoms of a dictionary perturbations are correlated with, and how well conditioned they
are."""

from __future__ import annotations

from typing import cast

import numpy as np

from advsparse.analyses._base import Analysis, Given, noise_like
from advsparse.coding._convolution_map import Convolution
from advsparse.coding._maps import LinearMap
from advsparse.lazy import torch
from advsparse.settings import PositiveInt, settings
from advsparse.shapes import per_image


@settings
class AtomCorrelation(Analysis):
    r"""The correlation density of perturbations with the normalised atoms of a dictionary.

    .. math:: corr_i = \frac{\sum_j |\langle d_j, D_i\rangle|}
              {\sum_{i, j} |\langle d_j, D_i\rangle|}, \qquad \|d_j\|_2 = 1

    It is taken of the perturbations d_j of an attack, of Gaussian noise, and of noise that has the
    spectrum of the perturbations, under the dictionary of a coder and under a random Gaussian one
    of its size. With it comes the covariance over atoms of the densities of two halves of the
    images, which chance among images is no part of, and the singular values of sub-matrices of
    atoms that the attack is most and least correlated with. Everything is taken through the
    adjoint, never from the matrix of a convolution. Eq. 2 is printed without the modulus that the
    text speaks of.

    Source: weitzner2023, section 3, eq. 2, figures 3 and 4.
    """

    coders = 1
    attacks = 1

    submatrices: PositiveInt = 50
    """Sub-matrices drawn from each group."""
    columns: PositiveInt = 30
    """Atoms in each of them."""
    extremes: PositiveInt = 60
    """Atoms in the groups of the most and of the least correlated."""

    def __post_init__(self) -> None:
        if self.columns > self.extremes:
            raise ValueError(f"columns: at most the {self.extremes} of extremes can be drawn")

    def run(self, given: Given):
        (coder,), (attacked,) = given.coders.values(), given.perturbed().values()
        with torch.no_grad():
            learned = cast(Convolution, coder.synthesis)
            maps: dict[str, LinearMap] = {
                "learned": learned,
                "random": _random_like(learned, given.rng),
            }
            d = attacked.perturbation
            moved = {
                "noise": noise_like(d, given.rng, "gaussian"),
                "spectrum": noise_like(d, given.rng, "spectrum"),
                "attack": d,
            }
            arrays = {"perturbed": np.array(len(d))}
            for name, atoms in maps.items():
                for by, some in moved.items():
                    halves = correlation_halves(atoms, some)
                    density = halves.sum(0) / halves.sum()
                    arrays[f"density.{name}.{by}"] = density.float().cpu().numpy()
                    covariance = _covariance(halves)
                    arrays[f"covariance.{name}.{by}"] = np.array(covariance)
                # Of the attack, which came last.
                generator = given.rng.generator("sub-matrices", name)
                spectra = self._spectra(atoms, density, generator)
                arrays[f"singular_values.{name}"] = spectra.cpu().numpy()
        return arrays

    def _spectra(self, atoms, density, generator) -> torch.Tensor:
        """Singular values of the sub-matrices, groups x submatrices x columns, float64."""
        order = density.argsort().cpu()
        groups = (order[-self.extremes :], order[: self.extremes], torch.arange(len(order)))
        found = []
        for group in groups:
            for _ in range(self.submatrices):
                chosen = torch.randperm(len(group), generator=generator)[: self.columns]
                columns = atom_columns(atoms, group[chosen].to(density.device))
                found.append(torch.linalg.svdvals(columns))
        return torch.stack(found).reshape(len(groups), self.submatrices, -1)


def correlation_halves(atoms: LinearMap, d: torch.Tensor, batch: int = 32) -> torch.Tensor:
    """The sums of eq. 2 over every other of the perturbations ``d``, 2 x atoms, float64."""
    norms = atoms.norms()
    total = torch.zeros(2, *atoms.code_shape, dtype=torch.float64, device=d.device)
    for half in range(2):
        for some in d[half::2].split(batch):
            unit = some / per_image(some.flatten(1).norm(dim=1), some)
            total[half] += (atoms.adjoint(unit) / norms).abs().sum(0)
    return total.flatten(1)


def _covariance(halves: torch.Tensor) -> float:
    """The covariance over atoms of the densities of two halves of the images, in units of the mean.

    It is the variance of the density itself: what one half has by the chance of its images, the
    other has not, whereas the variance of all of them holds that too. NaN where a half is empty.
    """
    first, second = halves / halves.mean(1, keepdim=True)
    return float(((first - 1) * (second - 1)).mean())


def atom_columns(atoms: LinearMap, index: torch.Tensor) -> torch.Tensor:
    """The normalised atoms of the given flat indices as columns, P x len(index), float64."""
    columns = atoms.columns(index).flatten(1).double().T
    return columns / columns.norm(dim=0)


def _random_like(atoms: Convolution, rng) -> Convolution:
    filters = torch.randn(atoms.filters.shape, generator=rng.generator("random dictionary"))
    _, height, width = atoms.signal_shape
    return Convolution(filters.to(atoms.like), (height, width))
