"""``python -m advsparse.estimate paper``: GPU hours of a preset's papers, before anything runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from advsparse import requests
from advsparse.config.loading import load, presets
from advsparse.config.plan import Plan
from advsparse.errors import ConfigError, UserError
from advsparse.estimate import beside
from advsparse.estimate.asked import asked
from advsparse.estimate.passes import Counter
from advsparse.estimate.report import Measured, cost, lines
from advsparse.estimate.work import Counting
from advsparse.stages._places import Places

COUNTED = Path("results/estimate/passes.json")
"""Passes that were counted: the first estimate of a preset takes minutes, later ones seconds."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m advsparse.estimate", description=__doc__)
    parser.add_argument("preset", choices=presets(), help="whose jobs are estimated")
    parser.add_argument("--measured", type=Path, help="what make gpu-check wrote: throughput.json")
    parser.add_argument(
        "--papers",
        nargs="+",
        metavar="KEY",
        help="of these alone; else of those that claim anything",
    )
    parser.add_argument("--beside", action="store_true", help="compare with a finished run's logs")
    parser.add_argument(
        "--requests", type=Path, metavar="FILE", help="write what jobs ask a cluster for"
    )
    given = parser.parse_args()
    if given.measured is None and (given.beside or given.requests):
        parser.error("--beside and --requests tell of times: they need --measured")
    try:
        measured = Measured.read(given.measured) if given.measured else None
        plan = Plan(load([Path("config.yaml")], {"preset": given.preset}))
        papers = chosen(plan, given.papers)
        every = Counting(plan, papers, Counter(COUNTED)).all(_said)
    except (ConfigError, UserError) as error:
        sys.exit(str(error))
    finally:
        _said("")
    for line in lines(given.preset, every, measured):
        print(line)
    if measured is None:
        return
    costs, places = [cost(work, measured) for work in every], Places(plan.results)
    if given.beside:
        for line in beside.lines(beside.taken(costs, places)):
            print(line)
    if given.requests:
        needs = asked(costs, places, measured.host_mib)
        requests.write(given.preset, measured.kind, needs, given.requests)
        print(f"written: {given.requests}, {len(needs)} kinds of jobs on {measured.kind}")


def chosen(plan: Plan, papers: list[str] | None) -> list[str]:
    """The papers that are estimated: those that were named, or all that claim anything."""
    known = plan.configuration.papers
    if unknown := set(papers or ()) - set(known):
        raise UserError(f"no paper {min(unknown)!r} among those of the configuration: {known}")
    return papers or [key for key in known if "claims" in plan.paper(key).tables]


def _said(line: str) -> None:
    """On a terminal, what is being counted."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
