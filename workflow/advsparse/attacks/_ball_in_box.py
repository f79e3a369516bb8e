r"""Exact projections of perturbations onto a ball within the box, many images at once.

The problem, for each image, with the room low <= 0 <= high that its pixels have:

.. math:: \min_z \|z - u\|_2 \quad \text{subject to} \quad \|z\|_p \le \epsilon,\;
          low \le z \le high

Onto the ball first and then into the box is another point, too short where the box cuts it: for l1
it is far from the one that is wanted (Croce and Hein 2021, section 2).
"""

from __future__ import annotations

from advsparse.lazy import torch
from advsparse.shapes import per_image

_ENTRIES = 2**17
"""Entries that are done at once, so that all there is of them stays in a processor's cache."""

_ROUNDS = 60
"""More than Newton's steps and halvings take to the last digit."""

_CLOSE = 1e-6
"""Share of a radius that rounding may leave out."""

_RESCALED = 2
"""Cheap steps before those of Newton, which are enough where the box cuts little off."""


def project(u: torch.Tensor, x: torch.Tensor, norm: str, radius: torch.Tensor) -> torch.Tensor:
    """The nearest perturbations of the images ``x`` in [0, 1] within balls of ``radius`` (N)."""
    if norm == "linf":
        r = per_image(radius, u)
        return _boxed(torch.minimum(torch.maximum(u, -r), r), x)
    if norm == "l0":
        return _keep(u.flatten(1), _boxed(u.clone(), x).flatten(1), radius).reshape(u.shape)
    shrink, found = _into_l2 if norm == "l2" else _into_l1, torch.empty_like(u)
    at_once = max(1, _ENTRIES // max(1, u[0].numel())) if len(u) else 1
    for start in range(0, len(u), at_once):
        part = slice(start, start + at_once)
        found[part] = shrink(u[part], x[part], radius[part])
    return found


def _into_l1(u, x, radius):
    inside = _boxed(u.clone(), x).flatten(1)
    outside = torch.linalg.vector_norm(inside, ord=1, dim=1) > radius
    if outside.any():
        rows = slice(None) if outside.all() else outside.nonzero().flatten()
        inside[rows] = _shrink_l1(u.flatten(1)[rows], inside[rows], radius[rows])
    return inside.reshape(u.shape)


def _boxed(u, x):
    """u, cut off where x + u leaves the box, in place."""
    return u.add_(x).clamp_(0, 1).sub_(x)


def _keep(flat, inside, radius):
    """The entries whose change brings them most, as many as the radius says."""
    most = min(int(radius.max()), flat.shape[1])
    gain = flat.square() - (flat - inside).square()
    best = gain.topk(most, dim=1).indices
    values = inside.gather(1, best)
    values = values * (torch.arange(most, device=flat.device) < radius.floor()[:, None])
    return torch.zeros_like(flat).scatter(1, best, values)


def _into_l2(u, x, radius):
    """clip(s u) for the s <= 1 at which its norm is the radius, or for 1 if it is not longer.

    The square of the norm, as a function of s^2, is concave and linear in pieces: Newton's steps
    from 0 never pass the root and end in it. The first goes to where no pixel is cut, and is the
    last for most images.
    """
    tiny = torch.finfo(u.dtype).tiny
    length = torch.linalg.vector_norm(u.flatten(1), dim=1)
    share = torch.where(length > radius, radius / length.clamp(min=tiny), 1.0)
    found = _boxed(u * per_image(share, u), x)
    for tried in range(_RESCALED + 1):
        reached = torch.linalg.vector_norm(found.flatten(1), dim=1)
        short = (share < 1) & (reached < radius * (1 - _CLOSE))
        if not short.any():
            return found
        if tried == _RESCALED:
            break
        # As much longer as it is too short, which is never too much where the box cuts.
        longer = (share * radius / reached.clamp(min=tiny)).clamp(max=1)
        share = torch.where(short, longer, share)
        _boxed(torch.mul(u, per_image(share, u), out=found), x)
    rows = short.nonzero().flatten()
    flat, clean, goal = u[rows].flatten(1), x[rows].flatten(1), radius[rows].square()
    size, room = flat.abs(), torch.where(flat > 0, 1 - clean, clean)
    part = share[rows]
    for _ in range(_ROUNDS):
        cut = size * part[:, None] >= room
        held = torch.where(cut, room, 0.0).square().sum(1)
        free = torch.where(cut, 0.0, size).square().sum(1)
        root = ((goal - held).clamp(min=0) / free.clamp(min=tiny)).sqrt().clamp(max=1)
        if not (root > part).any():
            break
        part = torch.maximum(part, root)
    found[rows] = _boxed(u[rows] * per_image(part, u), x[rows])
    return found


def _shrink_l1(flat, inside, radius):
    """sign(u) min(max(|u| - t, 0), room) for the t > 0 at which its l1 norm is the radius."""
    size, room = flat.abs(), inside.abs()
    t = _threshold(size, room, radius)
    return torch.minimum(size.sub_(t[:, None]).clamp_(min=0), room).copysign_(flat)


def _threshold(size, room, radius):
    """Where the sum of min(max(size - t, 0), room), which falls, is the radius.

    Newton's steps, and halvings where they leave what is known to hold the root. An image ends once
    the sum is the radius but for rounding, and not more.
    """
    close = 4 * torch.finfo(size.dtype).eps * radius
    t, low, high = torch.zeros_like(radius), torch.zeros_like(radius), size.amax(1)
    less, kept = torch.empty_like(size), torch.empty_like(size)
    for _ in range(_ROUNDS):
        torch.sub(size, t[:, None], out=less).clamp_(min=0)
        torch.minimum(less, room, out=kept)
        height = kept.sum(1) - radius
        going = (height > 0) | (height < -close)
        if not going.any():
            break
        low = torch.where(height > 0, t, low)
        high = torch.where(height > 0, high, t)
        # Those that are neither 0 nor cut off are what the sum falls by.
        moving = less.sign_().mul_(kept < room).sum(1)
        step = t + height / moving
        middle = torch.where((step >= low) & (step <= high), step, (low + high) / 2)
        middle = torch.where(going, middle, t)
        if torch.equal(middle, t):
            break
        t = middle
    return t
