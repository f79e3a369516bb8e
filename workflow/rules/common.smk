# Shared by all rules: the configuration, and what the stages say of their rules.
import sys
from pathlib import Path

WORKFLOW = Path(workflow.basedir) / "workflow"
# The library and the papers' modules are imported from this tree by the Snakefile and, through the
# environment, by the scripts of its jobs, also inside conda environments and on cluster nodes.
sys.path.insert(0, str(WORKFLOW))

from advsparse import console, failures
from advsparse.artifacts.atomic import check_writable
from advsparse.checkout import date_back, hand_down, misplaced
from advsparse.config.loading import load
from advsparse.config.plan import Plan
from advsparse.errors import ConfigError, StorageError
from advsparse.forkserver import copy_for_each_job
from advsparse.scheduling import look_when_a_job_ends
from advsparse.stages._graph import wildcard_patterns
from advsparse.stages._wiring import Wiring


def give_up(said):
    """End with one message: that of a WorkflowError goes on with a line of this file."""
    raise SystemExit(said)


if said := misplaced(WORKFLOW.parent, Path(sys.executable)):
    give_up(said)

hand_down(WORKFLOW)
date_back(WORKFLOW / "scripts")
failures.hand_down(workflow)


# All files are read here: `configfile:` knows no lines, and `config` holds what Snakemake reads in
# those of --configfile, where it takes times for numbers. What --config says is taken alone.
try:
    files = [Path("config.yaml"), *map(Path, workflow.overwrite_configfiles)]
    plan = Plan(load(files, workflow.config_settings.config))
except ConfigError as error:
    give_up(f"the configuration can't be run:\n{error}")

RESULTS = plan.results
# With --keep-going a run does what it can without the data that it lacks: where that is missed, tables
# and figures say so.
wiring = Wiring(
    plan,
    WORKFLOW,
    give_up,
    lambda: workflow.dryrun or workflow.execution_settings.keep_going,
)

for folder in (Path("results"), Path(RESULTS)):
    if folder.exists() and not folder.is_dir():
        give_up(f"{folder}: is not a folder, so that no results can go there")


wildcard_constraints:
    **wildcard_patterns(wiring.graph),
    kind=r"\w+",
    file=r"[\w.-]+",


def check_results_folder():
    """The time at which a run begins; one that could not write its results ends, before any job."""
    try:
        return check_writable(RESULTS)
    except StorageError as error:
        give_up(str(error))


def built_of(*papers):
    """All files that are built of papers for their own sake."""
    return wiring.files(*(job for paper in papers for job in wiring.graph.targets(paper)))


def in_report(product, suffix, what):
    """A figure's or table's file as the report shows it."""
    return report(
        product.output(suffix),
        caption="../report/product.rst",
        category="{paper}",
        subcategory=product.stage.folder.capitalize(),
        labels=lambda w: {"what": product.stage.title(plan, product.job(w)), "format": what},
    )


def measured_jobs(wildcards):
    """The jobs behind all that is built, by rule, as their benchmark files are named."""
    return wiring.measured_jobs(
        {
            each.name: getattr(rules, each.name).benchmark
            for each in workflow.rules
            if each.benchmark
        }
    )
