"""What a run found, as the tables that claims.yaml reads, with what each image did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from advsparse.artifacts import read_arrays
from advsparse.certify._file import history
from advsparse.evaluate.dead_starts import why_silent
from papers.frecon2021.found import attacks, measured

FORMULATIONS = ("symmetric", "asymmetric", "ball", "fixed radius", "bounds", "relaxed", "fixed")
"""Short names of :data:`advsparse.certify.formulations.NAMES`, in their order."""
RIVALS = ("pgd", "deepfool", "cw", "adil", "sadil", "uap")
ROLES = ("cifar10", "imagenet")
NEAREST = {"linf": ("deepfool",), "l2": ("deepfool", "cw", "lbfgs")}
"""Attacks that claims compare with certificates, by norm."""
METRICS = ("fooling_rate", "rmse")
DISTANCES = ("l2", "linf", "l0")
"""Those of Carlini and Wagner's three attacks."""
MANNERS = {"trained": "adversarial training", "injected": "noise injection"}
"""The two manners of making adversarial images for a defence, by the names of networks."""
CLOSED = 2e-5
"""Relative gap below which bounds have met."""


def times(path: str | None, failed: str | None) -> pd.DataFrame:
    """Seconds of each formulation for each image on which all of the three slow ones closed."""
    if path is None:
        return _failed("formulations", "formulation", FORMULATIONS, failed)
    arrays, _ = read_arrays(path, stage="certificate")
    closed = arrays["closed"][:, :3].all(1)
    return pd.DataFrame(
        {"formulation": name, "samples": np.where(closed, spent, np.nan), "failed": None}
        for name, spent in zip(FORMULATIONS, arrays["spent"].T, strict=True)
    )


def distances(paths: Mapping[str, str | None], failed: Mapping[str, str]) -> pd.DataFrame:
    """Certified distances of both networks, and the two bounds beside the exact distance."""
    rows: list[dict[str, Any]] = []
    for of, name in (("standard", "linf"), ("robust", "robust")):
        path = paths.get(name)
        if path is None:
            rows.append({"of": of, "called": name, "failed": failed.get(name)})
            continue
        arrays, _ = read_arrays(path, stage="certificate")
        rows.append({"of": of, "samples": optimum(arrays), "failed": None})
    path = paths.get("formulations")
    if path is None:
        why = failed.get("formulations")
        gap = _failed("formulations", "of", ("exact", "relaxed", "fixed"), why)
        return pd.concat([pd.DataFrame(rows), gap], ignore_index=True)
    arrays, _ = read_arrays(path, stage="certificate")
    for of, place in (("exact", 4), ("relaxed", 5), ("fixed", 6)):
        found = arrays["lower" if of == "relaxed" else "upper"][:, place]
        rows.append({"of": of, "samples": np.where(found > 0, found, np.nan), "failed": None})
    return pd.DataFrame(rows)


def optimum(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """The distance of each image whose bounds have met; NaN of the others."""
    return np.where(met(arrays), arrays["upper"], np.nan)


def distance(path: str | None) -> np.ndarray | None:
    """:func:`optimum` of a certificate; none of one that failed."""
    return None if path is None else optimum(read_arrays(path, stage="certificate")[0])


def met(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Whether the bounds of each image have met: in l0, whose distances are whole numbers, when
    nothing lies between them."""
    lower, upper = arrays["lower"], arrays["upper"]
    near = upper - lower <= CLOSED * upper
    whole = (arrays["witness"] != arrays["x"]).sum(1) == upper
    return near | (whole & (upper - lower == 1)) | (upper == 0)


def certificates(path: str | None, failed: str | None) -> pd.DataFrame:
    """Seconds until the nearest image was found, and until that was proven, where it was."""
    if path is None:
        return _failed("linf", "until", ("found", "proven"), failed)
    arrays, _ = read_arrays(path, stage="certificate")
    closed, found, proven = met(arrays), [], []
    for row in range(len(closed)):
        seconds, lower, upper = history(arrays, row)
        found.append(seconds[upper <= upper[-1] * (1 + CLOSED)][0])
        proven.append(seconds[lower >= lower[-1]][0])
    return pd.DataFrame(
        {"until": until, "samples": np.where(closed, values, np.nan), "failed": None}
        for until, values in (("found", found), ("proven", proven))
    )


def nearest(paths: Mapping[str, str | None], failed: Mapping[str, str]) -> pd.DataFrame:
    """Distances of attacks and of certificates, of images whose distance is known."""
    rows: list[dict[str, Any]] = []
    for norm, named in NEAREST.items():
        certificate = paths.get(norm)
        exact = distance(certificate)
        if exact is not None:
            rows.append({"norm": norm, "attack": "exact", "called": norm, "samples": exact})
        else:
            rows.append({"norm": norm, "attack": "exact", "called": norm})
            rows[-1]["failed"] = failed.get(norm)
        for attack in named:
            name = f"{attack}_{norm}"
            row: dict[str, Any] = {"norm": norm, "attack": attack, "called": name}
            path = paths.get(name)
            if path is None:
                row["failed"] = failed.get(name)
            else:
                arrays, _ = read_arrays(path, stage="attack")
                known = arrays["success"] if exact is None else arrays["success"] & ~np.isnan(exact)
                row["samples"] = np.where(known, arrays["distance"], np.nan)
            rows.append(row)
    return pd.DataFrame(rows, columns=["norm", "attack", "called", "samples", "failed"])


def typology(path: str, told: Mapping[str, Any]) -> pd.DataFrame:
    """Whether each attack on LeNet fooled each image."""
    return pd.DataFrame(_rivals(path, "typology", told))


def rivals(paths: Mapping[str, str], told: Mapping[str, Any]) -> pd.DataFrame:
    """Whether each attack fooled each image, and the rMSE of those that it fooled."""
    rows = [
        row for role in ROLES if role in paths for row in _rivals(paths[role], role, told[role])
    ]
    return pd.DataFrame(rows)


def _rivals(path: str, role: str, told: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for attack in attacks(path, told["points"]):
        place = {"role": role, "attack": attack["name"].split("_")[0], "called": attack["id"]}
        for metric in METRICS:
            row = place | {"metric": metric, "failed": why_silent(attack)}
            if row["failed"] is None:
                row["samples"] = measured(attack["samples"], metric)
            yield row


def objectives(
    path: str, told: Mapping[str, Any], exact: Mapping[str, np.ndarray | None]
) -> pd.DataFrame:
    """What each attack of Carlini and Wagner found for each image, for each distance and objective:
    whether it fooled, how far off, and how many times the ``exact`` distance that is."""
    rows = []
    for attack in attacks(path, told["points"]):
        place = {"norm": attack["norm"], "objective": attack["objective"], "called": attack["id"]}
        place |= {"failed": attack["failed"]}
        known = exact[attack["norm"]]
        for metric in ("fooling_rate", "distance", "excess"):
            row: dict[str, Any] = place | {"metric": metric}
            if attack["failed"] is None and metric != "excess":
                row["samples"] = attack["samples"][metric]
            elif attack["failed"] is None:
                if known is None:
                    continue
                positive = np.where(known > 0, known, np.nan)
                row["samples"] = attack["samples"]["distance"] / positive
            rows.append(row)
    return pd.DataFrame(rows)


def defence(path: str, told: Mapping[str, Any]) -> pd.DataFrame:
    """Whether each attack fooled each image: PGD, and ADiL with several numbers of atoms, on LeNet
    as it is and as it was trained in each manner."""
    rows = []
    for attack in attacks(path, told["points"]):
        network = attack["name"].rpartition("_")[2]
        row: dict[str, Any] = {
            "network": network if network in MANNERS else "none",
            "attack": "adil" if attack["kind"] == "scada" else attack["kind"],
            "atoms": attack.get("atoms", 0),
            "called": attack["id"],
            "failed": why_silent(attack),
            "samples": None,
        }
        if row["failed"] is None:
            row["samples"] = attack["samples"]["fooling_rate"]
        rows.append(row)
    return pd.DataFrame(rows)


def printed(network: str, atoms: int) -> str:
    """The name of a number of the slides' table on the defence, whatever the manner."""
    return f"{'none' if network == 'none' else 'defended'}/{atoms}"


def _failed(called: str, column: str, values: tuple[str, ...], why: str | None) -> pd.DataFrame:
    """The rows of what is not there."""
    return pd.DataFrame({column: value, "called": called, "failed": why} for value in values)
