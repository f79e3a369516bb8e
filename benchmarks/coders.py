"""Sparse coders beside scikit-learn's, on the synthetic problem of weitzner2023.

1000 signals of 250 entries, each of 50 atoms out of 500 with standard normal coefficients; the
dictionary is Gaussian with normalised columns.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import Lasso as ScikitLasso
from sklearn.linear_model import orthogonal_mp_gram
from threadpoolctl import threadpool_limits

from advsparse.coding._maps import Matrix
from advsparse.coding.lasso import Lasso
from advsparse.coding.omp import OMP
from benchmarks.attacks import OURS

logger = logging.getLogger(__name__)

SIGNALS, SIZE, ATOMS, SPARSITY = 1000, 250, 500, 50
WEIGHT = 0.0125

EQUAL = 1e-6
"""Objectives this close, relatively, count as equal."""


@dataclass(frozen=True)
class CoderComparison:
    """One task by several libraries."""

    title: str
    settings: str
    contenders: dict[str, Callable[[], Any]]
    """By library; each returns its results."""
    quality: str
    """What those numbers are: the smaller, the better."""
    runs: int
    """How often each is measured; the median counts."""
    goal: float
    """The ratio to reach: our time to that of the fastest peer."""
    threads: int = 2
    """Threads of each contender."""
    score: Callable[[Any], torch.Tensor] = lambda found: found
    """What is measured of results, one number for each signal."""
    equal: float = EQUAL
    """Relative difference up to which those numbers count as equal."""
    section: str = "coders"
    """Of the page."""


@dataclass(frozen=True)
class Problem:
    """The synthetic problem, float64."""

    dictionary: torch.Tensor
    signals: torch.Tensor

    def residual(self, code: torch.Tensor) -> torch.Tensor:
        return (self.signals - code @ self.dictionary.T).norm(dim=1)

    def lagrangian(self, code: torch.Tensor) -> torch.Tensor:
        return self.residual(code).square() / 2 + WEIGHT * code.abs().sum(1)


def synthetic() -> Problem:
    """The problem, always the same."""
    generator = torch.Generator().manual_seed(0)
    dictionary = torch.randn(SIZE, ATOMS, generator=generator, dtype=torch.float64)
    dictionary /= dictionary.norm(dim=0)
    places = torch.rand(SIGNALS, ATOMS, generator=generator).topk(SPARSITY, dim=1).indices
    values = torch.randn(SIGNALS, SPARSITY, generator=generator, dtype=torch.float64)
    code = torch.zeros(SIGNALS, ATOMS, dtype=torch.float64).scatter_(1, places, values)
    return Problem(dictionary, code @ dictionary.T)


def comparisons() -> Iterator[CoderComparison]:
    """The comparisons, cheapest first."""
    problem = synthetic()
    yield _omp(problem)
    yield _lasso(problem)


def _omp(problem: Problem) -> CoderComparison:
    synthesis, solver = Matrix(problem.dictionary), OMP(sparsity=SPARSITY)
    gram = (problem.dictionary.T @ problem.dictionary).numpy()
    products = (problem.signals @ problem.dictionary).T.numpy()

    def scikit() -> torch.Tensor:
        code = orthogonal_mp_gram(gram, products, n_nonzero_coefs=SPARSITY)
        return problem.residual(torch.from_numpy(code.T))

    return CoderComparison(
        "OMP, 50 atoms",
        f"{SIGNALS} signals of {SIZE} entries, {ATOMS} atoms, {SPARSITY} of them in each signal. "
        "scikit-learn's `orthogonal_mp_gram` is given all products of atoms and signals",
        {
            OURS: lambda: problem.residual(solver.solve(synthesis, problem.signals).code),
            "scikit-learn": scikit,
        },
        quality="residual",
        runs=5,
        goal=0.5,
    )


def _lasso(problem: Problem) -> CoderComparison:
    synthesis = Matrix(problem.dictionary)
    # scikit-learn looks at its gap only once its steps have become small, and is then far below
    # 1e-3; here the gap is watched all the time, and 1e-4 gives objectives as low for each signal.
    solver = Lasso(weight=WEIGHT, gap_tolerance=1e-4)
    matrix = np.asfortranarray(problem.dictionary.numpy())
    gram = matrix.T @ matrix

    def scikit(precompute: bool | np.ndarray) -> torch.Tensor:
        model = ScikitLasso(
            alpha=WEIGHT / SIZE, fit_intercept=False, tol=1e-3, precompute=precompute
        )
        code = model.fit(matrix, problem.signals.T.numpy()).coef_
        return problem.lagrangian(torch.from_numpy(code))

    return CoderComparison(
        "LASSO, weight 0.0125",
        f"the same signals and atoms; scikit-learn's `Lasso` with alpha 5e-5 = {WEIGHT} / {SIZE} "
        "and tol 1e-3, all signals in one call, without and with the products of all atoms",
        {
            OURS: lambda: problem.lagrangian(solver.solve(synthesis, problem.signals).code),
            "scikit-learn": lambda: scikit(False),
            "scikit-learn, Gram matrix": lambda: scikit(gram),
        },
        quality="objective",
        runs=5,
        goal=0.5,
    )


def measure(comparison: CoderComparison) -> dict[str, Any]:
    """What the page is made from: every contender, in turns."""
    before = torch.get_num_threads()
    torch.set_num_threads(comparison.threads)
    try:
        with threadpool_limits(comparison.threads):
            return _measured(comparison) | {"origin": {"threads": comparison.threads}}
    finally:
        torch.set_num_threads(before)


def _measured(comparison: CoderComparison) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {name: [] for name in comparison.contenders}
    # And warm up.
    quality = {name: comparison.score(run()) for name, run in comparison.contenders.items()}
    for _ in range(comparison.runs):
        for name, run in comparison.contenders.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
            logger.info("%s, %s: %.2f s", comparison.title, name, seconds[name][-1])
    median = {name: statistics.median(taken) for name, taken in seconds.items()}
    peer = min((name for name in median if name != OURS), key=median.get)
    best = torch.stack([found for name, found in quality.items() if name != OURS]).amin(0)
    excess = float(((quality[OURS] - best) / best.clamp(min=best.mean() * EQUAL)).max())
    return {
        "section": comparison.section,
        "title": comparison.title,
        "settings": comparison.settings,
        "quality": comparison.quality,
        "goal": comparison.goal,
        "ratio": median[OURS] / median[peer],
        "peer": peer,
        "excess": excess,
        "as_strong": excess <= comparison.equal,
        "contenders": [
            {
                "library": name,
                "seconds": median[name],
                "runs": comparison.runs,
                "mean": float(quality[name].mean()),
            }
            for name in comparison.contenders
        ],
    }
