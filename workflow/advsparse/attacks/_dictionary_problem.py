"""The problem that SCADA's solvers share: its smooth part F, its penalty, its constraint.

Codes are rows, N x M, as images are. All sums over images are taken in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from advsparse.attacks._asking import slope
from advsparse.lazy import torch

Logits = Callable[..., "torch.Tensor"]


def soft_threshold(v: torch.Tensor, threshold: float | torch.Tensor) -> torch.Tensor:
    """The proximity operator of threshold ||.||_1: argmin_u ||u - v||^2 / 2 + threshold ||u||_1."""
    return v.sign() * (v.abs() - threshold).clamp(min=0)


def project_atoms(d: torch.Tensor) -> torch.Tensor:
    """Each column of ``d`` (P x M) moved to the nearest point of the unit l2 ball."""
    # Squares of single precision add up to as much as a millionth too little.
    length = torch.linalg.vector_norm(d, dim=0, dtype=torch.float64)
    return d / length.clamp(min=1).to(d.dtype)


@dataclass(frozen=True)
class Problem:
    """The images, targets and weights of the problem, and its smooth part."""

    logits: Logits
    x: torch.Tensor
    target: torch.Tensor
    lambda1: float
    lambda2: float
    at_once: int | None = None
    """How many images, with their perturbations, fit into memory at once; none means all."""

    def smooth(self, d: torch.Tensor, v: torch.Tensor, rows: torch.Tensor | None = None):
        """F image by image (float64, N), with the perturbations it hangs from, and the images that
        it hangs from too, to differentiate."""
        x, target = (self.x, self.target) if rows is None else (self.x[rows], self.target[rows])
        e = (v @ d.T).requires_grad_()
        moved = x + e.reshape(x.shape)
        logits = self.logits(moved, rows)
        entropy = torch.nn.functional.cross_entropy(logits, target, reduction="none")
        return self.lambda2 * e.square().sum(1).double() + entropy.double(), e, moved

    @staticmethod
    def slope(graph) -> torch.Tensor:
        """The gradient of :meth:`smooth`, given what that returns, in the perturbations, N x P.

        Its term in lambda2 has one whatever the model is like: that is asked for by itself.
        """
        value, e, moved = graph
        return slope(value, e, through=moved)

    def penalty(self, v: torch.Tensor) -> torch.Tensor:
        """lambda1 ||v_i||_1 of each image, float64."""
        return self.lambda1 * v.abs().sum(1).double()

    def chunks(self, rows: torch.Tensor | None = None) -> list[torch.Tensor | None]:
        """The images ``rows``, none being all of them, in parts that fit into memory."""
        count = len(self.x) if rows is None else len(rows)
        if self.at_once is None or count <= self.at_once:
            return [rows]
        rows = torch.arange(count, device=self.x.device) if rows is None else rows
        return list(rows.split(self.at_once))


class Smooth:
    """F at D (P x M) and V (N x M), image by image (``value``), and its gradients when asked.

    ``rows`` names the images that V is for; none means all. Of more images than fit into memory,
    one chunk after the other is in the network: the gradients then cost another forward pass. An
    image whose gradient is not finite adds nothing to them.
    """

    def __init__(self, problem: Problem, d, v, rows: torch.Tensor | None = None) -> None:
        self._problem, self._d, self._v = problem, d, v
        parts = problem.chunks(rows)
        self._chunks = list(zip(parts, v.split(problem.at_once or len(v)), strict=True))
        self._graph = None
        if len(parts) == 1:
            self._graph = problem.smooth(d, v, rows)
            self.value = self._graph[0].detach()
            return
        with torch.no_grad():
            self.value = torch.cat([problem.smooth(d, own, at)[0] for at, own in self._chunks])

    def gradients(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The gradients of the sum of F in D (P x M) and in V (N x M)."""
        in_d, in_v = torch.zeros_like(self._d), []
        for at, own in self._chunks:
            in_e = self._problem.slope(self._graph or self._problem.smooth(self._d, own, at))
            finite = in_e.isfinite().all(1)
            if not finite.all():
                in_e = torch.where(finite[:, None], in_e, 0.0)
            in_d += in_e.T @ own
            in_v.append(in_e @ self._d)
        return in_d, torch.cat(in_v)
