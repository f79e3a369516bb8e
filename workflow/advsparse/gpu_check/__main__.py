"""``make gpu-check``: what a GPU machine can do, within ten minutes, before anything is run on it.

Ends with 0 if all agrees and the tests pass, with 1 if not, with 2 where there is no GPU.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from advsparse import provenance, requests
from advsparse.config.loading import WORKFLOW, load, presets
from advsparse.config.plan import Plan
from advsparse.errors import ConfigError, UserError
from advsparse.estimate.__main__ import COUNTED, chosen
from advsparse.estimate.asked import asked
from advsparse.estimate.passes import Counter, Once
from advsparse.estimate.report import Measured, cost, kinds_of, lines
from advsparse.estimate.work import Counting, Work
from advsparse.gpu_check.agreement import Compared, agreement, rows
from advsparse.gpu_check.page import write_page
from advsparse.gpu_check.tests import run_tests
from advsparse.gpu_check.throughput import Measuring
from advsparse.gpu_check.whole import wholes
from advsparse.jobs import fix_rounding
from advsparse.lazy import torch
from advsparse.stages._places import Places

OUT = Path("results/gpu-check")
NO_GPU = 2
"""The exit status where there is no GPU."""
WAIT = 40.0
"""Seconds that are waited for the last passes to be counted."""
TESTS, AGREEMENT = 0.2, 0.5
"""By which shares of the time the tests and the comparison are over, if they take that long."""


def main() -> None:
    given = _arguments()
    if given.device == "cuda" and not torch.cuda.is_available():
        print("gpu-check: torch finds no GPU here; --device cpu checks the check", file=sys.stderr)
        sys.exit(NO_GPU)
    try:
        told = check(given)
    except (ConfigError, UserError) as error:
        sys.exit(str(error))
    agrees = (
        all(row["agrees"] for row in told["agreement"]) and told["tests"]["passed"] is not False
    )
    sys.exit(0 if agrees else 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m advsparse.gpu_check", description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--out", type=Path, default=OUT, help="where results go: %(default)s")
    parser.add_argument("--minutes", type=float, default=9.0, help="in all, about: %(default)s")
    parser.add_argument(
        "--preset", choices=presets(), default="paper", help="whose work is measured"
    )
    parser.add_argument("--papers", nargs="+", metavar="KEY", help="of these alone")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=("tests", "agreement", "throughput"),
        default=["tests", "agreement", "throughput"],
        help="a part of the check",
    )
    return parser.parse_args()


def check(given: argparse.Namespace) -> dict[str, Any]:
    """Do what was asked for, and write it; returns what the page tells."""
    began = time.monotonic()
    whole = 60 * given.minutes
    plan = Plan(load([Path("config.yaml")], {"preset": given.preset}))
    prepare(given.device, plan.configuration.threads)
    papers = chosen(plan, given.papers)
    tests: dict[str, Any] = {"passed": None, "said": "not asked for"}
    if "tests" in given.only:
        _say("tests")
        tests = run_tests(WORKFLOW.parent, given.device, TESTS * whole)
    counting = _count(given, papers) if "throughput" in given.only else None
    compared: list[Compared] = []
    left: list[str] = []
    if "agreement" in given.only:
        small = Plan(load([Path("config.yaml")], {"preset": "test"}))
        with tempfile.TemporaryDirectory() as folder:
            compared, left = agreement(
                small,
                Path(folder),
                given.device,
                until=lambda: time.monotonic() - began > AGREEMENT * whole,
                said=lambda name: _say(f"comparing {name}"),
            )
    prepare(given.device, plan.configuration.threads)
    measuring = Measuring(given.device, began + whole, lambda name: _say(f"measuring {name}"))
    every: list[Work] = []
    if counting is not None:
        if given.device == "cpu":
            counting.wait()
            measuring.until = max(measuring.until, time.monotonic() + (1 - AGREEMENT) * whole)
        kinds = kinds_of(Counting(plan, papers, Once()).all())
        measuring.all(kinds, wholes(plan, papers))
        every = _counted(counting, plan, papers, began + whole + WAIT - time.monotonic())
    _say("")
    told = {
        "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": provenance.commit(),
        "machine": provenance.machine(),
        "device": _device(given.device),
        "preset": given.preset,
        "papers": papers,
        "tests": tests,
        "agreement": rows(compared),
        "not_compared": left,
        "measured": measuring.found.measured,
        "attacks": measuring.found.attacks,
        "skipped": measuring.found.skipped,
        "seconds": time.monotonic() - began,
        "stopped": "",
        "estimate": [],
    }
    write(given, told, plan, every)
    return told


def _count(given: argparse.Namespace, papers: list[str]) -> subprocess.Popen[bytes]:
    """Count passes of attacks in the meantime, which takes a core for minutes, and no GPU."""
    command = [sys.executable, "-m", "advsparse.estimate", given.preset, "--papers", *papers]
    path = os.pathsep.join(filter(None, (str(WORKFLOW), os.environ.get("PYTHONPATH"))))
    alone = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=nowhere, stderr=nowhere, env=alone)


def _counted(
    counting: subprocess.Popen[bytes], plan: Plan, papers: list[str], seconds: float
) -> list[Work]:
    """The work that was counted; none where that takes longer than so many seconds."""
    _say("counting passes of attacks")
    try:
        counting.wait(max(1.0, seconds))
    except subprocess.TimeoutExpired:
        counting.kill()
        return []
    return Counting(plan, papers, Counter(COUNTED)).all(_say)


def write(given: argparse.Namespace, told: dict[str, Any], plan: Plan, every: list[Work]) -> None:
    """Write what was found: throughput.json, requests, the estimate, the page."""
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / "throughput.json"
    path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    if every:
        measured = Measured.read(path)
        told["estimate"] = [*lines(given.preset, every, measured)]
        costs = [cost(work, measured) for work in every]
        needs = asked(costs, Places(plan.results), measured.host_mib)
        requests.write(given.preset, given.device, needs, given.out / "requests.yaml")
        if given.device == "cuda":
            requests.write(given.preset, given.device, needs)
            print(f"written: {requests.FILE}, {len(needs)} kinds of jobs of {given.preset} on cuda")
    elif told["measured"]:
        said = f"python -m advsparse.estimate {given.preset} --measured {path}"
        told["estimate"] = [f"passes of attacks are not counted yet: {said}"]
    page = write_page(given.out, told)
    for line in _summary(told):
        print(line)
    print(f"written: {page}, {path}")


def _summary(told: dict[str, Any]) -> list[str]:
    rows = told["agreement"]
    agree = sum(row["agrees"] for row in rows)
    found = [f"tests: {told['tests']['said']}"]
    found.append(f"agreement: {agree} of {len(rows)} numbers within their tolerances")
    found += [
        f"  differs: {row['stage']} {row['kind']}, {row['measure']}: {row['found']} > "
        f"{row['tolerance']} {row['said']}".rstrip()
        for row in rows
        if not row["agrees"]
    ]
    done, skipped = len(told["measured"]), len(told["skipped"])
    found.append(f"measured: {done} kinds of work, {skipped} left out: see the page")
    return found


def prepare(device: str, threads: int) -> None:
    """What decides rounding, and speed on a CPU, as jobs have it."""
    fix_rounding(threads, "default" if device == "cpu" else "error")


def _device(device: str) -> dict[str, Any]:
    about = {"kind": device, "torch": torch.__version__, "memory_mib": 0.0}
    if device == "cpu":
        return about | {"name": f"CPU, {torch.get_num_threads()} threads"}
    card = torch.cuda.get_device_properties(0)
    return about | {"name": card.name, "memory_mib": card.total_memory / 2**20}


def _say(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line[:100]}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
