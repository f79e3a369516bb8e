"""docs/benchmarks.md, from what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.attacks import OURS
from benchmarks.equal_cost import report
from benchmarks.scada import TITLE as SCADA

ROOT = Path(__file__).parents[1]
DATA = ROOT / "docs" / "benchmarks.json"
PAGE = ROOT / "docs" / "benchmarks.md"

_INTRODUCTION = """\
<!-- Written by: make bench -->

# Benchmarks

Each attack of this library beside the published ones: one process, one network, one set of images,
the same settings. The network is a LeNet (the one of the oracle tests, trained on `photos`, patches
of photographs of 3x32x32 pixels), the images are 256 test patches that it classifies correctly, on
a CPU. As in the pipeline's jobs, the C library keeps freed memory, which is to everyone's gain.
Contenders take turns; a time is the median of the runs. `make bench` measures everything
anew, `make bench WORDS=pgd` only what has pgd in its title.

*Robust accuracy* is the share of the images that are still classified correctly, *median norm* that
of the perturbations that fooled. The *ratio* is the time of advsparse to that of the fastest peer
of equal or better strength: a robust accuracy at most half a point above the best peer's counts as
equal, and so does a median norm of at most 1.01 times.
"""

_CODERS = """\
## Sparse coders

The coders of this library beside scikit-learn's, on the synthetic problem of weitzner2023 and on
patches of photographs as mitro2018 codes them, in float64. The goal counts as reached only where no
signal has a worse residual or objective than any peer's, to a millionth; beside sporco, whose
convolutional codes are in float32, to one in ten thousand.
"""

_CERTIFICATES = """\
## Certificates

The exact distance to the nearest adversarial image, by bounds, beside mixed-integer programs that
HiGHS solves, on small networks trained on digits; and the checking of what was proven. Distances
are proven to a relative gap of 1e-5: the goal counts as reached where none is larger by twice that.
"""

_SUMMARY = ["attack", "advsparse, s", "fastest peer, s", "ratio", "to reach", "reached"]


def render(data: dict[str, Any]) -> str:
    """The page as Markdown."""
    coders = [one for one in data.values() if one.get("section") == "coders"]
    alone = [one for one in data.values() if one.get("section") == "alone"]
    attacks = [one for title, one in data.items() if title != SCADA and "section" not in one]
    parts = [_INTRODUCTION]
    if attacks:
        parts += ["## Ratios\n", _table([_summary(one) for one in attacks], _SUMMARY)]
        parts += [_attack(one) for one in attacks]
    if SCADA in data:
        parts.append(_learning(data[SCADA]))
    if coders:
        parts += [_CODERS, _table([_summary(one) for one in coders], ["task", *_SUMMARY[1:]])]
        parts += [_coder(one) for one in coders]
    certificates = [one for one in data.values() if one.get("section") == "certificates"]
    if certificates:
        columns = ["task", "advsparse, s", "other, s", *_SUMMARY[3:]]
        parts += [_CERTIFICATES, _table([_summary(one) for one in certificates], columns)]
        parts += [_coder(one) for one in certificates]
    parts += [_equal_cost(one) for one in data.values() if one.get("section") == "equal_cost"]
    parts += [_defences(one) for one in data.values() if one.get("section") == "defences"]
    parts += [_alone(one) for one in alone]
    return "\n".join(parts)


def _mean(quality: str) -> str:
    return quality if quality.startswith("mean ") else f"mean {quality}"


def _table(rows: list, columns: list[str]) -> str:
    return (
        pd.DataFrame(rows, columns=columns).to_markdown(index=False, disable_numparse=True) + "\n"
    )


def _summary(one: dict[str, Any]) -> list[str]:
    seconds = {contender["library"]: contender["seconds"] for contender in one["contenders"]}
    return [
        one["title"],
        f"{seconds[OURS]:.3g}",
        f"{one['peer']} {seconds[one['peer']]:.3g}",
        f"{one['ratio']:.2f}",
        f"{one['goal']:g}",
        "yes" if one["ratio"] <= one["goal"] and one["as_strong"] else "no",
    ]


def _attack(one: dict[str, Any]) -> str:
    rows = [
        [
            contender["library"],
            f"{contender['seconds']:.3g}",
            contender["runs"],
            f"{contender['robust']:.4f}",
            f"{contender['median_norm']:.4g}",
            contender["note"],
        ]
        for contender in one["contenders"]
    ]
    columns = ["library", "seconds", "runs", "robust accuracy", f"median {one['norm']}", ""]
    return _section("##", one["title"], f"{one['settings']}.", _table(rows, columns), one)


def _coder(one: dict[str, Any]) -> str:
    rows = [
        [
            contender["library"],
            f"{contender['seconds']:.3g}",
            contender["runs"],
            f"{contender['mean']:.8g}",
        ]
        for contender in one["contenders"]
    ]
    table = _table(rows, ["library", "seconds", "runs", _mean(one["quality"])])
    excess = (
        f"Over all problems, the largest relative excess of the {one['quality']} over the best "
        f"peer's: {one['excess']:.1e}.\n"
    )
    return _section("###", one["title"], f"{one['settings']}.", f"{table}\n{excess}", one)


def _learning(one: dict[str, Any]) -> str:
    rows = [
        [name, f"{paper:.4g}", f"{here:.4g}", f"{paper / here:.1f}"]
        for name, paper, here in one["rows"]
    ]
    table = _table(rows, ["", "paper, s", "here, s", "times faster"])
    return _section("##", SCADA, one["settings"], table, one)


def _alone(one: dict[str, Any]) -> str:
    table = _table(one["rows"], one["columns"])
    return _section("##", one["title"], one["settings"], table, one)


def _defences(one: dict[str, Any]) -> str:
    parts = [_table(one["rows"], one["columns"]), one["beside"]]
    table = "\n".join([*parts, _table(one["peers"], one["peer_columns"])])
    return _section("##", one["title"], one["settings"].rstrip(), table, one)


def _equal_cost(one: dict[str, Any]) -> str:
    return "\n".join([f"## {one['title']}\n", report.rendered(one, _table), _origin(one)])


def _section(level: str, title: str, settings: str, found: str, one: dict[str, Any]) -> str:
    return "\n".join([f"{level} {title}\n", f"{settings}\n", found, _origin(one)])


def _origin(one: dict[str, Any]) -> str:
    origin = one["origin"]
    packages = ", ".join(f"{name} {version}" for name, version in origin["versions"].items())
    return (
        f"Measured on {origin['measured']} at commit {origin['commit'][:10]}: {origin['machine']}, "
        f"{origin['threads']} thread{'s' * (origin['threads'] > 1)}; {packages}.\n"
    )
