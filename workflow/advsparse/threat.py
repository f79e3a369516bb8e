"""Threat models: how far an adversarial image may be from the image it was made of."""

from __future__ import annotations

from typing import Literal

from advsparse.lazy import torch
from advsparse.seeding import Random
from advsparse.settings import NonNegativeFloat, settings
from advsparse.shapes import per_image

Norm = Literal["linf", "l2", "relative_l2", "l1", "l0"]

_PART = 16
"""Images that are settled or measured at once: what is made of them in float64 then stays in a
processor's cache."""

_LEAST = 2**-25
"""Less than any random number in single precision that isn't 0."""


@settings
class Threat:
    r"""The set of admissible images around ``x``: a ball intersected with the box of valid pixels.

    .. math:: \{x' : \|x' - x\|_p \le \epsilon,\; low \le x' \le high\}

    ``relative_l2`` measures ||x' - x||_2 / ||x||_2 (sun2019, section 4; the square root of the
    rMSE of frecon2021); ``l0`` counts changed array entries. All distances are taken in float64.
    """

    norm: Norm
    """The norm of the ball."""
    eps: NonNegativeFloat | None = None
    """The radius; none means that the distance is what an attack minimises."""
    bounds: tuple[float, float] = (0.0, 1.0)
    """The smallest and the largest pixel value."""

    def distance(self, x_adv: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The distance of each image pair, float64 of shape N."""
        if len(x) > _PART:
            parts = zip(x_adv.split(_PART), x.split(_PART), strict=True)
            return torch.cat([self.distance(*part) for part in parts])
        d = (x_adv.double() - x.double()).flatten(1)
        match self.norm:
            case "linf":
                return d.abs().amax(1)
            case "l2":
                return d.norm(dim=1)
            case "relative_l2":
                return _ratio(d.norm(dim=1), x.double().flatten(1).norm(dim=1))
            case "l1":
                return d.abs().sum(1)
            case "l0":
                return (d != 0).sum(1).double()

    def radius(self, x: torch.Tensor) -> torch.Tensor:
        """The radius around each image in pixel units, shape N x 1 x ... x 1."""
        if self.eps is None:
            raise ValueError("a distance that is minimised has no radius")
        if self.norm == "relative_l2":
            return self.eps * per_image(x.flatten(1).norm(dim=1), x)
        return self.eps * per_image(x.new_ones(len(x)), x)

    def project(self, x_adv: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """``x_adv`` moved into the ball around ``x``, then into the box.

        For linf the exact projection onto the intersection. For the other norms a point of it:
        the box can only bring a point nearer to ``x``, which lies inside the box.
        """
        if self.eps is None:
            return x_adv.clamp(*self.bounds)
        d = _project_ball(x_adv - x, self.norm, self.radius(x))
        return d.add_(x).clamp_(*self.bounds)

    def settle(self, x_adv: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """:meth:`project` in float64, rounded so that the distance in float64 is at most eps.

        Rounding x + d to float32 can leave the ball by more than the radius allows when eps is
        small: an entry that rounding took further from ``x`` takes the next number towards it.
        """
        if self.eps == 0:
            return x.clone()
        parts = zip(x_adv.split(_PART), x.split(_PART), strict=True)
        return torch.cat([self._settled(*part) for part in parts])

    def _settled(self, x_adv: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        centre = x.double()
        exact = self.project(x_adv.double(), centre)
        rounded = exact.to(x.dtype)
        outside = (rounded - centre).abs_() > (exact - centre).abs_()
        return torch.where(outside, torch.nextafter(rounded, x), rounded)

    def random_start(self, x: torch.Tensor, rng: Random, stream: int = 0) -> torch.Tensor:
        """A point drawn uniformly from the ball around each image, then moved into the box."""
        if self.norm == "linf":
            d = self.radius(x) * (2 * rng.uniform_like(x, stream) - 1)
        elif self.norm in ("l2", "relative_l2"):
            d = rng.normal_like(x, stream)
            dimension = x[0].numel()
            # U^(1/d): the volume within radius r grows as r^d.
            length = self.radius(x) * rng.uniform(x, stream + 1) ** (1 / dimension)
            d = d * length / d.flatten(1).norm(dim=1).reshape(length.shape)
        elif self.norm == "l1":
            # Exponential variates with random signs; one more of them says how far it is to the
            # sphere (Barthe et al. 2005).
            u = 2 * rng.uniform_like(x, stream) - 1
            d = -(1 - u.abs()).clamp(min=_LEAST).log() * u.sign()
            more = -(1 - rng.uniform(x, stream + 1)).log()
            d = self.radius(x) * d / (per_image(d.flatten(1).abs().sum(1), d) + more)
        else:
            raise ValueError(f"no random start is defined for the norm {self.norm}")
        return (x + d).clamp(*self.bounds)


def _ratio(numerator: torch.Tensor, denominator: torch.Tensor) -> torch.Tensor:
    """Their quotient; 0/0, an unchanged black image, is 0."""
    return torch.where(numerator == 0, 0.0, numerator / denominator)


def _project_ball(d: torch.Tensor, norm: Norm, radius: torch.Tensor) -> torch.Tensor:
    """``d`` moved into the ball, in its memory where that is quicker."""
    match norm:
        case "linf":
            return d.clamp_(-radius, radius)
        case "l2" | "relative_l2":
            length = d.flatten(1).norm(dim=1).reshape(radius.shape)
            return d.mul_(torch.where(length > radius, radius / length, 1.0))
        case "l1":
            return _project_l1(d.flatten(1), radius.flatten()).reshape(d.shape)
        case "l0":
            return _keep_largest(d.flatten(1), int(radius.flatten()[0])).reshape(d.shape)


def _project_l1(d: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    """Euclidean projection of each row onto the l1 ball (Duchi et al. 2008, figure 1)."""
    sizes = d.abs().sort(dim=1, descending=True).values
    rank = torch.arange(1, d.shape[1] + 1, device=d.device)
    excess = (sizes.cumsum(1) - radius[:, None]) / rank
    last = (sizes > excess).sum(1, keepdim=True).clamp(min=1) - 1
    threshold = excess.gather(1, last).clamp(min=0)
    return d.sign() * (d.abs() - threshold).clamp(min=0)


def _keep_largest(d: torch.Tensor, count: int) -> torch.Tensor:
    """Each row with all but its ``count`` largest entries set to 0."""
    if count >= d.shape[1]:
        return d
    kept = d.abs().topk(count, dim=1).indices
    return torch.zeros_like(d).scatter(1, kept, d.gather(1, kept))
