"""What snakemake would run in a built project, asked many times in one process.

Starting snakemake takes seconds, a dry run in a process that is warm a fraction of one. Run as a
program of its own, in the project's folder: the workflow changes the process that it is read in.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Job:
    """A job of the workflow as snakemake has it, the target among them, to be run or not."""

    name: str
    rule: str
    wildcards: dict[str, str]
    input: list[str]
    output: list[str]
    benchmark: str | None
    code: list[str]
    """The modules behind its digest, where the question was about them."""
    jobs: dict[str, list[str]]
    """Of the record of the run: the jobs that it counts."""
    runs: bool


def ask(project: Path, questions: list[dict[str, Any]]) -> list[list[Job]]:
    """The jobs of a project under each question, in turn.

    A question is a mapping that may hold ``config``, as behind --config; ``append``, texts to add
    to files; ``hide``, files to take away; ``modules``, whether to list the modules of each job.
    All that is changed is put back, as old as it was.
    """
    done = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps(questions),
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(project / "workflow")},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    answers = json.loads(done.stdout.splitlines()[-1])
    return [[Job(**job) for job in answer] for answer in answers]


def _main() -> None:
    # Not before: the workflow is that of the project.
    from config_keys import files_read_once

    answers = []
    with files_read_once():
        for question in json.load(sys.stdin):
            with _changed(question.get("append", {}), question.get("hide", [])):
                answers.append(_jobs(question.get("config", {}), question.get("modules", False)))
    print(json.dumps(answers))


@contextlib.contextmanager
def _changed(append: dict[str, str], hide: list[str]) -> Iterator[None]:
    before = {name: (Path(name).read_text(), os.stat(name)) for name in append}  # noqa: PTH116
    for name, text in append.items():
        Path(name).write_text(before[name][0] + text)
    for name in hide:
        Path(name).rename(f"{name}.hidden")
    try:
        yield
    finally:
        for name in hide:
            Path(f"{name}.hidden").rename(name)
        for name, (text, status) in before.items():
            Path(name).write_text(text)
            os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns))


def _jobs(config: dict[str, Any], modules: bool) -> list[dict[str, Any]]:
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings

    from advsparse import codedigest

    digest = codedigest.CodeBase.digest
    if modules:
        codedigest.CodeBase.digest = lambda self, *names: "\n".join(self.files(*names))
    try:
        with SnakemakeApi(OutputSettings(dryrun=True, quiet={Quietness.ALL})) as api:
            workflow = api.workflow(
                ResourceSettings(cores=2),
                config_settings=ConfigSettings(config={"preset": "test"} | config),
                snakefile=Path("Snakefile"),
            )
            workflow.dag().execute_workflow(executor="dryrun")
            dag = workflow._workflow_store.dag
            runs = set(dag.needrun_jobs(exclude_finished=False))
            return [_described(job, job in runs) for job in dag.jobs]
    finally:
        codedigest.CodeBase.digest = digest


def _described(job: Any, runs: bool) -> dict[str, Any]:
    wildcards = dict(job.wildcards.items())
    names = [value for name, value in wildcards.items() if value and name != "paper"]
    return {
        "name": " ".join([job.rule.name, *names]),
        "rule": job.rule.name,
        "wildcards": wildcards,
        "input": list(job.input),
        "output": list(job.output),
        "benchmark": str(job.benchmark) if job.benchmark else None,
        "code": job.params.get("code", "").split("\n"),
        "jobs": job.params.get("jobs", {}),
        "runs": runs,
    }


if __name__ == "__main__":
    _main()
