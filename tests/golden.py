"""All that the workflow says of each job, for every preset and in both passes of a run.

What a change of the workflow alters shows as a difference to tests/golden/, where each job has a
line with a digest for each thing that its rule says. ``python tests/golden.py write`` writes them
anew; ``python tests/golden.py <preset>``, in the folder of a project, prints all in full.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PRESETS = ("demo", "mini", "paper", "test")
PAPERS = "frecon2021, weitzner2023, mitro2018, sun2019, canu2021, matrix"
GOLDEN = Path(__file__).with_name("golden")

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


def passes(project: Path, preset: str) -> Iterator[tuple[str, Described]]:
    """The first pass of a run, and of the presets that tests build what each failure changes."""
    first = describe(project, preset)
    yield preset, first
    for name, failed in FAILED.items() if preset == "test" else ():
        second = describe(project, preset, failed)
        gone = {job: {} for job in first.keys() - second.keys()}
        changed = {job: said for job, said in second.items() if said != first.get(job)}
        yield f"{preset}, failed: {name}", gone | changed


def lines(described: Described) -> list[str]:
    """A line for each job, which says where it differs from another one's."""
    return [
        " ".join([job.replace(" ", ":"), *(f"{key}={_digest(of[key])}" for key in of)])
        for job, of in sorted(described.items())
    ]


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _write() -> None:
    from project import copy_sources

    GOLDEN.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        project = copy_sources(Path(folder) / "project", PAPERS).path
        for preset in PRESETS:
            text = (
                f"# {name}\n" + "".join(f"{line}\n" for line in lines(described))
                for name, described in passes(project, preset)
            )
            (GOLDEN / f"{preset}.txt").write_text("".join(text))


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
            " ".join(filter(None, [job.rule.name, *dict(job.wildcards.items()).values()])): (
                _described(job)
            )
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
    _write() if sys.argv[1] == "write" else _main(sys.argv[1])
