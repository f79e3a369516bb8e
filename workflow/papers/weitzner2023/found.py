"""What was found, as the tables that claims.yaml reads, and the accuracies of figure 7."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from advsparse.analyses._axes import CONDITIONS, GROUPS
from advsparse.artifacts import read_arrays
from advsparse.evaluate.statistics import proportion

ROLES = ("mnist", "cifar10", "tiny_imagenet")


def tables(inputs: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """The tables, by name, from the analyses that are there; ``data`` names the analysis."""
    arrays = {name: read_arrays(path, stage="analysis")[0] for name, path in inputs.items()}
    makers = {
        "errors": {"signals": _errors},
        "codes": {"signals": _codes},
        "changes": {"change": _changes},
        "densities": {f"correlation_{role}": _densities for role in ROLES},
        "conditions": {f"correlation_{role}": _conditions for role in ROLES},
        "accuracies": {f"budgets_{role}": _accuracies for role in ROLES},
    }
    return {
        table: pd.DataFrame(
            {**row, "data": name, "role": name.partition("_")[2]}
            for name, make in by.items()
            if name in arrays
            for row in make(arrays[name])
        )
        for table, by in makers.items()
    }


def _errors(arrays) -> Iterator[dict]:
    """The squared errors of the codes of signals, by coder and condition."""
    for coder, errors in zip(map(str, arrays["coders"]), arrays["errors"], strict=True):
        family, _, mode = coder.partition("_")
        weight = float(mode) if mode[0].isdigit() else np.nan
        for condition, parts in zip(CONDITIONS, errors, strict=True):
            row = {"coder": coder, "family": family, "weight": weight, "condition": condition}
            yield row | {"samples": parts.sum(0)}


def _codes(arrays) -> Iterator[dict]:
    """Of the codes of perturbations: energies, numbers of active values, sizes of these."""
    for name in ("pgd", "noise"):
        code = arrays[f"code_{name}"].astype(np.float64)
        found = {
            "energy of a code": (code**2).sum(1),
            "active values of a code": (code != 0).sum(1),
            "size of active values": np.abs(code[code != 0]),
        }
        for what, samples in found.items():
            yield {"perturbation": name, "what": what, "samples": samples}


def _changes(arrays) -> Iterator[dict]:
    """How much attacks, and noise of the same norm, change the codes of images."""
    kinds = {
        "mean": "mean change of an image's code",
        "excess": "mean change where the clean code is 0",
        "change": "change of the shown image's entries",
    }
    for attack in map(str, arrays["attacks"]):
        for by, key in (("attack", attack), ("noise", f"{attack}.noise")):
            for kind, what in kinds.items():
                row = {"attack": attack, "by": by, "what": what}
                yield row | {"samples": arrays[f"{kind}.{key}"]}


def _densities(arrays) -> Iterator[dict]:
    """Correlation densities, in units of the mean over atoms."""
    for dictionary in ("learned", "random"):
        for by in ("attack", "noise"):
            density = arrays[f"density.{dictionary}.{by}"].astype(np.float64)
            row = {"dictionary": dictionary, "by": by}
            yield row | {"samples": density * len(density)}


def _conditions(arrays) -> Iterator[dict]:
    """log10 of the condition numbers of sub-matrices of atoms."""
    tiny = np.finfo(np.float64).tiny
    for dictionary in ("learned", "random"):
        for group, spectra in zip(GROUPS, arrays[f"singular_values.{dictionary}"], strict=True):
            # Not of the quotient, which may be larger than any float.
            logs = np.log10(np.maximum(spectra.astype(np.float64), tiny))
            row = {"dictionary": dictionary, "group": group}
            yield row | {"samples": logs[:, 0] - logs[:, -1]}


def _accuracies(arrays) -> Iterator[dict]:
    """Accuracies under universal attacks, by attack, budget and whether images are clamped.

    Attacks are called what they are without the role of their data: ``da`` for ``da_mnist``; clean
    images have ``none`` and budget 0.
    """
    clean = proportion(arrays["clean"])._asdict()
    yield {"attack": "none", "clamped": False, "what": "accuracy", "budget": 0.0} | clean
    roles = tuple(f"_{role}" for role in ROLES)
    for name, correct in zip(map(str, arrays["attacks"]), arrays["correct"], strict=True):
        attack = next((name.removesuffix(end) for end in roles if name.endswith(end)), name)
        for clamped, by_budget in zip((False, True), correct, strict=True):
            row = {"attack": attack, "clamped": clamped, "what": "accuracy"}
            for budget, right in zip(arrays["budgets"], by_budget, strict=True):
                yield row | {"budget": float(budget)} | proportion(right)._asdict()
