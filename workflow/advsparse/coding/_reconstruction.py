r"""What the codes of images stand for, as a differentiable function of the images. Imports torch.

D z(x) is the proximal point of a norm of x: there is one, whatever z, and differences of images
never grow. Of what is left, x - D z, the products with the atoms in the support S of z are
:math:`\pm\lambda`. Where S and the signs stay the same the derivative of D z is therefore the
orthogonal projection onto those atoms, :math:`D_S (D_S^T D_S)^+ D_S^T`.
"""

from __future__ import annotations

import torch
from torch.autograd.function import once_differentiable

from advsparse.coding import _solving
from advsparse.coding._atom_products import AtomProducts, NearInverse
from advsparse.coding._circular_map import CircularConvolution
from advsparse.coding._splitting import Problem, advanced
from advsparse.coding.cbpdn import CBPDN
from advsparse.modes import exactly
from advsparse.shapes import per_image

_CLOSE = {torch.float32: 1e-4, torch.float64: 1e-9}
"""Of what is left of a vector, the share that may still lie along an atom, when it is projected."""

_ROUNDING = 8
"""Multiple of the precision, and of the product of norms, below which a product is nothing."""

_STEPS = 1000
"""Most steps of conjugate gradients; they end long before."""


def reconstructed(
    x: torch.Tensor, filters: torch.Tensor, coder: CBPDN, unrolled: bool = False
) -> torch.Tensor:
    """D z(x) for images N x C x H x W, by codes z of the ``coder`` for filters K x C x h x w.

    Differentiated as what it is exactly, or ``unrolled``: as what the coder's most steps of ADMM
    make of x, which are then all done.
    """
    synthesis = CircularConvolution(filters.to(x), (x.shape[2], x.shape[3]))
    if not unrolled:
        return _Reconstructed.apply(x, synthesis, coder)
    with exactly():
        return _unrolled(x, synthesis, coder)


class _Reconstructed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, synthesis, coder):
        code = coder.solve(synthesis, x).code
        ctx.synthesis = synthesis
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(code != 0)
        with exactly():
            return torch.cat([synthesis.forward(part) for part in code.split(_at_once(synthesis))])

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        return projected(gradient, ctx.synthesis, *ctx.saved_tensors), None, None


def projected(g: torch.Tensor, synthesis: CircularConvolution, used: torch.Tensor) -> torch.Tensor:
    """The orthogonal projection of each g, N x C x H x W, onto the span of the atoms that are
    ``used``, N x K x H x W of truth values."""
    at_once = _at_once(synthesis)
    parts = zip(g.split(at_once), used.split(at_once), strict=True)
    with exactly():
        products = AtomProducts(synthesis)
        return torch.cat([_projected(*part, synthesis, products) for part in parts])


def _projected(
    g: torch.Tensor, used: torch.Tensor, synthesis: CircularConvolution, products: AtomProducts
) -> torch.Tensor:
    """By preconditioned conjugate gradients for the least squares (CGLS), which atoms that depend
    on one another do not disturb. Of the coefficients none is needed."""
    left, rows = g.clone(), torch.arange(len(g), device=g.device)
    tiny = torch.finfo(g.dtype).tiny
    solve = NearInverse(used, products)
    r = g
    along = synthesis.adjoint(r) * used
    direction = solve(along)
    energy, misses = _product(along, direction), _product(along, along)
    # Of a vector that is orthogonal to all of the atoms rounding leaves something along them.
    squares = (synthesis.norms().square() * used).flatten(1).sum(1) * _product(g, g)
    rounded = squares * (_ROUNDING * torch.finfo(g.dtype).eps) ** 2
    goal = torch.maximum(misses * _CLOSE[g.dtype] ** 2, rounded)
    for _ in range(_STEPS):
        going = misses > goal
        if not going.all():
            left[rows[~going]] = r[~going]
            state = rows, r, used, direction, energy, goal
            rows, r, used, direction, energy, goal = (values[going] for values in state)
            solve.keep(going)
            if not len(rows):
                return g - left
        image = synthesis.forward(direction)
        step = energy / _product(image, image).clamp(min=tiny)
        r = r - per_image(step, r) * image
        along = synthesis.adjoint(r) * used
        towards = solve(along)
        before, energy, misses = energy, _product(along, towards), _product(along, along)
        direction = towards + per_image(energy / before.clamp(min=tiny), along) * direction
    left[rows] = r
    return g - left


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a * b).flatten(1).sum(1)


def _unrolled(x: torch.Tensor, synthesis: CircularConvolution, coder: CBPDN) -> torch.Tensor:
    with torch.no_grad():
        problem = Problem(synthesis, coder.rho, adaptive=False, iterations=coder.max_iterations)
        splitting = problem.fine if x.dtype == torch.float64 else problem.coarse
    made = []
    for part in x.split(_at_once(synthesis)):
        weight = part.new_full((len(part),), coder.weight)
        rho = problem.penalty(part, weight)
        signal, inverse = splitting.signals(part), splitting.inverse(rho)
        signal = signal * per_image(rho / weight, signal)
        q = part.new_zeros(len(part), *synthesis.code_shape)
        for _ in range(coder.max_iterations):
            q = advanced(q, splitting.step(q, signal, inverse))
        code = (q - q.clamp(-1, 1)) * per_image(weight / rho, q)
        made.append(synthesis.forward(code))
    return torch.cat(made)


def _at_once(synthesis: CircularConvolution) -> int:
    """Images that are worked on at a time, as the processor's cache has room for."""
    return max(1, _solving.WORKING_SET // (8 * 8 * synthesis.atoms))
