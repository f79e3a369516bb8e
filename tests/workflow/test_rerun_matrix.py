"""Each module and each key of the configuration reruns what depends on it: no more, no less.

What snakemake decides is compared with what other ways tell: the modules that jobs had loaded when
they ended, the keys that stages read by their names, and the declared inputs and outputs.
"""

from __future__ import annotations

import ast
import json
import random
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

import config_keys
from advsparse.codedigest import CodeBase
from advsparse.config.loading import load
from advsparse.config.plan import Plan
from decisions import Job, ask
from project import ROOT, Project
from rerun_oracle import following, read_by

WORKFLOW = ROOT / "workflow"
MODULES = sorted(path.relative_to(WORKFLOW).as_posix() for path in WORKFLOW.rglob("*.py"))

# Entries that no job reads, for keys to name instead of those that they name.
SPARE = {
    "frecon2021": """
settings:
  frecon2021:
    models: {spare: {dataset: cifar10, architecture: {kind: lenet}}}
    images: {spare: {start: 40, count: 8}}
""",
    "weitzner2023": """
settings:
  weitzner2023:
    models: {spare: {dataset: cifar10, architecture: {kind: lenet}}}
    images: {spare: {start: 40, count: 8}}
    signals: {spare: {size: 20, atoms: 40, sparsity: 3}}
""",
}


@dataclass(frozen=True)
class Built:
    """A built project to ask about, and what its jobs imported, by their first output."""

    paper: str
    project: Project
    imported: dict[str, set[str]]


@pytest.fixture(scope="module", params=SPARE)
def copied(request, tmp_path_factory) -> Built:
    paper = request.param
    built = request.getfixturevalue({"frecon2021": "built", "weitzner2023": "built_codes"}[paper])
    project = duplicate(built, str(tmp_path_factory.mktemp("copied") / "project"))
    records = [json.loads(file.read_text()) for file in built.imported.glob("*.json")]
    imported = {
        record["output"][0]: {
            Path(file).relative_to(built.path / "workflow").as_posix()
            for file in record["imported"].values()
        }
        for record in records
    }
    return Built(paper, project, imported)


def duplicate(project: Project, name: str) -> Project:
    """A copy of a project, beside it or elsewhere, with files as old as they are."""
    copy = project.path.with_name(name) if "/" not in name else Path(name)
    subprocess.run(["cp", "-a", str(project.path), str(copy)], check=True)
    return Project(copy)


def running(jobs: list[Job]) -> set[str]:
    return {job.name for job in jobs if job.runs} - {"all"}


def test_a_job_carries_the_modules_that_it_imports(copied):
    """Those it lacks are edits that rerun too little; those too many, edits that rerun too much."""
    (jobs,) = ask(copied.project.path, [{"modules": True}])
    lacks, has = {}, {}
    for job in jobs:
        if job.output:
            code = {name for name in job.code if not name.startswith("scripts/")}
            imported = copied.imported[job.output[0]]
            lacks.setdefault(job.rule, set()).update(imported - code)
            has.setdefault(job.rule, set()).update(code - imported)
    assert {rule: names for rule, names in lacks.items() if names} == {}
    assert {rule: names for rule, names in has.items() if names} == {}


def test_the_record_of_a_run_counts_the_jobs_of_the_workflow(copied):
    """All that are measured, and no others that once were."""
    (jobs,) = ask(copied.project.path, [{}])
    counted = next(job.jobs for job in jobs if job.rule == "write_provenance")
    measured: dict[str, set[str]] = {}
    for job in jobs:
        if job.benchmark:
            name = job.benchmark.removeprefix("results/test/benchmarks/").removesuffix(".tsv")
            measured.setdefault(job.rule, set()).add(name)
    assert {rule: set(names) for rule, names in counted.items() if names} == measured
    of_the_run = {"write_provenance", "write_results_pages"}
    assert {job.rule for job in jobs} - measured.keys() == {*of_the_run, "all"}


def test_an_edited_module_reruns_the_jobs_that_import_it_and_what_follows(copied):
    """One of the modules that the same jobs import, for each set of jobs."""
    (jobs,) = ask(copied.project.path, [{"modules": True}])
    importing = {
        module: frozenset(
            job.name
            for job in jobs
            if job.output and (module in copied.imported[job.output[0]] or module in job.code[-1:])
        )
        for module in MODULES
    }
    chosen = {names: module for module, names in importing.items()}
    questions = [{"append": {f"workflow/{m}": "\n_edited = 1\n"}} for m in chosen.values()]
    answers = ask(copied.project.path, questions)
    for (names, module), answer in zip(chosen.items(), answers, strict=True):
        assert running(answer) == following(jobs, names), module


@pytest.mark.parametrize("module", MODULES)
def test_only_meaning_changes_the_digest_of_a_module(module, tmp_path):
    """Not comments and formatting, which parsing and printing takes away, and not docstrings."""
    file = tmp_path / module
    file.parent.mkdir(parents=True)
    text = (WORKFLOW / module).read_text()

    def digest(text: str) -> str:
        file.write_text(text)
        return CodeBase(tmp_path).digest(file)

    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = "Something else."
    assert digest(ast.unparse(tree) + "\n# the end\n") == digest(text)
    assert digest(text + "\n_edited = 1\n") != digest(text)


def batches(changes: dict[config_keys.Key, object]) -> list[list[config_keys.Key]]:
    """Keys to change together: of entries of one section, of which none follows from another.

    They are paired at random: keys of like names, which might make the same mistake, are apart.
    """
    shuffled = random.Random(0).sample(sorted(changes), len(changes))
    found: dict[tuple[str, ...], list[list[config_keys.Key]]] = {}
    for key in shuffled:
        together = key[0] == "settings" and len(key) > 4 and key[2] != "images"
        section = found.setdefault(key[:3] if together else key, [])
        room = (batch for batch in section if all(key[3] != other[3] for other in batch))
        if batch := next(room, None) if together else None:
            batch.append(key)
        else:
            section.append([key])
    return [batch for section in found.values() for batch in section]


def test_a_changed_key_reruns_the_jobs_that_read_it_and_what_follows(copied, share):
    path = duplicate(copied.project, "with-spare-entries").path
    Project(path).configure(SPARE[copied.paper])
    before = Plan(config_keys.configured(path, {}))
    described = before.described()
    keys = [*config_keys.keys(described)]
    # In no order: every fourth might be the same key of each entry.
    random.Random(0).shuffle(keys)
    found = {
        key: config_keys.change(path, key, value, described)
        for key, value in share(keys)
        # Which folder, and which of the projects built here; kinds, whose other keys would have to
        # change too; and repetitions, which add jobs (test_repetitions), or of which a function
        # reads all or one. Nor empty mappings: each key of one is a key of its own.
        if key[0] not in ("preset", "papers") and key[-1] not in ("kind", "repetitions")
        if value != {}
    }
    changes = {key: value for key, value in found.items() if value is not None}
    # What can only be one thing is left.
    assert len(changes) > 0.7 * len(found)
    plan = batches(changes)
    configs = [
        config_keys.merged(*(config_keys.nested(key, changes[key]) for key in batch))
        for batch in plan
    ]
    answers = ask(path, [{"config": config} for config in configs])
    wrong = []
    for batch, config, jobs in zip(plan, configs, answers, strict=True):
        after = Plan(config_keys.configured(path, config))
        read = {job.name for job in jobs for key in batch if read_by(key, before, after, job)}
        # Other classifiers and datasets than before; what is learned is to be expected by its key.
        named = {file for job in jobs for file in job.input if "/dictionaries/" not in file}
        new = {file for file in named if not (path / file).exists()}
        expected = following(jobs, read | {"write_provenance"}, new)
        if running(jobs) != expected:
            names = ", ".join(".".join(key[1:]) for key in batch)
            more, less = running(jobs) - expected, expected - running(jobs)
            wrong.append(f"too many {sorted(more)}, too few {sorted(less)}, for one of: {names}")
    assert not wrong, "\n".join(wrong)


def test_the_demo_has_the_keys_of_the_test_preset():
    """Which is why it is enough to change those of the test preset."""

    def of(preset: str) -> set[config_keys.Key]:
        plan = Plan(load([ROOT / "config.yaml"], {"preset": preset}))
        return {key for key, _ in config_keys.keys(plan.described())}

    assert of("demo") == of("test")


def test_a_deleted_file_is_rebuilt_where_it_is_needed_and_only_there(copied):
    """For one job of each rule: its files alone, and with those of all that reads them."""
    (jobs,) = ask(copied.project.path, [{}])
    (targets,) = (set(job.input) for job in jobs if job.rule == "all")
    hidden = []
    for job in {job.rule: job for job in jobs if job.output}.values():
        readers = [other for other in jobs if set(other.input) & set(job.output) and other.output]
        hidden += [job.output, job.output + [file for other in readers for file in other.output]]
    answers = ask(copied.project.path, [{"hide": files} for files in hidden])
    for files, answer in zip(hidden, answers, strict=True):
        assert running(answer) == following(answer, (), files), files
    alone = zip(hidden[::2], answers[::2], strict=True)
    assert all(bool(running(answer)) == bool(targets & set(files)) for files, answer in alone)


def test_snakemake_itself_says_the_same(copied):
    """One change of everything at once, by the command line: a module, a key, a file that is gone.

    The other tests ask many times in one process; this one sees that nothing is lost by that.
    """
    project = duplicate(copied.project, "for-the-command-line")
    (jobs,) = ask(project.path, [{}])
    file = next(job.output[0] for job in jobs if job.rule == "run_attack")
    module = "workflow/advsparse/data/photos.py"
    question = {"append": {module: "\n_edited = 1\n"}, "hide": [file], "config": {"seed": 1}}
    (answer,) = ask(project.path, [question])
    with (project.path / module).open("a") as text:
        text.write("\n_edited = 1\n")
    (project.path / file).unlink()
    project.edit("config.yaml", "\nseed: 0\n", "\nseed: 1\n")
    counts = Counter(job.rule for job in answer if job.runs)
    assert project.job_counts() == dict(counts)
