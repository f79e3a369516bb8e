"""Jobs of the preset ``test`` in this process, on one device or the other, from the same inputs."""

from __future__ import annotations

import contextlib
import logging
import re
import runpy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from advsparse import jobs, registry
from advsparse.config.loading import WORKFLOW
from advsparse.config.plan import Plan
from advsparse.errors import UserError
from advsparse.lazy import torch
from advsparse.stages._graph import Graph
from advsparse.stages._places import Places
from advsparse.stages._registry import stages
from advsparse.stages._stage import Job

STEPS = 3
"""Mini-batches of a training that is compared."""
_RULE = re.compile(r'wiring\.rule\("(?P<stage>\w+)", "(?P<script>[\w.]+)"\)')


class Named(dict[str, Any]):
    """Files by name and by number, as Snakemake hands them to a script."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(name) from error

    def __getitem__(self, key: Any) -> Any:
        return [*self.values()][key] if isinstance(key, int) else super().__getitem__(key)


def scripts() -> dict[str, Path]:
    """The script of each stage, as the rules name it."""
    found = {}
    for path in sorted((WORKFLOW / "rules").glob("*.smk")):
        for rule in _RULE.finditer(path.read_text(encoding="utf-8")):
            found[rule["stage"]] = WORKFLOW / "scripts" / rule["script"]
    return found


@dataclass(frozen=True)
class Example:
    """A job that stands for all of its stage that do the same."""

    job: Job
    kind: str
    """What it does: the kind of its method."""


def examples(plan: Plan) -> list[Example]:
    """The first job of each stage that runs networks, and of each kind of method in it."""
    found: dict[tuple[str, str], Example] = {}
    for job in Graph(plan).reached:
        stage = stages()[job.stage]
        if stage.gpu and not stage.shared and not job.repetition:
            kind = _kind(plan, job)
            found.setdefault((job.stage, kind), Example(job, kind))
    return [*found.values()]


def _kind(plan: Plan, job: Job) -> str:
    told = stages()[job.stage].settings(plan, job)
    method = told.get("method") or told.get("architecture")
    if method is None and job.stage == "transformed":
        method = registry.spec_of(plan.paper(job.paper).defenses[job.name].method)
    if method is None:
        # A classifier that takes another one's weights is told apart by its defence.
        return "another's weights" if "defense" in told else ""
    wrapped = method.get("attack")
    return f"{method['kind']} {wrapped['kind']}" if isinstance(wrapped, dict) else method["kind"]


class Runner:
    """Runs jobs, each below a folder of its own for each device."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.graph, self.folder = plan, Graph(plan), folder
        self._scripts = scripts()
        self._made: set[Job] = set()

    def prepare(self, job: Job) -> None:
        """Run all on the CPU that a job is made from."""
        for before in self.graph.before(job)[:-1]:
            self.run(before, "cpu")

    def run(
        self, job: Job, device: str, again: bool = False, rate: float | None = None
    ) -> list[Path]:
        """Run a job on a device, with what it reads from the CPU; once, unless ``again``.

        rate: of a training a few steps, of this length along the gradient. Returns its files.
        Raises UserError with what it has said if it fails.
        """
        first = device == "cpu" and not again
        places = Places(str(self.folder / ("cpu" if first else "again")))
        files = [Path(file) for file in places.files(job)]
        if first and job in self._made:
            return files
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
        told = self._snakemake(job, device, places, files)
        if rate is not None:
            _shorten(told.params.settings["training"], rate)
        with _in_this_process(Path(told.log[0])):
            source = self._scripts[job.stage]
            try:
                runpy.run_path(str(source), {"snakemake": told})
            except SystemExit as error:
                raise UserError(Path(told.log[0]).read_text(encoding="utf-8")[-2000:]) from error
        if first:
            self._made.add(job)
        return files

    def _snakemake(self, job: Job, device: str, places: Places, files: list[Path]) -> Any:
        stage, read = stages()[job.stage], Places(str(self.folder / "cpu"))

        def file(need: Any) -> Any:
            if isinstance(need, list):
                return [file(part) for part in need]
            return read.file(need) if isinstance(need, Job) else need

        needs = {role: file(need) for role, need in self.graph.needs(job).items()}
        plan = self.plan.of(job.repetition)
        params: dict[str, Any] = {
            "settings": stage.settings(plan, job),
            "code": "gpu-check",
            "failures": {},
            "checkpoint": places.checkpoint(job),
        }
        params |= {name: value(plan, job) for name, value in stage.parameters().items()}
        log = Path(places.log(job))
        log.parent.mkdir(parents=True, exist_ok=True)
        made = zip(stage.suffixes, files, strict=True)
        output = Named({_OUTPUTS.get(suffix, suffix): str(path) for suffix, path in made})
        return SimpleNamespace(
            input=Named(needs),
            output=output,
            params=SimpleNamespace(**params),
            log=[str(log)],
            threads=1,
            resources=SimpleNamespace(gpu=int(device.startswith("cuda"))),
            wildcards=SimpleNamespace(paper=job.paper, **{stage.wildcard: job.name}),
        )


def _shorten(training: dict[str, Any], rate: float) -> None:
    """A training of :data:`STEPS` mini-batches."""
    training |= {"epochs": 1, "examples": STEPS * training["batch_size"], "warmup": 0.0}
    training |= {"optimizer": "sgd", "learning_rate": rate, "weight_decay": 0.0}


_OUTPUTS = {".csv": "rows", ".npz": "samples"}
"""What the script of evaluations calls its files, by their suffixes; others go by number."""


@contextlib.contextmanager
def _in_this_process(log: Path) -> Iterator[None]:
    """A job that would end its process returns, and logs to its file alone."""
    end, root = jobs._end, logging.getLogger()
    handlers, level = root.handlers[:], root.level
    debug = torch.get_deterministic_debug_mode()
    jobs._end = lambda: None  # type: ignore[assignment, return-value]
    try:
        with log.with_suffix(".out").open("w") as said, contextlib.redirect_stderr(said):
            yield
    finally:
        jobs._end = end
        for handler in root.handlers:
            handler.close()
        root.handlers, root.level = handlers, level
        logging.captureWarnings(False)
        torch.set_deterministic_debug_mode(debug)
