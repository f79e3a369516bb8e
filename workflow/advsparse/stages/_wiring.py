"""What the rules of Snakemake say of the jobs of each stage.

A rule stands in a file of its own, with its script; all else that it says comes from here.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from advsparse import failures, requests
from advsparse.codedigest import CodeBase
from advsparse.config.plan import Plan
from advsparse.errors import ConfigError
from advsparse.stages._graph import Graph, jobs_in
from advsparse.stages._places import Places, repetition_of
from advsparse.stages._products import Products, reference
from advsparse.stages._registry import stages
from advsparse.stages._stage import Job, Stage

GiveUp = Callable[[str], NoReturn]
"""How a run ends, with one message."""


class Wiring:
    """The rules of a workflow, for the jobs of a plan."""

    def __init__(
        self, plan: Plan, workflow: Path, give_up: GiveUp, goes_on: Callable[[], bool]
    ) -> None:
        self.plan = plan
        self.graph = Graph(plan)
        self.places = Places(plan.results)
        self.workflow = workflow
        self.code = CodeBase(workflow)
        self.give_up = give_up
        self.goes_on = goes_on
        """Whether what is lacking ends no run, as in a dry one: known when jobs are asked for."""
        # What jobs of this preset took on this device, where that was measured.
        configuration = plan.configuration
        self.measured = requests.read(configuration.preset, configuration.device)
        self._rules: dict[str, Rule] = {}
        # Asked of each job, and the same for most.
        self.failed, self.digest = cache(self._failed), cache(self._digest)

    def rule(self, stage: str, script: str) -> Rule:
        """What the rule of a stage says, whose jobs run ``workflow/scripts/<script>``."""
        if stage not in stages():
            raise LookupError(f"workflow/advsparse/stages declares no stage {stage!r}")
        self._rules[stage] = Rule(self, stages()[stage], script)
        return self._rules[stage]

    def unwired(self) -> str | None:
        """A stage that is declared and has no rule, if there is one."""
        return min(stages().keys() - self._rules.keys(), default=None)

    def lacks(self, said: str) -> None:
        """Without what no job makes a run ends; a dry one, and one that keeps going, warns."""
        if not self.goes_on():
            self.give_up(said)
        print(said, file=sys.stderr)

    def _digest(self, script: str, *modules: str) -> str:
        """The digest of the code that a job runs: its script, and modules imported by name."""
        return self.code.digest(self.workflow / "scripts" / script, *modules)

    def files(self, *jobs: Job) -> list[str]:
        """All files that jobs make."""
        return [file for job in jobs for file in self.places.files(job)]

    def artifacts(self, stage: str) -> list[str]:
        """The artifacts of all jobs of a stage."""
        return [self.places.file(job) for job in self.graph.known(stages()[stage])]

    def _failed(self, job: Job) -> Job | None:
        """In the second pass of a run, the first job on the way to one that has failed in it.

        What shows gaps is always there.
        """
        if not failures.second_pass() or not stages()[job.stage].computes:
            return None
        causes = (self.failed(need) for need in jobs_in(self.graph.needs(job)))
        if cause := next(filter(None, causes), None):
            return cause
        return job if failures.left(self.places.record(job)) else None

    def records(self) -> dict[str, str]:
        """What messages call the jobs that leave a record if they fail, by the records."""
        return {
            self.places.record(job): f"{job.paper} {stage.said(self.plan, job)}{job.again}".strip()
            for stage in stages().values()
            if stage.computes
            for job in self.graph.known(stage)
        }

    def claims(self) -> list[str]:
        """The files of the papers' claims, from here."""
        return [
            path
            for paper in self.plan.configuration.papers
            if Path(path := reference(paper, "claims.yaml")).is_file()
        ]

    def looks(self, folder: str) -> str:
        """A digest of files that are no code, such as templates, for reruns to go by."""
        files = sorted(each for each in (self.workflow / folder).rglob("*") if each.is_file())
        kept = [each for each in files if each.suffix not in (".py", ".pyc")]
        return hashlib.sha256(b"\0".join(each.read_bytes() for each in kept)).hexdigest()

    def shown(self) -> dict[str, list[dict[str, Any]]]:
        """What the pages of results are told: the papers with their figures and tables, the jobs
        behind these, and the data behind them. Files are below the folder of results."""
        papers = {
            key: {
                "key": key,
                "title": self.plan.paper(key).title,
                "products": [],
            }
            for key in self.plan.configuration.papers
        }
        jobs = []
        for job in self.graph.reached:
            stage = stages()[job.stage]
            files = {name: self._below(path) for name, path in self._left_by(job).items()}
            said = f"{stage.said(self.plan, job)}{job.again}"
            about = {"name": self.places.name(job), "stage": job.stage, "paper": job.paper}
            about |= {"said": said, "repetition": job.repetition, **files}
            data = self.graph.needs(job).get("dataset")
            if isinstance(data, Job):
                about["dataset"] = self._below(self.places.file(data))
            jobs.append(about)
            if isinstance(stage, Products):
                papers[job.paper]["products"].append(
                    {
                        "name": job.name,
                        "folder": stage.folder,
                        "title": stage.title(self.plan, job),
                        "caption": Rule(self, stage, "").caption(job),
                    }
                )
        used = {job.name for job in self.graph.reached if job.stage == "dataset"}
        roles = self.plan.configuration.roles
        data = [self.plan.origin(role) for role, dataset in roles.items() if dataset in used]
        return {"papers": list(papers.values()), "jobs": jobs, "data": data}

    def _left_by(self, job: Job) -> dict[str, str]:
        places = self.places
        return {
            "file": places.file(job),
            "log": places.log(job),
            "benchmark": places.benchmark(job),
        }

    def _below(self, path: str) -> str:
        return path.removeprefix(f"{self.places.results}/")

    def measured_jobs(self, benchmarks: Mapping[str, str]) -> dict[str, list[str]]:
        """The names of the jobs behind all that is built, by rule.

        benchmarks: the patterns of the rules' benchmark files, by rule.
        """
        stage_of = {rule.benchmark: rule.stage.name for rule in self._rules.values()}
        named: dict[str, list[str]] = {}
        for job in self.graph.reached:
            named.setdefault(job.stage, []).append(self.places.name(job))
        return {
            rule: sorted(named.get(stage_of.get(pattern, ""), []))
            for rule, pattern in sorted(benchmarks.items())
        }


class Rule:
    """What the rule of one stage says; patterns of files hold its wildcards."""

    def __init__(self, wiring: Wiring, stage: Stage, script: str) -> None:
        self.wiring, self.stage, self.script = wiring, stage, script
        paper = "" if stage.shared else "{paper}"
        again = "{repetition}" if stage.repeats else ""
        self._pattern = Job(stage.name, f"{{{stage.wildcard}}}", paper + again)
        self.log = wiring.places.log(self._pattern)
        self.benchmark = wiring.places.benchmark(self._pattern)

    def output(self, suffix: str | None = None) -> str:
        """The file with a suffix that a job makes; without one, the artifact that others read."""
        return self.wiring.places.file(self._pattern, suffix)

    def job(self, wildcards: Any) -> Job:
        """The job that wildcards name."""
        paper = "" if self.stage.shared else wildcards.paper
        repetition = repetition_of(wildcards.repetition) if self.stage.repeats else 0
        return Job(self.stage.name, getattr(wildcards, self.stage.wildcard), paper, repetition)

    # What a job reads, and what stands in its place where that has failed.

    def input(self, wildcards: Any) -> dict[str, Any]:
        """The files that a job reads, by the names that its script knows them by."""
        job, plan = self.job(wildcards), self.wiring.plan
        if job.name not in self.stage.names(plan, job.paper):
            self.wiring.give_up(f"{job.paper} has no {self.stage.name} {job.name!r}")
        if job not in self.wiring.graph.repeated(replace(job, repetition=0)):
            count = self.stage.repetitions(plan, job)
            said = "once" if count == 1 else f"{count} times"
            self.wiring.give_up(f"{job.paper}: {self.stage.said(plan, job)} is made {said}")
        if absent := self.stage.absent(plan, job):
            self.wiring.lacks(f"{self.stage.said(plan, job)}: {absent}")
        causes = self._causes(job)
        records = list(dict.fromkeys(map(self.wiring.places.record, causes.values())))
        if missed := self._missed(job, causes):
            return {"failure": self.wiring.places.record(missed)}
        needs = self.wiring.graph.needs(job).items()
        files = {role: self._files(need, causes) for role, need in needs}
        there = {role: found for role, found in files.items() if found is not None}
        return there | ({"failures": records} if records else {})

    def _files(self, need: Any, missing: Collection[Job]) -> Any:
        """The files of what is needed; None for an artifact that is missing."""
        if isinstance(need, list):
            files = (self._files(part, missing) for part in need)
            return [file for file in files if file is not None]
        if isinstance(need, Job):
            return None if need in missing else self.wiring.places.file(need)
        return need

    def _causes(self, job: Job) -> dict[Job, Job]:
        """What a job lacks in the second pass, each need with the job that has failed."""
        if self.stage.computes:
            return {}
        needed = dict.fromkeys(jobs_in(self.wiring.graph.needs(job)))
        found = {need: self.wiring.failed(need) for need in needed}
        return {need: cause for need, cause in found.items() if cause}

    def _missed(self, job: Job, causes: Mapping[Job, Job]) -> Job | None:
        """What has failed of all that a job can't do without, if anything has; what looks at all
        repetitions can do without the later ones."""
        if self.stage.works_with_gaps(self.wiring.plan, job):
            return None
        own = (cause for need, cause in causes.items() if need.repetition in (0, job.repetition))
        return next(own, None)

    def _failures(self, wildcards: Any) -> dict[str, Any]:
        """Why inputs are missing: by their names; of a list, by those of its jobs."""
        job = self.job(wildcards)
        causes = self._causes(job)
        if missed := self._missed(job, causes):
            return {"failure": self._reason(missed)}
        reasons: dict[str, Any] = {}
        for role, need in self.wiring.graph.needs(job).items():
            if isinstance(need, list):
                missing = {
                    part.name + ("" if part.repetition == job.repetition else part.again): (
                        self._reason(causes[part])
                    )
                    for part in need
                    if part in causes
                }
                reasons |= {role: missing} if missing else {}
            elif isinstance(need, Job) and need in causes:
                reasons[role] = self._reason(causes[need])
        return reasons

    def _reason(self, failed: Job) -> str:
        """Why what is made from the artifact of a job is not there."""
        stage, told = stages()[failed.stage], failures.told(self.wiring.places.record(failed))
        said = stage.said(self.wiring.plan, failed)
        return f"because {said}{failed.again} failed: {told}" if stage.blamed else told

    # Parameters, which decide on reruns, and requests.

    @property
    def params(self) -> dict[str, Callable[[Any], Any]]:
        """The parameters of a job: ``**rule.params``."""
        plan, places, stage = self.wiring.plan, self.wiring.places, self.stage
        found: dict[str, Callable[[Job], Any]] = {
            "settings": lambda job: stage.settings(plan.of(job.repetition), job),
            "code": lambda job: self.wiring.digest(self.script, *self.wiring.graph.modules(job)),
        }
        if stage.computes:
            # No outputs: they are what is left where there is none.
            found["failure"] = places.record
        if stage.resumes:
            found["checkpoint"] = places.checkpoint
        if isinstance(stage, Products):
            found["reads"] = self._told
            found["caption"] = self.caption
        for name, value in stage.parameters().items():
            found[name] = _of_plan(value, plan)
        of_jobs = {name: self._of_wildcards(value) for name, value in found.items()}
        return of_jobs | ({} if stage.computes else {"failures": self._failures})

    def caption(self, job: Job) -> str:
        """What is said below a figure or table, as reStructuredText."""
        try:
            return self.stage.caption(self.wiring.plan, job, self._told(job))
        except ConfigError as error:
            self.wiring.give_up(str(error))

    def _told(self, job: Job) -> dict[str, Any]:
        """What a job is told of the artifacts that it reads, by the names of its inputs."""

        def told(need: Any) -> Any:
            if isinstance(need, list):
                return [told(part) for part in need]
            said = stages()[need.stage].told(self.wiring.plan.of(need.repetition), need)
            return said | ({"repetition": need.repetition} if need.repetition else {})

        needs = self.wiring.graph.needs(job).items()
        return {role: told(need) for role, need in needs if not isinstance(need, str)}

    def _of_wildcards(self, value: Callable[[Job], Any]) -> Callable[[Any], Any]:
        return lambda wildcards: value(self.job(wildcards))

    @property
    def resources(self) -> dict[str, Callable[..., int]]:
        """Memory (MB), minutes and GPUs that a job asks for: ``**rule.resources``.

        More memory and time with each attempt. What was measured of such jobs goes before what the
        stage says.
        """
        asked = {"mem_mb": self.stage.memory, "runtime": self.stage.minutes}
        found = {name: self._requested(name, value) for name, value in asked.items()}
        cuda = self.wiring.plan.configuration.device == "cuda"
        return found | ({"gpu": lambda wildcards, attempt=1: int(cuda)} if self.stage.gpu else {})

    def _requested(self, name: str, unmeasured: int) -> Callable[..., int]:
        def of(wildcards: Any, attempt: int) -> int:
            key = requests.key(self.wiring.places.name(self.job(wildcards)).split("/"))
            return attempt * self.wiring.measured.get(key, {}).get(name, unmeasured)

        return of


def _of_plan(value: Callable[[Plan, Job], Any], plan: Plan) -> Callable[[Job], Any]:
    return lambda job: value(plan, job)
