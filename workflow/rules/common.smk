# Shared by all rules: the plan, paths of artifacts, and the parameters that decide on reruns.
import os
import sys
from pathlib import Path

WORKFLOW = Path(workflow.basedir) / "workflow"
# The library and the papers' modules are imported from this tree by the Snakefile and, through the
# environment, by the scripts of its jobs, also inside conda environments and on cluster nodes.
sys.path.insert(0, str(WORKFLOW))
from snakemake.exceptions import WorkflowError

from advsparse.codedigest import code_digest
from advsparse.config.loading import load
from advsparse.config.plan import Plan
from advsparse.errors import ConfigError
from advsparse.checkout import date_back, hand_down

hand_down(WORKFLOW)
date_back(WORKFLOW / "scripts")

# Read here and not by `configfile:`, which knows no lines; `config` holds what --config says.
try:
    plan = Plan(load([Path("config.yaml"), *map(Path, workflow.overwrite_configfiles)], config))
except ConfigError as error:
    raise WorkflowError(f"the configuration can't be run:\n{error}") from None


wildcard_constraints:
    preset=plan.configuration.preset,
    dataset=r"[\w-]+",
    paper=r"[\w-]+",
    model=r"[\w-]+",
    experiment=r"[\w-]+",
    fit=r"[\w-]+",
    attack=r"[\w-]+(/[\w.,=+-]+)?",


RESULTS = f"results/{plan.configuration.preset}"

# Relative to the working directory: an absolute path would make a copy of the project rerun.
PAPERS = os.path.relpath(WORKFLOW / "papers")

# What is built of each paper: filled by workflow/papers/<key>/rules.smk.
PRODUCTS = {}


def code(script, *modules):
    """The digest of the code that a job runs: its script, and modules that it imports by name."""
    return code_digest(WORKFLOW / "scripts" / script, *modules, root=WORKFLOW)


def calling(script, function):
    """The parameters of a job that calls a paper's ``function``: it reruns with its module."""
    return {"function": function, "code": code(script, function.rpartition(".")[0])}


def gpus(wildcards, attempt=1):
    """GPUs that a job which trains or attacks networks asks for."""
    return int(plan.configuration.device == "cuda")


def dataset_file(paper, model):
    return f"{RESULTS}/datasets/{plan.dataset_of(paper, model)}.npz"


def classifier_file(paper, model):
    return f"{RESULTS}/{paper}/classifiers/{model}.safetensors"


def fit_file(paper, id):
    return f"{RESULTS}/{paper}/dictionaries/{plan.fit_of(paper, id)}.npz"


def attack_file(paper, id):
    return f"{RESULTS}/{paper}/attacks/{id}.npz"


def rows_file(paper, experiment):
    return f"{RESULTS}/{paper}/rows/{experiment}.csv"


def attacked_files(paper, id):
    """The classifier that an attack works on, and the dataset of its images."""
    model = plan.attack(paper, id).entry.model
    return {"dataset": dataset_file(paper, model), "classifier": classifier_file(paper, model)}


def fit_input(wildcards):
    return attacked_files(wildcards.paper, plan.fitted(wildcards.paper, wildcards.fit))


def attack_input(wildcards):
    paper, id = wildcards.paper, wildcards.attack
    learns = plan.attack(paper, id).entry.learn_from
    return attacked_files(paper, id) | ({"fit": fit_file(paper, id)} if learns else {})


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
        numbers: f"{stem}.{numbers}",
    }
