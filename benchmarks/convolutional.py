"""Convolutional sparse coding and the learning of its filters, beside sporco."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from skimage import data as photographs

from advsparse.coding._circular_map import CircularConvolution
from advsparse.coding._filter_learning import FilterLearning
from advsparse.coding._low_pass import low_pass
from advsparse.coding._splitting import Splitting
from advsparse.coding.cbpdn import CBPDN
from benchmarks.attacks import OURS
from benchmarks.coders import CoderComparison

WEIGHT, FILTERS, SIZE = 0.2, 64, 8
RHO, FIXED = 10.5, 4.0
"""That of sporco's examples, and one that suits these images better."""


def comparisons() -> Iterator[CoderComparison]:
    """The comparisons, cheapest first, after a look at whether both solve the same problem."""
    train, test = _pieces(32)
    learning = FilterLearning(filters=FILTERS, size=SIZE, weight=WEIGHT, passes=10)
    filters = learning.learn(train[:100]).filters
    agree(filters.double(), test[:1].double())
    yield _coding(filters, test[:8], 3e-4)
    yield _coding(filters, _pieces(64)[1][:4], 6e-4)
    yield _learning(train[:100], test[:40])


def agree(filters: torch.Tensor, x: torch.Tensor) -> None:
    """Assert that sporco means the same: one step to 1e-10, codes to 1e-3, objectives to 1e-5, and
    low-pass parts to 1e-6."""
    from sporco.signal import tikhonov_filter

    synthesis = CircularConvolution(filters, (x.shape[2], x.shape[3]))
    splitting, rho = Splitting(synthesis), torch.tensor([RHO], dtype=torch.float64)
    unit = WEIGHT / rho
    q = torch.randn(1, *synthesis.code_shape, generator=torch.Generator().manual_seed(0)).double()
    y, u = (q - q.clamp(-1, 1)) * unit, q.clamp(-1, 1) * unit
    step = splitting.step(q, splitting.signals(x[:1]) / unit, splitting.inverse(rho))
    begun = _sporco(filters, x[0], 1, rho=RHO, Y0=_theirs(y), U0=_theirs(u))
    begun.xstep()
    found = (y - u) + step.d * unit
    np.testing.assert_allclose(_ours(begun.X), found[0].numpy(), rtol=0, atol=1e-10)

    coded = CBPDN(weight=WEIGHT, gap_tolerance=1e-8, max_iterations=5000).solve(synthesis, x)
    for image, code, objective in zip(x, coded.code, coded.objective, strict=True):
        solver = _sporco(filters, image, 1500, rho=2.0)
        solver.solve()
        theirs = torch.from_numpy(_ours(solver.Y))[None]
        np.testing.assert_allclose(theirs[0].numpy(), code.numpy(), rtol=0, atol=1e-3)
        value = _objectives(synthesis, image[None], theirs)
        np.testing.assert_allclose(float(value), float(objective), rtol=1e-5)
    for image, slow in zip(x, low_pass(x), strict=True):
        theirs, _ = tikhonov_filter(image.permute(1, 2, 0).numpy(), 5)
        np.testing.assert_allclose(theirs, slow.permute(1, 2, 0).numpy(), rtol=0, atol=1e-6)


def _coding(filters: torch.Tensor, x: torch.Tensor, gap_tolerance: float) -> CoderComparison:
    side = x.shape[2]
    synthesis = CircularConvolution(filters, (side, side))
    solver = CBPDN(weight=WEIGHT, gap_tolerance=gap_tolerance)

    def ours() -> torch.Tensor:
        return solver.solve(synthesis, x).code

    def sporco(steps: int, **options) -> torch.Tensor:
        codes = []
        for image in x:
            made = _sporco(filters, image, steps, **options)
            made.solve()
            codes.append(torch.from_numpy(_ours(made.Y)))
        return torch.stack(codes)

    automatic = {"AutoRho": {"Enabled": True}, "RelStopTol": 1e-3}
    return CoderComparison(
        f"CBPDN, {FILTERS} filters, {side} x {side} pixels",
        f"{len(x)} pieces of photographs less their means, {FILTERS} filters of {SIZE} x {SIZE} "
        f"pixels learned from others, weight {WEIGHT}, float32; gap tolerance {gap_tolerance:g}; "
        f"sporco's `ConvBPDN` with `FastSolve`, image by image: 150 steps with rho {FIXED:g}, "
        "and with its automatic rho as many as a relative tolerance of 1e-3 takes; one thread, two "
        "of sporco's transforms",
        {
            OURS: ours,
            f"sporco, rho {FIXED:g}": partial(sporco, 150, rho=FIXED),
            "sporco, automatic rho": partial(sporco, 1000, **automatic),
        },
        quality="objective",
        runs=3,
        goal=0.33,
        threads=1,
        score=lambda code: _objectives(synthesis, x, code),
        equal=1e-4,
    )


def _learning(x: torch.Tensor, held_out: torch.Tensor) -> CoderComparison:
    learning = FilterLearning(filters=FILTERS, size=SIZE, weight=WEIGHT, passes=15)

    def sporco() -> torch.Tensor:
        from sporco.dictlrn.cbpdndl import ConvBPDNDictLearn

        options = ConvBPDNDictLearn.Options(
            {
                "MaxMainIter": 40,
                "CBPDN": {"rho": RHO},
                "CCMOD": {"rho": 1.0, "ZeroMean": True},
            },
            dmethod="cns",
        )
        start = np.random.default_rng(0).standard_normal((SIZE, SIZE, 3, FILTERS))
        images = x.permute(2, 3, 1, 0).numpy()
        learner = ConvBPDNDictLearn(
            start.astype(np.float32), images, WEIGHT, options, dmethod="cns"
        )
        filters = learner.solve().squeeze().transpose(3, 2, 0, 1)
        return torch.from_numpy(np.ascontiguousarray(filters))

    return CoderComparison(
        f"Learning {FILTERS} filters",
        f"{len(x)} pieces of photographs of 32 x 32 pixels less their means: 15 passes, and 40 "
        "iterations of sporco's consensus learner with the settings of its example; measured by "
        f"the least objective on {len(held_out)} other pieces",
        {OURS: lambda: learning.learn(x).filters, "sporco, consensus": sporco},
        quality="mean objective",
        runs=1,
        goal=0.33,
        threads=1,
        score=lambda filters: learning.objective(filters, held_out).mean()[None],
    )


def _sporco(filters: torch.Tensor, image: torch.Tensor, steps: int, **options):
    from sporco.admm.cbpdn import ConvBPDN

    fixed = {
        "Verbose": False,
        "FastSolve": True,
        "MaxMainIter": steps,
        "RelStopTol": 0.0,
        "RelaxParam": 1.8,
        "AutoRho": {"Enabled": False},
    }
    own = filters.permute(2, 3, 1, 0).numpy().copy()
    signal = image.permute(1, 2, 0).numpy().copy()
    return ConvBPDN(own, signal, WEIGHT, ConvBPDN.Options(fixed | options))


def _theirs(code: torch.Tensor) -> np.ndarray:
    """A code 1 x K x H x W as sporco has it."""
    return code[0].permute(1, 2, 0).numpy()[:, :, None, None].copy()


def _ours(code: np.ndarray) -> np.ndarray:
    """A code K x H x W of sporco's."""
    return code[:, :, 0, 0].transpose(2, 0, 1).copy()


def _objectives(synthesis: CircularConvolution, x: torch.Tensor, code: torch.Tensor):
    exact = synthesis.to(torch.float64)
    left = x.double() - exact.forward(code.double())
    absolute = code.double().flatten(1).abs().sum(1)
    return left.flatten(1).square().sum(1) / 2 + WEIGHT * absolute


def _pieces(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pieces of photographs less their means in each channel, to learn from and others."""
    found = []
    for name in ("astronaut", "coffee", "chelsea"):
        image = torch.from_numpy(getattr(photographs, name)()).permute(2, 0, 1).float() / 255
        tiles = image.unfold(1, side, side).unfold(2, side, side)
        found.append(tiles.flatten(1, 2).movedim(1, 0))
    pieces = torch.cat(found)
    pieces = pieces[torch.randperm(len(pieces), generator=torch.Generator().manual_seed(0))]
    pieces = pieces - pieces.mean((2, 3), keepdim=True)
    return pieces[len(pieces) // 2 :], pieces[: len(pieces) // 2]
