"""The statistical tests of weitzner2023, one record for each, with what it says of a claim."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from advsparse.analyses.atom_correlation import GROUPS
from advsparse.analyses.signal_attacks import CONDITIONS

LEVEL = 0.05
"""Below it a difference is called one."""


@dataclass(frozen=True)
class Test:
    """Two samples compared: whether ``a`` lies above ``b``, or is spread wider."""

    claim: str
    what: str
    a: str
    b: str
    of_a: float
    of_b: float
    statistic: float
    p: float
    n: int
    name: str
    expects: str = "above"
    """What the claim says of a: ``above`` b, ``below`` b, or ``alike``."""

    @property
    def speaks(self) -> int:
        """1 for the claim, -1 against it, 0 where the difference is within the noise."""
        different = self.p < LEVEL
        if self.expects == "alike":
            return -1 if different else 1
        if not different:
            return 0
        return 1 if (self.of_a > self.of_b) == (self.expects == "above") else -1


def welch(claim, what, a, b, x, y, expects="above") -> Test:
    """Welch's t-test of two means: a t-test that does not take variances to be equal."""
    found = stats.ttest_ind(x, y, equal_var=False)
    means = float(np.mean(x)), float(np.mean(y))
    statistic, p = float(found.statistic), float(found.pvalue)
    if not np.isfinite(p):  # two constant samples
        statistic, p = 0.0, float(means[0] == means[1])
    return Test(claim, what, a, b, *means, statistic, p, len(x), "t-test (Welch)", expects)


def levene(claim, what, a, b, x, y, expects="above") -> Test:
    """Levene's test of two variances, about the medians."""
    found = stats.levene(x, y, center="median")
    spread = float(np.std(x)), float(np.std(y))
    values = (float(found.statistic), float(found.pvalue), len(x))
    return Test(claim, what, a, b, *spread, *values, "Levene", expects)


def of_signals(arrays) -> Iterator[Test]:
    """The tests behind figures 1, 5 and 6."""
    coders = [str(name) for name in arrays["coders"]]
    errors = dict(zip(coders, arrays["errors"], strict=True))

    def compare(claim, a, b, expects="above"):
        """Of two pairs of coder and condition."""
        samples = (errors[coder][CONDITIONS.index(condition)].sum(0) for coder, condition in (a, b))
        return welch(claim, "error of codes", " ".join(a), " ".join(b), *samples, expects)

    first, *others = (name for name in coders if name.startswith("lista"))
    lassos = [name for name in coders if name.startswith("lasso")]
    weights = sorted((name for name in lassos if name != "lasso_tolerance"), key=_weight)
    yield compare("pgd_on_lista", (first, "pgd"), (first, "noise"))
    yield compare("pgd_on_omp", ("omp_tolerance", "pgd"), ("omp_tolerance", "noise"))
    yield compare("omp_sparsity", ("omp_sparsity", "pgd"), ("omp_sparsity", "noise"), "alike")
    yield compare("omp_truncates", ("omp_sparsity", "pgd"), ("omp_tolerance", "pgd"), "below")
    for coder in lassos:
        yield compare("pgd_on_lasso", (coder, "pgd"), (coder, "noise"))
    for condition in ("pgd", "noise"):
        if len(weights) > 1:
            yield compare("less_sparse", (weights[0], condition), (weights[-1], condition))
    for other in others:
        yield compare("pgd_transfer", (other, "pgd"), (first, "pgd"), "below")
        yield compare("da_networks", (other, "da"), (first, "da"), "alike")
    for coder in coders:
        claim = "da_on_lista" if coder in (first, *others) else "da_on_omp_lasso"
        yield compare(claim, (coder, "da"), (coder, "pgd"))
    codes = {name: arrays[f"code_{name}"].astype(np.float64) for name in ("pgd", "noise")}
    energy = {name: (code**2).sum(1) for name, code in codes.items()}
    yield welch("energy", "energy of the code", "pgd", "noise", energy["pgd"], energy["noise"])
    count = {name: (code != 0).sum(1) for name, code in codes.items()}
    yield welch("active", "active values of a code", "pgd", "noise", count["pgd"], count["noise"])
    size = {name: np.abs(code[code != 0]) for name, code in codes.items()}
    yield welch("active", "size of active values", "pgd", "noise", size["pgd"], size["noise"])


def _weight(name: str) -> float:
    return float(name.removeprefix("lasso_"))


def of_change(arrays) -> Iterator[Test]:
    """The tests behind figure 2: over images, and as the paper's over the shown image's entries."""
    for name in map(str, arrays["attacks"]):
        for claim, what, key in (
            ("code_change", "mean change of an image's code", "mean"),
            ("excess", "mean change where the clean code is 0", "excess"),
        ):
            x, y = arrays[f"{key}.{name}"], arrays[f"{key}.{name}.noise"]
            yield welch(claim, what, name, "noise", x, y)
        x, y = arrays[f"change.{name}"], arrays[f"change.{name}.noise"]
        yield welch("code_change", "change of the shown image's entries", name, "noise", x, y)


def of_correlation(arrays, role: str) -> Iterator[Test]:
    """The tests behind figures 3 and 4."""
    densities = {
        (kind, by): arrays[f"density.{kind}.{by}"].astype(np.float64)
        for kind in ("learned", "random")
        for by in ("attack", "noise")
    }
    what = "spread of the correlation density, {} dictionary"
    learned, random = (
        (densities[kind, "attack"], densities[kind, "noise"]) for kind in ("learned", "random")
    )
    yield levene(f"spread_{role}", what.format("learned"), "pgd", "noise", *learned)
    if role == "tiny_imagenet":
        return
    yield levene("spread_random", what.format("random"), "pgd", "noise", *random, "below")
    condition = {
        kind: dict(
            zip(GROUPS, np.log10(_condition(arrays[f"singular_values.{kind}"])), strict=True)
        )
        for kind in ("learned", "random")
    }
    what = "log10 of the condition number, {} dictionary"
    for claim, kind, a, b, expects in (
        ("top_worse", "learned", "top", "bottom", "above"),
        ("bottom_worse", "learned", "bottom", "random", "above"),
        ("random_spectra", "random", "top", "bottom", "alike"),
        ("random_spectra", "random", "top", "random", "alike"),
    ):
        groups = condition[kind]
        yield welch(claim, what.format(kind), a, b, groups[a], groups[b], expects)


def _condition(spectra: np.ndarray) -> np.ndarray:
    """Largest by smallest singular value of each sub-matrix; GROUPS x submatrices."""
    return spectra[..., 0] / np.maximum(spectra[..., -1], np.finfo(np.float64).tiny)
