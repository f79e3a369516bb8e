# Shared by all rules: the plan, paths of artifacts, and the parameters that decide on reruns.
import os
import re
import sys
from pathlib import Path

WORKFLOW = Path(workflow.basedir) / "workflow"
# The library and the papers' modules are imported from this tree by the Snakefile and, through the
# environment, by the scripts of its jobs, also inside conda environments and on cluster nodes.
sys.path.insert(0, str(WORKFLOW))
from snakemake.exceptions import WorkflowError
from snakemake.io import get_wildcard_names

from advsparse import failures, requests
from advsparse.artifacts.atomic import check_writable
from advsparse.codedigest import CodeBase
from advsparse.config.extent import extent, job_names
from advsparse.config.loading import load
from advsparse.config.plan import Plan
from advsparse.errors import ConfigError, StorageError
from advsparse.checkout import date_back, hand_down

hand_down(WORKFLOW)
date_back(WORKFLOW / "scripts")
failures.hand_down(workflow)

# Read here and not by `configfile:`, which knows no lines; `config` holds what --config says.
try:
    plan = Plan(load([Path("config.yaml"), *map(Path, workflow.overwrite_configfiles)], config))
except ConfigError as error:
    raise WorkflowError(f"the configuration can't be run:\n{error}") from None


RESULTS = plan.results

for folder in (Path("results"), Path(RESULTS)):
    if folder.exists() and not folder.is_dir():
        raise WorkflowError(f"{folder}: is not a folder, so that no results can go there")


def any_of(known):
    """The pattern of a wildcard, so that no rule makes what no paper knows."""
    return "|".join(sorted(map(re.escape, known))) or "(?!)"


wildcard_constraints:
    **{axis: any_of(known) for axis, known in job_names(plan).items()},
    kind=r"\w+",
    file=r"[\w.-]+",


# Relative to the working directory: an absolute path would make a copy of the project rerun.
PAPERS = os.path.relpath(WORKFLOW / "papers")

# What jobs of this preset took on this device, where that was measured.
MEASURED = requests.read(plan.configuration.preset, plan.configuration.device)

# What is built of each paper: filled by workflow/papers/<key>/rules.smk.
PRODUCTS = {}


CODE = CodeBase(WORKFLOW)


def check_results_folder():
    """The time at which a run begins; one that could not write its results ends, before any job."""
    try:
        return check_writable(RESULTS)
    except StorageError as error:
        # Not a WorkflowError, which is shown with a traceback from here.
        raise SystemExit(str(error)) from None


def code(script, *modules):
    """The digest of the code that a job runs: its script, and modules that it imports by name."""
    return CODE.digest(WORKFLOW / "scripts" / script, *modules)


def calling(script, function):
    """The parameters of a job that calls a paper's ``function``: it reruns with its module."""
    return {"function": function, "code": code(script, function.rpartition(".")[0])}


def gpus(wildcards, attempt=1):
    """GPUs that a job which trains or attacks networks asks for."""
    return int(plan.configuration.device == "cuda")


def requested(benchmark, mem_mb, runtime):
    """Memory (MB) and minutes that a job asks for, more with each attempt: ``**requested(...)``.

    benchmark: its benchmark file, without folder and suffix. What was measured of such jobs goes
    before mem_mb and runtime.
    """

    def resource(name, unmeasured):
        def of(wildcards, attempt):
            job = requests.key(benchmark.format(**dict(wildcards.items())).split("/"))
            return attempt * MEASURED.get(job, {}).get(name, unmeasured)

        return of

    return {"mem_mb": resource("mem_mb", mem_mb), "runtime": resource("runtime", runtime)}


# What jobs of seconds ask for, more with each attempt.
LIGHT = {
    "mem_mb": lambda wildcards, attempt: 1000 * attempt,
    "runtime": lambda wildcards, attempt: 10 * attempt,
}


def dataset_input(wildcards):
    """The files of a dataset; without them a run ends, and a dry run warns."""
    absent = plan.absent(wildcards.dataset)
    if absent is None:
        return plan.dataset_files(wildcards.dataset)
    said = f"dataset {wildcards.dataset}: {absent}"
    if not workflow.dryrun:
        # Not a WorkflowError, which is shown with a traceback from here.
        raise SystemExit(said)
    print(said, file=sys.stderr)
    return []


def dataset_file(paper, model):
    return f"{RESULTS}/datasets/{plan.dataset_of(paper, model)}.npz"


def coder_file(paper, coder):
    return f"{RESULTS}/{paper}/coders/{coder}.safetensors"


def classifier_file(paper, model):
    return f"{RESULTS}/{paper}/classifiers/{model}.safetensors"


def fit_file(paper, id):
    return f"{RESULTS}/{paper}/dictionaries/{plan.fit_of(paper, id)}.npz"


def attack_file(paper, id):
    return f"{RESULTS}/{paper}/attacks/{id}.npz"


def analysis_file(paper, name):
    return f"{RESULTS}/{paper}/analyses/{name}.npz"


def rows_file(paper, experiment):
    return f"{RESULTS}/{paper}/rows/{experiment}.csv"


def failure_file(stage, name, paper=None):
    """The record that a job of a stage leaves behind if it fails."""
    folder = f"{RESULTS}/{paper}" if paper else RESULTS
    return f"{folder}/failures/{stage}/{name}.txt"


# The records of all jobs that something is built from, the first to run first.


def dataset_records(dataset):
    return [failure_file("datasets", dataset)]


def coder_records(paper, coder):
    dataset = plan.coder_dataset(paper, coder)
    earlier = dataset_records(dataset) if dataset else []
    return [*earlier, failure_file("coders", coder, paper)]


def classifier_records(paper, model):
    coder = plan.paper(paper).models[model].coder
    earlier = dataset_records(plan.dataset_of(paper, model))
    earlier += coder_records(paper, coder) if coder else []
    return [*earlier, failure_file("classifiers", model, paper)]


def fit_records(paper, id):
    earlier = classifier_records(paper, plan.learns_on(paper, id))
    return [*earlier, failure_file("dictionaries", plan.fit_of(paper, id), paper)]


def attack_records(paper, id):
    entry = plan.attack(paper, id).entry
    earlier = classifier_records(paper, entry.model)
    earlier += classifier_records(paper, entry.surrogate) if entry.surrogate else []
    earlier += fit_records(paper, id) if entry.learn_from else []
    return [*earlier, failure_file("attacks", id, paper)]


def analysis_records(paper, name):
    entry = plan.paper(paper).analyses[name]
    earlier = [record for coder in entry.coders for record in coder_records(paper, coder)]
    earlier += [record for attack in entry.attacks for record in attack_records(paper, attack)]
    return [*earlier, failure_file("analyses", name, paper)]


def failed(records):
    """The record that is read in the place of a result: only in the second pass of a run."""
    return next(filter(failures.left, records), None) if failures.second_pass() else None


def failures_of(paper, experiment):
    """The records that are read in the place of an experiment's attacks, by the attacks' ids."""
    jobs = plan.experiment(paper, experiment)
    records = {job.id: failed(attack_records(paper, job.id)) for job in jobs}
    return {id: record for id, record in records.items() if record}


def models_left(paper, experiment):
    """The classifiers of an experiment that are there."""
    models = plan.models_of(paper, experiment)
    return [model for model in models if not failed(classifier_records(paper, model))]


def outcome(paper, id, *stages):
    """What a figure or table of a single attack reads: its ``fit``, ``attack`` and ``dataset``."""
    records = fit_records if stages == ("fit",) else attack_records
    if record := failed(records(paper, id)):
        return {"failure": record}
    model = plan.attack(paper, id).entry.model
    files = {
        "fit": lambda: fit_file(paper, id),
        "attack": lambda: attack_file(paper, id),
        "dataset": lambda: dataset_file(paper, model),
    }
    return {stage: files[stage]() for stage in stages}


def dataset_outcome(wildcards):
    """What a figure of a dataset reads."""
    if record := failed(dataset_records(wildcards.dataset)):
        return {"failure": record}
    return {"dataset": f"{RESULTS}/datasets/{wildcards.dataset}.npz"}


def analysis_outcome(paper, **names):
    """What a figure of analyses reads: their files, or the record of why there are none."""
    records = [record for name in names.values() for record in analysis_records(paper, name)]
    if record := failed(records):
        return {"failure": record}
    return {key: analysis_file(paper, name) for key, name in names.items()}


def analyses_left(paper):
    """The files of all analyses of a paper that have not failed, by name."""
    missing = analyses_failed(paper)
    names = plan.paper(paper).analyses
    return {name: analysis_file(paper, name) for name in names if name not in missing}


def analyses_failed(paper):
    """Why analyses of a paper are not there, by name."""
    names = plan.paper(paper).analyses
    found = {name: failed(analysis_records(paper, name)) for name in names}
    return {name: failures.reason(record) for name, record in found.items() if record}


def all_records():
    """The names of all jobs that leave a record if they fail, by the records.

    An attack and what it learns share a name: they fail one after the other.
    """
    names = {
        failure_file("datasets", name): f"dataset {name}" for name in plan.configuration.datasets
    }
    for paper in plan.configuration.papers:
        asked = plan.paper(paper)
        for stage, said, known in (
            ("coders", "coder", asked.coders),
            ("classifiers", "classifier", asked.models),
            ("analyses", "analysis", asked.analyses),
        ):
            names |= {failure_file(stage, name, paper): f"{paper} {said} {name}" for name in known}
        for id in plan.attack_ids(paper):
            if plan.attack(paper, id).entry.learn_from:
                learned = failure_file("dictionaries", plan.fit_of(paper, id), paper)
                names.setdefault(learned, f"{paper} {id}")
            names[failure_file("attacks", id, paper)] = f"{paper} {id}"
    return names


def warnings_files(paper):
    """The table of a paper's attacks that failed or warned."""
    return [f"{RESULTS}/{paper}/tables/warnings.{suffix}" for suffix in ("csv", *PAGES)]


def classified_files(paper, model):
    """A classifier, and the dataset of the images that it is attacked on."""
    return {"dataset": dataset_file(paper, model), "classifier": classifier_file(paper, model)}


def coder_input(wildcards):
    dataset = plan.coder_dataset(wildcards.paper, wildcards.coder)
    return {"dataset": f"{RESULTS}/datasets/{dataset}.npz"} if dataset else {}


def classifier_input(wildcards):
    paper, model = wildcards.paper, wildcards.model
    coder = plan.paper(paper).models[model].coder
    files = {"dataset": dataset_file(paper, model)}
    return files | ({"coder": coder_file(paper, coder)} if coder else {})


def fit_input(wildcards):
    paper, id = wildcards.paper, plan.fitted(wildcards.paper, wildcards.fit)
    return classified_files(paper, plan.learns_on(paper, id))


def attack_input(wildcards):
    paper, id = wildcards.paper, wildcards.attack
    entry = plan.attack(paper, id).entry
    files = classified_files(paper, entry.model)
    if leading := plan.led_by(paper, id):
        files["surrogate"] = classifier_file(paper, leading)
    if entry.learn_from:
        files["fit"] = fit_file(paper, id)
    return files


def analysis_input(wildcards):
    paper, name = wildcards.paper, wildcards.analysis
    entry = plan.paper(paper).analyses[name]
    files = {
        "coders": [coder_file(paper, coder) for coder in entry.coders],
        "attacks": [attack_file(paper, attack) for attack in entry.attacks],
    }
    models = plan.analysed_models(paper, name)
    return files | (classified_files(paper, models[0]) if models else {})


def figure_files(paper, name, title):
    """What drawing a figure puts out: ``**figure_files(...)``."""
    stem = f"{RESULTS}/{paper}/figures/{name}"
    return {
        "pdf": f"{stem}.pdf",
        "png": report(
            f"{stem}.png",
            caption=str(WORKFLOW / "papers" / paper / "captions" / f"{name}.rst"),
            category=paper,
            subcategory="Figures",
            labels={"what": title, "format": "figure"},
        ),
        "csv": report(
            f"{stem}.csv",
            caption=str(WORKFLOW / "papers" / paper / "captions" / f"{name}.rst"),
            category=paper,
            subcategory="Figures",
            labels={"what": title, "format": "numbers"},
        ),
    }


# What a table is written as, besides its numbers.
PAGES = ("md", "html", "tex")


def table_files(paper, name, title, numbers="csv"):
    """What making a table puts out. Timed numbers go into json: no two runs agree."""
    stem = f"{RESULTS}/{paper}/tables/{name}"
    return {
        "html": report(
            f"{stem}.html",
            caption=str(WORKFLOW / "papers" / paper / "captions" / f"{name}.rst"),
            category=paper,
            subcategory="Tables",
            labels={"what": title, "format": "table"},
        ),
        "md": f"{stem}.md",
        "tex": f"{stem}.tex",
        numbers: f"{stem}.{numbers}",
    }


def measured_jobs(wildcards):
    """The jobs behind all that is built, by rule, as their benchmark files are named."""
    extents = [extent(plan, paper) for paper in plan.configuration.papers]
    jobs = {}
    for each in workflow.rules:
        if each.benchmark:
            file = getattr(rules, each.name).benchmark
            job = file.removeprefix(f"{RESULTS}/benchmarks/").removesuffix(".tsv")
            axes = get_wildcard_names(job)
            named = (expand(job, **{axis: found[axis] for axis in axes}) for found in extents)
            jobs[each.name] = sorted(set().union(*named))
    return jobs
