"""Memory and time that jobs ask a cluster for, from what they took before.

``python -m advsparse.requests mini`` turns the ``benchmark:`` files and logs of a preset's run into
``workflow/requests.yaml``, from which the rules read. Keys are ``<paper>/<stage>/<name>`` or
``datasets/<name>``; points of a grid, and what is learned for them, share their attack's name.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from advsparse.config.loading import presets
from advsparse.cost import peak, seconds
from advsparse.stages._places import without_repetition
from advsparse.stages._registry import stages
from advsparse.stages._stage import Stage

FILE = Path(__file__).parents[1] / "requests.yaml"
TIME_MARGIN, MEMORY_MARGIN = 2.0, 1.5
"""What is asked for, as a multiple of what was measured."""

_HEADER = """\
# What jobs ask a cluster for, by preset, device and job: memory in MB, runtime in minutes.
# Written from measured runs by: python -m advsparse.requests <preset>
# and of GPUs, from what they were estimated to take, by: make gpu-check
"""

Needs = dict[str, dict[str, int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("preset", choices=presets(), help="whose finished run is measured")
    preset = parser.parse_args().preset
    results = Path("results") / preset
    try:
        record = json.loads((results / "provenance.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        sys.exit(f"{error.filename} is missing: run snakemake --config preset={preset} first")
    devices = record["machine"]["devices"]
    if len(devices) != 1:
        sys.exit(f"{results}: jobs ran on {' and '.join(devices)}, and none can be told apart")
    found = measured(results / "benchmarks")
    write(preset, devices[0], beside(read(preset, devices[0]), found))
    print(f"written: {FILE.name}, {len(found)} kinds of jobs of {preset} on {devices[0]}")


def read(preset: str, device: str) -> Needs:
    """What was measured of a preset on a device; nothing where it never was."""
    return _read(FILE).get(preset, {}).get(device, {})


def beside(known: Needs, found: Needs) -> Needs:
    """What was found, and what is known of papers that the run has not built: a long run can go on
    in parts, on one machine after another."""
    shared = {stage.folder for stage in stages().values() if stage.shared}
    papers = {name.split("/")[0] for name in found} - shared
    others = {name: of for name, of in known.items() if name.split("/")[0] not in papers}
    return others | found


def write(preset: str, device: str, needs: Needs, file: Path | None = None) -> None:
    """Write what to ask for of a preset on a device, in the place of what the file said of it.

    file: another one than that which rules read.
    """
    file = file or FILE
    everything = _read(file)
    everything.setdefault(preset, {})[device] = needs
    file.write_text(_HEADER + yaml.safe_dump(everything), encoding="utf-8")


def key(parts: Sequence[str]) -> str:
    """The key of a job, from the place of its benchmark file below ``benchmarks``."""
    shared = any(stage.shared and stage.folder == parts[0] for stage in stages().values())
    parts, named = without_repetition(parts), 2 if shared else 3
    return re.sub(r"-[0-9a-f]{16}$", "", "/".join(parts[:named]))


def measured(benchmarks: Path) -> Needs:
    """What to ask for, by key: the most that any of its jobs took, with a margin."""
    most: dict[str, tuple[float, float]] = {}
    for path in sorted(benchmarks.rglob("*.tsv")):
        parts = path.relative_to(benchmarks).with_suffix("").parts
        if any(_made_by(stage, parts) for stage in stages().values() if stage.light):
            continue  # it asks for the same everywhere
        name = key(parts)
        longest, largest = most.get(name, (0.0, 0.0))
        most[name] = max(seconds(path), longest), max(peak(benchmarks, path), largest)
    return {name: with_margin(*needs) for name, needs in most.items()}


def _made_by(stage: Stage, parts: Sequence[str]) -> bool:
    """Whether a benchmark file is one of a stage's jobs."""
    parts = without_repetition(parts)
    alike = parts[-1].endswith(f"_{stage.name}") == bool(stage.accompanies)
    return stage.folder == parts[0 if stage.shared else 1] and alike


def with_margin(longest: float, largest: float) -> dict[str, int]:
    """What to ask for, of what was measured: in steps of 500 MB and 5 minutes.

    longest: in seconds; largest: in MiB. Never less than 2000 MB and 10 minutes.
    """
    memory = math.ceil(MEMORY_MARGIN * largest * 2**20 / 1e6 / 500)
    minutes = math.ceil(TIME_MARGIN * longest / 60 / 5)
    return {"mem_mb": 500 * max(4, memory), "runtime": 5 * max(2, minutes)}


def _read(file: Path) -> dict[str, dict[str, Needs]]:
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}


if __name__ == "__main__":
    main()
