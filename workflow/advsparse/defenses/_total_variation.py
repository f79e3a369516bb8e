r"""Problems of total variation, some entries of whose images are left out, and their solver.

.. math:: \min_z\; d(K (z - x)) + \lambda \sum_g \|(\nabla z)_g\|_2

with K what keeps some entries, d half the squared norm or the norm itself, and differences in
groups g. By Chambolle and Pock (2011), whose dual variables u, in the balls \|u_g\| <= lambda, are
what differences are multiplied by.
"""

from __future__ import annotations

from typing import NamedTuple

from advsparse.lazy import torch

_TAU, _RELAXATION = 0.3, 1.9
_SIGMA = 1 / (8 * _TAU)  # 8 bounds the squared norm of the differences
"""Steps of the solver: on photographs, with and without entries left out, 300 of them come within
3e-4 of the optimum of half the squared norm, and of the norm, unless variation weighs much, within
2e-3."""


def _of_pixels(down, along):
    both = down.square() + along.square()
    return both, both


def _of_entries(down, along):
    return down.square(), along.square()


def _of_lines(down, along):
    return down.square().sum(3, keepdim=True), along.square().sum(2, keepdim=True)


GROUPS = {"pixels": _of_pixels, "entries": _of_entries, "lines": _of_lines}
"""The squared norms of the groups of differences down and along: both of an entry (isotropic), each
(anisotropic), or those between two whole rows or two whole columns."""


class Problem(NamedTuple):
    """What is minimised for images ``x`` (N x C x H x W), each by itself."""

    x: torch.Tensor
    kept: torch.Tensor
    """1 for entries that are kept, and 0; of the shape of ``x``."""
    weight: float
    groups: str = "pixels"
    squared: bool = True
    """Whether the distance is half the squared norm, or the norm."""

    def objective(self, z: torch.Tensor) -> torch.Tensor:
        """The value at ``z`` for each image, N."""
        distance = (self.kept * (z - self.x)).square().sum((1, 2, 3))
        down, along = GROUPS[self.groups](*differences(z))
        variation = down.sqrt().sum((1, 2, 3))
        if self.groups != "pixels":  # where both are one
            variation = variation + along.sqrt().sum((1, 2, 3))
        return (distance / 2 if self.squared else distance.sqrt()) + self.weight * variation

    def bound(self, down: torch.Tensor, along: torch.Tensor) -> torch.Tensor:
        """What no z is below for each image, N, from dual variables.

        Some optimum lies, channel by channel, between the least and the largest entry that is kept:
        to clip z lengthens no difference. Within, entries that are left out are worth something
        too, so that any dual variables bound the optimum.
        """
        g = -divergence(down, along)
        low, high = self._range()
        if self.squared:
            z = (self.x - g).clamp(low, high)
            worth = (z - self.x).square() / 2 + g * z
            least = torch.where(self.kept > 0, worth, torch.minimum(g * low, g * high))
            return least.sum((1, 2, 3))
        # ||v|| >= <q, v> for all q that are no longer than 1.
        q = -g * self.kept
        q = q / q.flatten(1).norm(dim=1).clamp(min=1)[:, None, None, None]
        g = g + q
        return (torch.minimum(g * low, g * high) - q * self.x).sum((1, 2, 3))

    def _range(self):
        infinite = torch.where(self.kept > 0, 0.0, torch.inf)
        low = (self.x + infinite).amin((2, 3), keepdim=True)
        high = (self.x - infinite).amax((2, 3), keepdim=True)
        none = low > high  # of a channel that is left out, all entries are 0, say
        return torch.where(none, 0.0, low), torch.where(none, 0.0, high)

    def nearer(self, z: torch.Tensor) -> torch.Tensor:
        """The minimiser of d(K (z' - x)) + ||z' - z||^2 / (2 tau)."""
        if self.squared:
            return (z + _TAU * self.kept * self.x) / (1 + _TAU * self.kept)
        away = self.kept * (z - self.x)
        size = away.square().sum((1, 2, 3), keepdim=True).clamp(min=_TAU**2).sqrt()
        return z - _TAU / size * away

    def within(self, down: torch.Tensor, along: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The nearest dual variables in the balls."""
        # The root last: at 0 it has no derivative.
        sizes = [
            size.div(self.weight**2).clamp(min=1).sqrt()
            for size in GROUPS[self.groups](down, along)
        ]
        return down / sizes[0], along / sizes[1]


class Solved(NamedTuple):
    """What the solver has come to; ``gap`` says how far from the optimum that is at most."""

    problem: Problem
    z: torch.Tensor
    down: torch.Tensor
    along: torch.Tensor

    @property
    def gap(self) -> torch.Tensor:
        """The duality gap of each image, N: what its objective exceeds the optimum's by is no
        more."""
        return self.problem.objective(self.z) - self.problem.bound(self.down, self.along)


def solved(problem: Problem, steps: int, followed: int | None = None) -> Solved:
    """The problem after so many steps, which are the same for each image.

    A derivative is that of the last ``followed`` steps alone, as if what they begin from were
    given: at a solution it comes near to that of all, in a share of their memory.
    """
    x, kept = problem.x, problem.kept
    z = x * kept + (1 - kept) * (x * kept).mean((2, 3), keepdim=True) / _share(kept)
    state = z, torch.zeros_like(x), torch.zeros_like(x)
    before = 0 if followed is None else max(0, steps - followed)
    with torch.no_grad():
        for _ in range(before):
            state, _ = _step(problem, *state)
    for _ in range(steps - before):
        state, found = _step(problem, *state)
    return Solved(problem, *found)


def _step(problem: Problem, z, down, along):
    """What the next step begins from, and what this one has come to."""
    nearer = problem.nearer(z + _TAU * divergence(down, along))
    by_row, by_column = differences(2 * nearer - z)
    steep, wide = problem.within(down + _SIGMA * by_row, along + _SIGMA * by_column)
    z = z + _RELAXATION * (nearer - z)
    down = down + _RELAXATION * (steep - down)
    along = along + _RELAXATION * (wide - along)
    return (z, down, along), (nearer, steep, wide)


def differences(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """From each entry to the one below it and to the one right of it; 0 at the end."""
    down, along = torch.zeros_like(z), torch.zeros_like(z)
    down[:, :, :-1] = z.diff(dim=2)
    along[..., :-1] = z.diff(dim=3)
    return down, along


def divergence(down: torch.Tensor, along: torch.Tensor) -> torch.Tensor:
    """Minus the adjoint of :func:`differences`."""
    found = torch.zeros_like(down)
    found[:, :, :-1] += down[:, :, :-1]
    found[:, :, 1:] -= down[:, :, :-1]
    found[..., :-1] += along[..., :-1]
    found[..., 1:] -= along[..., :-1]
    return found


def _share(kept: torch.Tensor) -> torch.Tensor:
    """The share of entries of each channel that are kept, at least one of them."""
    return kept.mean((2, 3), keepdim=True).clamp(min=1 / kept[0, 0].numel())
