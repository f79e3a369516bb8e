"""The record of a run: what decided it, where it ran, what each rule cost."""

from __future__ import annotations

import csv
import datetime
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_PACKAGES = (
    "snakemake",
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "scikit-learn",
    "scikit-image",
    "pandas",
    "matplotlib",
    "pydantic",
    "safetensors",
)


def record(
    configuration: Mapping[str, Any], benchmarks: Path, devices: Iterable[str]
) -> dict[str, Any]:
    """Everything there is to say of a run with this merged ``configuration``.

    devices: where the evaluated networks ran, from the metadata of the rows.
    """
    return {
        "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine() | {"devices": sorted(set(devices))},
        "versions": versions(),
        "cost": cost(benchmarks),
        "configuration": dict(configuration),
    }


def commit() -> dict[str, Any]:
    """The commit of the tree that this code stands in, and whether its files differ from it."""
    try:
        head = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain")
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "unknown: not a git checkout", "clean": None}
    return {"commit": head, "clean": not changed}


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(Path(__file__).parent), *arguments],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def machine() -> dict[str, Any]:
    """Processor, cores, memory and GPUs of the machine that this process runs on."""
    import psutil

    gpus = Path("/proc/driver/nvidia/gpus")
    models = []
    for information in sorted(gpus.glob("*/information")):
        lines = information.read_text().splitlines()
        models += [line.partition(":")[2].strip() for line in lines if line.startswith("Model")]
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": models,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def cost(benchmarks: Path) -> list[dict[str, Any]]:
    """Jobs, seconds and peak memory by stage, from Snakemake's benchmark files.

    A stage is the folder of a file: frecon2021/attacks. Files of jobs that are no longer part of
    the workflow count too, as long as they lie there.
    """
    stages: dict[str, list[dict[str, str]]] = {}
    for path in sorted(benchmarks.rglob("*.tsv")):
        parts = path.relative_to(benchmarks).parts[:-1]
        with path.open() as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        stages.setdefault("/".join(parts[:2]), []).extend(rows)
    return [
        {
            "stage": stage,
            "jobs": len(rows),
            "seconds": round(sum(_number(row["s"]) for row in rows), 1),
            "longest_seconds": round(max(_number(row["s"]) for row in rows), 1),
            "peak_mib": round(max(_number(row["max_rss"]) for row in rows)),
        }
        for stage, rows in stages.items()
        if rows
    ]


def _number(text: str) -> float:
    """A number of a benchmark file, which says NA or - of jobs too short to be measured."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def page(entries: Mapping[str, Any]) -> str:
    """The record as an HTML page."""
    import yaml
    from jinja2 import Environment

    template = Environment(autoescape=True).from_string(_PAGE)
    return template.render(
        entries, yaml=yaml.safe_dump(entries["configuration"], sort_keys=False, width=100)
    )


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Provenance</title><style>
body { font: 14px/1.45 system-ui, sans-serif; margin: 1.5em; color: #222 }
table { border-collapse: collapse }
th, td { padding: .25em .8em; border-bottom: 1px solid #ddd; text-align: left }
td.number, th.number { text-align: right }
pre { background: #f6f6f6; padding: 1em; overflow: auto }
</style></head><body>
<h1>Provenance</h1>
<table>
<tr><th>written</th><td>{{ written }}</td></tr>
<tr><th>commit</th><td>{{ commit.commit }}
{%- if commit.clean is false %}, with uncommitted changes{% endif %}</td></tr>
{%- for name, value in machine.items() %}
<tr><th>{{ name }}</th><td>{{ (value | join(", ") or "none") if value is sequence and value is not
string else value }}</td></tr>
{%- endfor %}
{%- for name, value in versions.items() %}
<tr><th>{{ name }}</th><td>{{ value }}</td></tr>
{%- endfor %}
</table>
<h2>Time and memory</h2>
<p>Measured by Snakemake for each job that ever ran in this folder, starting Python included.</p>
<table>
<tr><th>stage</th><th class="number">jobs</th><th class="number">seconds</th>
<th class="number">longest job, seconds</th><th class="number">peak memory, MiB</th></tr>
{%- for row in cost %}
<tr><td>{{ row.stage }}</td><td class="number">{{ row.jobs }}</td>
<td class="number">{{ row.seconds }}</td><td class="number">{{ row.longest_seconds }}</td>
<td class="number">{{ row.peak_mib }}</td></tr>
{%- endfor %}
</table>
<h2>Configuration</h2>
<p>After merging the paper's settings, the preset and config.yaml, with all defaults.</p>
<pre>{{ yaml }}</pre>
</body></html>
"""
