"""What ``make bench`` keeps: the attacks run in a process of their own, and what is made of it."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from advsparse.provenance import commit
from benchmarks.equal_cost import figure
from benchmarks.equal_cost.measuring import NORMS, contenders
from benchmarks.equal_cost.packages import PACKAGES
from benchmarks.equal_cost.report import TITLE
from benchmarks.equal_cost.summary import entries

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".attackbench"
"""Of the published libraries."""

SETTINGS = """\
Minimum-norm attacks of this library and published ones on the same {images} images for each of
{seeds} seeds, which choose the images, too. One wrapper around the network counts for all of them:
each forward and each backward pass of an image is 1, a Jacobian of 10 classes 11, and at 100 or
1000 an image is asked about no more. What counts is the nearest adversarial image that the network
was asked about, whatever an attack returns. *LO* is local optimality (Cinà et al. 2025,
AttackBench): (eps0 - A) / (eps0 - A\\*), with A the area under the robust accuracy as a function of
the distance, and A\\* that of the nearest image of all attacks here at both budgets; means over the
seeds, ± half the range where that is {spread} or more. *Median* is that of the distances, with
failures as infinite; *s* are seconds of CPU for the {images} images on one thread of a machine that
others use, too, without what counting takes. Ours go by their limit `passes`; published attacks get
as many steps as fit. `make bench WORDS=equal MNIST=/path/to/mnist.npz` measures it, in
{minutes:.0f} minutes of CPU ({trained:.1f} to train a network); without the path, scikit-learn's
digits stand in for MNIST. `make attackbench` shows what AttackBench itself finds of some of ours.

The goal: in every norm, and with 100 and 1000 passes, one of ours has at least the LO of the best
published attack less 0.005; and `nearest` has 0.99 at 1000.
"""


def measure(mnist: Path | None, norms: Sequence[str], before: dict[str, Any]) -> dict[str, Any]:
    """The numbers of the page; the figures are written.

    norms: what is measured alone, in the place of what stands for them ``before``; none means all.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "runs.jsonl")
        places = [FOLDER, ROOT, ROOT / "workflow"]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, places))}
        options = [] if mnist is None else ["--mnist", str(mnist.resolve())]
        options += ["--norms", *norms] if norms else []
        command = [sys.executable, "-m", "benchmarks.equal_cost", str(path), *options]
        subprocess.run(command, check=True, env=environment, cwd=ROOT)
        now = kept(path)
    return _beside(before, now, norms) if norms and before else now


def _beside(before: dict[str, Any], now: dict[str, Any], norms: Sequence[str]) -> dict[str, Any]:
    """What was measured of some norms alone, in the place of what stood for them."""
    when = {"measured": datetime.date.today().isoformat(), "commit": commit()["commit"]}
    others = [one for one in before["entries"] if one["norm"] not in norms]
    return before | {
        "entries": [*others, *now["entries"]],
        "said": now["said"],
        "figures": before["figures"] | now["figures"],
        "alone": before.get("alone", {}) | dict.fromkeys(norms, when),
    }


def kept(path: Path) -> dict[str, Any]:
    """The same from the lines of a run."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    runs = [line for line in lines if "distances" in line]
    found = entries(runs)
    figures = {}
    for norm in NORMS:
        if any(run["norm"] == norm for run in runs):
            figures[norm] = f"robustness_curves_{norm}.svg"
            figure.drawn(runs, found, norm, ROOT / "docs" / figures[norm])
    times = {name: line[name] for line in lines for name in ("trained", "cpu") if name in line}
    return {
        "section": "equal_cost",
        "title": TITLE,
        "settings": SETTINGS.format(
            images=len(runs[0]["distances"]),
            seeds=len({run["seed"] for run in runs}),
            spread=0.005,
            minutes=times["cpu"] / 60,
            trained=times["trained"] / 60,
        ),
        "networks": {line["network"]: line["described"] for line in lines if "described" in line},
        "entries": found,
        "said": _said(),
        "figures": figures,
        "origin": {"threads": 1, "versions": _versions()},
    }


def _said() -> list[list[str]]:
    """How attacks are called, of those that need words."""
    every = {(one.library, one.name): one for norm in NORMS for one in contenders(norm)}
    return [
        [one.name, one.library, ", ".join(one.norms), one.said]
        for one in every.values()
        if one.said
    ]


def _versions() -> dict[str, str]:
    """Of the published libraries in their folder, and of torch."""
    found = importlib.metadata.distributions(path=[str(FOLDER)])
    versions = {one.metadata["Name"]: one.version for one in found}
    used = {name: versions[name] for name in PACKAGES if name in versions}
    return {"torch": importlib.metadata.version("torch")} | used
