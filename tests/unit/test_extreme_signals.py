"""Solvers of signals and dictionaries whose squares overflow or vanish."""

from __future__ import annotations

import logging

import pytest
import torch
from solver_cases import dense, noisy, small_convolution, unit_columns

from advsparse.attacks._dict_directions import Spectrum, by_column_norms
from advsparse.coding._maps import Matrix
from advsparse.coding.lasso import Lasso
from advsparse.coding.omp import OMP
from advsparse.registry import settings_of

MAPS = {"matrix": Matrix(unit_columns(20, 40)), "convolution": small_convolution()}
each_map = pytest.mark.parametrize("synthesis", MAPS.values(), ids=MAPS)

# Powers of 2, so that nothing is rounded: far out in float64, and in float32 alone.
SIZES = [2.0**-660, 2.0**-90, 2.0**90, 2.0**530, 2.0**660]
SOLVERS = [OMP(sparsity=4), OMP(tolerance=0.5), Lasso(weight=0.1), Lasso(tolerance=0.5)]


def scaled(solver, signals, atoms):
    """The solver of the same problem for signals and atoms that are so many times as large.

    None where its settings would not be numbers of float64.
    """
    given = {name: value for name, value in settings_of(solver).items() if value is not None}
    with_size = {"weight": signals * atoms, "tolerance": signals * signals}
    given |= {name: given[name] * with_size[name] for name in given.keys() & with_size.keys()}
    fit = all(1e-300 < given[name] < 1e300 for name in given.keys() & with_size.keys())
    return type(solver)(**given) if fit else None


CASES = {
    f"{solver}, signals {signals:.0e}, atoms {atoms:.0e}": (solver, signals, atoms)
    for solver in SOLVERS
    for size in SIZES
    for signals, atoms in ((1.0, size), (size, 1.0), (size, size))
    if scaled(solver, signals, atoms)
}


@each_map
@pytest.mark.parametrize(("solver", "signals", "atoms"), CASES.values(), ids=CASES)
def test_codes_grow_with_signals_and_shrink_with_atoms(synthesis, solver, signals, atoms):
    x = noisy(synthesis, 3, 4)
    expected = solver.solve(synthesis, x)
    found = scaled(solver, signals, atoms).solve(synthesis.over(1 / atoms), x * signals)
    assert torch.equal(found.code, expected.code * signals / atoms)
    assert torch.equal(found.residual, expected.residual * signals)
    assert torch.equal(found.iterations, expected.iterations)


@pytest.mark.parametrize("size", [1e-30, 1e25])
@pytest.mark.parametrize("what", ["signals", "atoms"])
@each_map
def test_codes_in_float32(synthesis, size, what):
    single = synthesis.to(torch.float32)
    x = noisy(synthesis, 3, 4).float()
    expected = OMP(sparsity=4).solve(single, x).code
    if what == "signals":
        found = OMP(sparsity=4).solve(single, x * size).code / size
        lasso = Lasso(weight=0.1 * size).solve(single, x * size).code / size
    else:
        found = OMP(sparsity=4).solve(single.over(1 / size), x).code * size
        lasso = Lasso(weight=0.1 * size).solve(single.over(1 / size), x).code * size
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    expected = Lasso(weight=0.1).solve(single, x).code
    torch.testing.assert_close(lasso, expected, rtol=1e-3, atol=1e-3)


def test_a_signal_of_its_own_size_each():
    synthesis = MAPS["matrix"]
    x = noisy(synthesis, 5, 4)
    sizes = torch.tensor([1.0, 2.0**660, 2.0**-660, 0.0, 2.0**90], dtype=torch.float64)[:, None]
    for solver in (OMP(sparsity=4), OMP(tolerance=0.0)):
        found = solver.solve(synthesis, x * sizes)
        assert torch.equal(found.code, solver.solve(synthesis, x).code * sizes)


@pytest.mark.parametrize("size", [1e160, 1e200])
def test_settings_that_are_nothing_beside_the_signals(size, caplog):
    synthesis = MAPS["matrix"]
    x = noisy(synthesis, 6, 4) * size
    with caplog.at_level(logging.WARNING):
        found = OMP(tolerance=1.0).solve(synthesis, x)
        least = Lasso(weight=0.1).solve(synthesis, x)
    assert not caplog.text
    assert (found.residual <= 1e-12 * size).all() and (found.iterations == 20).all()
    assert (least.residual <= 1e-2 * size).all() and least.code.isfinite().all()
    with caplog.at_level(logging.WARNING):
        Lasso(tolerance=0.1, max_iterations=100).solve(synthesis, x)
    assert "lasso: 6 of 6 signals are not solved to the tolerance" in caplog.text


@pytest.mark.parametrize(
    "solver", [OMP(tolerance=1.0), Lasso(weight=1e10), Lasso(tolerance=1.0)], ids=str
)
def test_signals_that_are_nothing_beside_the_settings(solver, caplog):
    synthesis = MAPS["matrix"]
    x = noisy(synthesis, 3, 4) * 1e-305
    found = solver.solve(synthesis, x)
    assert not found.code.any() and not caplog.text
    assert (found.residual > 0).all()


@each_map
def test_atoms_far_smaller_than_others(synthesis):
    matrix = dense(synthesis).matrix
    factors = torch.ones(synthesis.atoms, dtype=torch.float64)
    factors[::3], factors[1::3] = 2.0**-600, 2.0**-1000
    x = noisy(synthesis, 3, 4).flatten(1)
    expected = OMP(sparsity=4).solve(Matrix(matrix), x)
    found = OMP(sparsity=4).solve(Matrix(matrix * factors), x)
    torch.testing.assert_close(found.code * factors, expected.code, rtol=1e-10, atol=0)


def test_codes_beyond_the_precision_are_refused():
    synthesis, x = Matrix(unit_columns(20, 40).float()), noisy(MAPS["matrix"], 3, 4).float()
    x[0] = 0
    for solver in (OMP(sparsity=4), Lasso(tolerance=1e-3)):
        with pytest.raises(ValueError, match=r"codes of 2 of 3 signals overflow in torch\.float32"):
            solver.solve(synthesis.over(1e30), x * 1e20)
    with pytest.raises(ValueError, match=r"codes of 2 of 3 signals vanish in torch\.float32"):
        OMP(sparsity=4).solve(synthesis.over(1e-30), x * 1e-30)
    # What is nothing in float32 is something in float64.
    assert OMP(sparsity=4).solve(synthesis.over(1e-30), x.double() * 1e-30).code.any()


@each_map
@pytest.mark.parametrize("size", SIZES)
def test_sensitive_directions_of_extreme_atoms(synthesis, size):
    weights = noisy(Matrix(torch.eye(synthesis.atoms, dtype=torch.float64)), 3, 4)
    weights = weights.reshape(3, *synthesis.code_shape)
    ordinary, extreme = Spectrum(synthesis), Spectrum(synthesis.over(1 / size))
    assert torch.equal(extreme.smallest(), ordinary.smallest())
    assert torch.equal(extreme.values, ordinary.values * size)
    assert torch.equal(extreme.dual(weights), ordinary.dual(weights) / size)
    found = by_column_norms(synthesis.over(1 / size), weights)
    assert torch.equal(found, by_column_norms(synthesis, weights) / size)


@each_map
@pytest.mark.parametrize("solver", SOLVERS, ids=str)
def test_solvers_compute_without_autocast(synthesis, solver):
    x = noisy(synthesis, 3, 4).float()
    single = synthesis.to(torch.float32)
    expected = solver.solve(single, x)
    with torch.autocast("cpu", torch.bfloat16):
        found = solver.solve(single, x)
    assert torch.equal(found.code, expected.code)
    assert torch.equal(found.iterations, expected.iterations)
