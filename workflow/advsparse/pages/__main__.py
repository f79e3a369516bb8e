"""``python -m advsparse.pages demo``: write the pages from what there is of a preset's results.

A run writes them at its end; this is for one that has not come to it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from advsparse.artifacts.recorded import recorded
from advsparse.config.loading import load, presets
from advsparse.config.plan import Plan
from advsparse.cost import cost
from advsparse.errors import ArtifactError, ConfigError
from advsparse.pages.contents import seen_in
from advsparse.pages.writing import write_pages
from advsparse.provenance import record
from advsparse.stages._wiring import Wiring

WORKFLOW = Path(__file__).parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m advsparse.pages", description=__doc__)
    parser.add_argument("preset", choices=presets(), help="whose results are shown")
    preset = parser.parse_args().preset
    try:
        plan = Plan(load([Path("config.yaml")], {"preset": preset}))
    except ConfigError as error:
        sys.exit(f"the configuration can't be used:\n{error}")
    results = Path(plan.results)
    if not results.is_dir():
        sys.exit(f"{results}: nothing was built of this preset yet")
    wiring = Wiring(plan, WORKFLOW, sys.exit, lambda: True)
    told = wiring.shown()
    jobs: dict[str, list[str]] = {}
    for job in told["jobs"]:
        jobs.setdefault(job["stage"], []).append(job["name"])
    rows = [job["file"] for job in told["jobs"] if job["stage"] == "experiment"]
    spent = cost(results / "benchmarks", jobs)
    run = record(plan.described(), spent, filter(None, (_made(results / file) for file in rows)))
    write_pages(results, told, run, seen_in(wiring.claims()))
    print(f"written: {results / 'index.html'}")


def _made(path: Path):
    try:
        return recorded(path)
    except ArtifactError:
        return None


if __name__ == "__main__":
    main()
