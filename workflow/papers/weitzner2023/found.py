"""What a run found, as the tables that claims.yaml reads, and the accuracies of figure 7."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from advsparse.analyses._axes import CONDITIONS, GROUPS, PARTS
from advsparse.artifacts import read_arrays
from advsparse.evaluate.statistics import proportion

ROLES = ("mnist", "cifar10", "tiny_imagenet")

Arrays = Mapping[str, np.ndarray]
Row = dict[str, Any]


def tables(paths: Mapping[str, str | Path]) -> dict[str, pd.DataFrame]:
    """The tables of a run, by name, from analyses that are there; ``data`` names the analysis."""
    arrays = {name: read_arrays(path, stage="analysis")[0] for name, path in paths.items()}
    of_roles = {role: f"correlation_{role}" for role in ROLES}
    makers: dict[str, dict[str, Callable[[Arrays], Iterator[Row]]]] = {
        "errors": dict.fromkeys(("signals", "signals_half"), _errors),
        "codes": {"signals": _codes},
        "changes": {"change": _changes},
        "correlations": dict.fromkeys(of_roles.values(), _correlations),
        "conditions": dict.fromkeys(of_roles.values(), _conditions),
        "curves": {f"budgets_{role}": _curves for role in ROLES},
        "crossed": {f"budgets_{role}": _crossed for role in ROLES},
    }
    found = {
        table: pd.DataFrame(
            {**row, "data": name, "role": name.partition("_")[2]}
            for name, make in by.items()
            if name in arrays
            for row in make(arrays[name])
        )
        for table, by in makers.items()
    }
    found["drops"] = pd.DataFrame(_drops(arrays))
    return {name: table for name, table in found.items() if len(table)}


def accuracies(path: str | Path, data: str) -> pd.DataFrame:
    """Accuracies of figure 7 with their 95 % intervals, by attack, budget and whether images are
    clamped; ``data`` names the analysis."""
    arrays, _ = read_arrays(path, stage="analysis")
    return pd.DataFrame(
        {"role": data.partition("_")[2]} | row | proportion(row.pop("samples"))._asdict()
        for row in _curves(arrays)
    )


def _errors(arrays: Arrays) -> Iterator[Row]:
    """The squared errors of the codes of signals, by coder and condition: all of it, each of its
    parts, and what a perturbation adds to that of the clean signal."""
    clean = CONDITIONS.index("clean")
    for coder, errors in zip(map(str, arrays["coders"]), arrays["errors"], strict=True):
        family, _, mode = coder.partition("_")
        weight = float(mode) if mode[0].isdigit() else np.nan
        for condition, parts in zip(CONDITIONS, errors, strict=True):
            row = {"coder": coder, "family": family, "weight": weight, "condition": condition}
            total = parts.sum(0)
            measured = {"error": total, "added error": total - errors[clean].sum(0)}
            measured |= dict(zip(PARTS, parts, strict=True))
            for measure, samples in measured.items():
                yield row | {"measure": measure, "samples": samples}


def _drops(arrays: Mapping[str, Arrays]) -> Iterator[Row]:
    """What the error of OMP under PGD falls by where it is run to the sparsity, and how much of
    that was excess; how much accuracy noise costs, clean images against the largest budget."""
    coders = [str(coder) for coder in arrays["signals"]["coders"]] if "signals" in arrays else []
    if {"omp_tolerance", "omp_sparsity"} <= set(coders):
        pgd = arrays["signals"]["errors"][:, CONDITIONS.index("pgd")]
        fall = pgd[coders.index("omp_tolerance")] - pgd[coders.index("omp_sparsity")]
        yield {"what": "half of the fall of OMP's error", "samples": fall.sum(0) / 2}
        yield {"what": "fall of OMP's excess", "samples": fall[PARTS.index("excess")]}
    for role in ROLES:
        if (found := arrays.get(f"budgets_{role}")) is None:
            continue
        names = [str(name) for name in found["attacks"]]
        if f"noise_{role}" in names:
            noise = found["correct"][names.index(f"noise_{role}"), 0, -1]
            cost = found["clean"].mean() - noise.mean()
            yield {"what": f"cost of noise, {role}", "samples": np.array([cost])}


def _codes(arrays: Arrays) -> Iterator[Row]:
    """Of the codes of perturbations: energies, numbers of active values, their mean size."""
    for name in ("pgd", "noise"):
        code = arrays[f"code_{name}"].astype(np.float64)
        active = (code != 0).sum(1)
        found = {
            "energy of a code": (code**2).sum(1),
            "active values of a code": active.astype(np.float64),
            "size of active values": np.abs(code).sum(1) / np.maximum(active, 1),
        }
        for what, samples in found.items():
            yield {"perturbation": name, "what": what, "samples": samples}


def _changes(arrays: Arrays) -> Iterator[Row]:
    """How much attacks, and noise of the same norm, change the codes of images: all coefficients,
    those that are 0 in the clean code, and the rest; and by how much more than that noise."""
    for attack in map(str, arrays["attacks"]):
        of_noise = {kind: arrays[f"{kind}.{attack}.noise"] for kind in ("excess", "support")}
        for by, key in (("attack", attack), ("noise", f"{attack}.noise"), ("spectrum", "")):
            key = key or f"{attack}.spectrum"
            row = {"attack": attack, "by": by}
            for kind, where in (("mean", "all"), ("excess", "zeros"), ("support", "others")):
                yield row | {"where": where, "samples": arrays[f"{kind}.{key}"]}
            for kind, where in (("excess", "zeros"), ("support", "others")):
                relative = _ratio(arrays[f"{kind}.{key}"], of_noise[kind])
                yield row | {"where": f"{where}, beside noise", "samples": relative}


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.full(len(a), np.nan), where=b > 0)


def _correlations(arrays: Arrays) -> Iterator[Row]:
    """Of correlation densities, in units of the mean over atoms: their spread, as the covariance of
    two halves of the images, its square root and sign; kurtosis beyond a Gaussian's; and reach."""
    for dictionary in ("learned", "random"):
        for by in ("attack", "noise", "spectrum"):
            key = f"{dictionary}.{by}"
            density = arrays[f"density.{key}"].astype(np.float64)
            density = density * len(density) - 1
            covariance = arrays[f"covariance.{key}"].item()
            found = {
                "spread": np.sign(covariance) * np.sqrt(abs(covariance)),
                "kurtosis": (density**4).mean() / (density**2).mean() ** 2 - 3,
                "reach": np.log(density.max()),
            }
            for what, value in found.items():
                row = {"dictionary": dictionary, "by": by, "what": what}
                yield row | {"samples": np.array([value])}


def _conditions(arrays: Arrays) -> Iterator[Row]:
    """Of sub-matrices of atoms, one number each: the mean log10 of their condition numbers, and how
    far their singular values are from 1."""
    tiny = np.finfo(np.float64).tiny
    for dictionary in ("learned", "random"):
        for group, spectra in zip(GROUPS, arrays[f"singular_values.{dictionary}"], strict=True):
            # Not of the quotient, which may be larger than any float.
            logs = np.log10(np.maximum(spectra.astype(np.float64), tiny))
            found = {
                "condition": (logs[:, 0] - logs[:, -1]).mean(),
                "distance from orthogonal": np.sqrt(((spectra - 1.0) ** 2).mean()),
            }
            for what, value in found.items():
                row = {"dictionary": dictionary, "group": group, "what": what}
                yield row | {"samples": np.array([value])}


def _curves(arrays: Arrays) -> Iterator[Row]:
    """Whether each image is classified right under universal attacks, by attack, budget and whether
    images are clamped.

    Attacks are called what they are without the role of their data: ``da`` for ``da_mnist``; clean
    images have ``none`` and budget 0.
    """
    yield {"attack": "none", "clamped": False, "budget": 0.0, "samples": arrays["clean"]}
    for attack, correct in zip(_attacks(arrays), arrays["correct"], strict=True):
        for clamped, by_budget in zip((False, True), correct, strict=True):
            for budget, right in zip(arrays["budgets"], by_budget, strict=True):
                row = {"attack": attack, "clamped": clamped, "budget": float(budget)}
                yield row | {"samples": right}


def _crossed(arrays: Arrays) -> Iterator[Row]:
    """The same, unclamped, as the classifier of each repetition judges; or its own alone."""
    for judge, by_attack in enumerate(arrays.get("crossed", arrays["correct"][None, :, 0])):
        for attack, by_budget in zip(_attacks(arrays), by_attack, strict=True):
            for budget, right in zip(arrays["budgets"], by_budget, strict=True):
                row = {"attack": attack, "classifier": judge, "budget": float(budget)}
                yield row | {"samples": right}


def _attacks(arrays: Arrays) -> list[str]:
    """The names of attacks without the role of their data."""
    names, roles = map(str, arrays["attacks"]), tuple(f"_{role}" for role in ROLES)
    return [
        next((name.removesuffix(end) for end in roles if name.endswith(end)), name)
        for name in names
    ]
