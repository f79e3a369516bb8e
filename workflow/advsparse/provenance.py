"""The record of a run: what decided it, where it ran, what each rule cost."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from advsparse.artifacts import Metadata

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

_REPOSITORY = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
)


def record(
    configuration: Mapping[str, Any], cost: list[dict[str, Any]], evaluated: Iterable[Metadata]
) -> dict[str, Any]:
    """Everything there is to say of a run with this merged ``configuration``.

    cost: what each rule took; evaluated: the metadata of the rows, which say where networks ran.
    """
    return {
        "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "preset": configuration["preset"],
        "seed": configuration["seed"],
        "commit": commit(),
        "machine": machine() | _devices(evaluated),
        "versions": versions(),
        "cost": cost,
        "configuration": dict(configuration),
    }


def _devices(evaluated: Iterable[Metadata]) -> dict[str, list[str]]:
    """Kinds of devices that networks were evaluated on, and names of GPUs among them."""
    found = list(evaluated)
    gpus = {metadata.extra["gpu"] for metadata in found if "gpu" in metadata.extra}
    return {"devices": sorted({metadata.device for metadata in found}), "used_gpus": sorted(gpus)}


def commit(file: Path = Path(__file__)) -> dict[str, Any]:
    """The commit of the checkout that a file of this code belongs to, and whether it differs.

    A repository that the code only lies in, without being tracked there, says nothing of it.
    Modules that are not tracked, or even ignored, are a change: they may be plugins.
    """
    folder, project = file.parent, file.parents[2]
    try:
        _git(folder, "ls-files", "--error-unmatch", "--", file.name)
        head = _git(folder, "rev-parse", "HEAD")
        status = ("status", "--porcelain", "--untracked-files=normal", "--", str(project))
        changed = _git(folder, *status)
        tracked = _git(file.parents[1], "ls-files", "-z", "--", ".").split("\0")
    except subprocess.CalledProcessError as error:
        refused = "dubious ownership" in error.stderr
        why = "git refuses this checkout, whose owner is another user (safe.directory)"
        return {"commit": f"unknown: {why if refused else 'not a git checkout'}", "clean": None}
    except OSError:
        return {"commit": "unknown: there is no git to ask", "clean": None}
    modules = {path.relative_to(file.parents[1]) for path in file.parents[1].rglob("*.py")}
    return {"commit": head, "clean": not changed and modules <= {*map(Path, tracked)}}


def _git(folder: Path, *arguments: str) -> str:
    # Variables that name a repository, as in hooks of git, speak of another one than the code's.
    environment = {name: value for name, value in os.environ.items() if name not in _REPOSITORY}
    return subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=environment | {"LC_ALL": "C"},  # messages are looked into
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


def page(entries: Mapping[str, Any]) -> str:
    """The record as an HTML page."""
    import yaml
    from jinja2 import Environment

    environment = Environment(autoescape=True)
    environment.filters["duration"] = duration
    return environment.from_string(_PAGE).render(
        entries,
        yaml=yaml.safe_dump(
            entries["configuration"], sort_keys=False, width=100, allow_unicode=True
        ),
    )


def duration(seconds: float) -> str:
    """A time for readers: ``4.2 s``, ``3 min 12 s``, ``2 h 05 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Provenance</title><style>
body { font: 14px/1.45 system-ui, sans-serif; margin: 1.5em; color: #222 }
table { border-collapse: collapse }
th, td { padding: .25em .8em; border-bottom: 1px solid #ddd; text-align: left }
td.number, th.number { text-align: right; white-space: nowrap }
td.bar { width: 12em }
td.bar div { background: #4878a8; height: .8em; min-width: 1px }
pre { background: #f6f6f6; padding: 1em; overflow: auto }
</style></head><body>
<h1>Provenance</h1>
<table>
<tr><th>written</th><td>{{ written }}</td></tr>
<tr><th>preset</th><td>{{ preset }}</td></tr>
<tr><th>seed</th><td>{{ seed }}, from which each job derives its own</td></tr>
<tr><th>commit</th><td>{{ commit.commit }}
{%- if commit.clean is false %}, with uncommitted changes{% endif %}</td></tr>
{%- for name, value in machine.items() %}
<tr><th>{{ name | replace("_gib", ", GiB") | replace("_", " ") }}</th><td>{{
(value | join(", ") or "none") if value is sequence and value is not string else value }}</td></tr>
{%- endfor %}
{%- for name, value in versions.items() %}
<tr><th>{{ name }}</th><td>{{ value }}</td></tr>
{%- endfor %}
</table>
<h2>Where the time went</h2>
<p>{{ cost | sum(attribute="jobs") }} jobs, {{ cost | sum(attribute="seconds") | duration }} of them
all, those side by side added up. Measured by Snakemake for each job of the workflow when it last
ran, starting Python included. Memory is that of the largest job.</p>
<table>
<tr><th>rule</th><th class="number">jobs</th><th class="number">time</th><th colspan="2">share</th>
<th class="number">longest</th><th>job</th><th class="number">peak memory</th></tr>
{%- for row in cost %}
<tr><td>{{ row.rule }}</td><td class="number">{{ row.jobs }}</td>
<td class="number">{{ row.seconds | duration }}</td>
<td class="number">{{ "%.1f" | format(100 * row.share) }} %</td>
<td class="bar"><div style="width: {{ 100 * row.share }}%"></div></td>
<td class="number">{{ row.longest_seconds | duration }}</td><td>{{ row.longest }}</td>
<td class="number">{{ row.peak_mib }} MiB</td></tr>
{%- endfor %}
</table>
<h2>Configuration</h2>
<p>After merging the paper's settings, the preset and config.yaml, with all defaults.</p>
<pre>{{ yaml }}</pre>
</body></html>
"""
