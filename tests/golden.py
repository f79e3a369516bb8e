"""All that the workflow says of each job, for every preset and in both passes of a run.

Run as a program in the project's folder, it prints a mapping of jobs to what their rules say of
them. What a change of the workflow alters shows as a difference: see workflow/test_golden.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PRESETS = ("demo", "mini", "paper", "test")

# A job of each stage that computes, for the second pass: what depends on it is drawn with gaps.
FAILED = {
    "datasets/digits": ["failures/datasets/digits.txt"],
    "coders/lista_b": ["weitzner2023/failures/coders/lista_b.txt"],
    "classifiers/lenet": ["frecon2021/failures/classifiers/lenet.txt"],
    "attacks and an analysis": [
        "frecon2021/failures/attacks/deepfool.txt",
        "weitzner2023/failures/attacks/pgd_l2.txt",
        "weitzner2023/failures/analyses/change.txt",
    ],
}
_SECOND_PASS = "ADVSPARSE_SECOND_PASS"
_RESOURCES = ("mem_mb", "runtime", "gpu")

Described = dict[str, dict[str, Any]]


def describe(project: Path, preset: str, failed: list[str] | None = None) -> Described:
    """The jobs of a project's copy, where jobs of a first pass have ``failed`` in the second."""
    environment = os.environ | {"PYTHONPATH": str(project / "workflow")}
    records = [project / "results" / preset / record for record in failed or []]
    for record in records:
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text("no luck\n")
    try:
        done = subprocess.run(
            [sys.executable, __file__, preset],
            cwd=project,
            env=environment | ({_SECOND_PASS: "0"} if failed else {}),
            capture_output=True,
            text=True,
            timeout=600,
        )
    finally:
        for record in records:
            record.unlink()
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def _main(preset: str) -> None:
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings

    with SnakemakeApi(OutputSettings(dryrun=True, quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            ResourceSettings(cores=2),
            config_settings=ConfigSettings(config={"preset": preset}),
            snakefile=Path("Snakefile"),
        )
        workflow.dag().execute_workflow(executor="dryrun")
        jobs = workflow._workflow_store.dag.jobs
        found = {
            " ".join([job.rule.name, *dict(job.wildcards.items()).values()]): _described(job)
            for job in jobs
        }
    print(json.dumps(found))


def _described(job: Any) -> dict[str, Any]:
    # Neither the digest of the code nor the time at which files were asked for is the rule's.
    params = {name: value for name, value in job.params.items() if name not in ("code", "asked")}
    return {
        "input": _named(job.input),
        "output": _named(job.output),
        "log": list(map(str, job.log)),
        "benchmark": str(job.benchmark) if job.benchmark else None,
        "params": params,
        "threads": job.threads,
        "resources": {name: job.resources.get(name) for name in _RESOURCES},
    }


def _named(files: Any) -> dict[str, Any]:
    """Files by the names that rules give them, those without a name as they come."""
    named = {
        name: value if isinstance(value, str) else list(value) for name, value in files.items()
    }
    return {key: value for key, value in named.items() if key} | {"all": list(map(str, files))}


if __name__ == "__main__":
    _main(sys.argv[1])
