# Targets. What is built, from what and how large, is decided in config.yaml.
from snakemake.utils import min_version

min_version("9.20")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"


from advsparse import console

console.follow(workflow, plan.configuration.preset)


include: "workflow/rules/fetch.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/coders.smk"
include: "workflow/rules/classifiers.smk"
include: "workflow/rules/dictionaries.smk"
include: "workflow/rules/attacks.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/analyses.smk"
include: "workflow/rules/report.smk"


for key in plan.configuration.papers:

    include: f"workflow/papers/{key}/rules.smk"


onstart:
    global BEGAN
    BEGAN = check_results_folder()
    failures.keep_earlier_records(workflow)


onerror:
    failures.draw_gaps(workflow, all_records(), BEGAN)


localrules:
    all,


rule all:
    default_target: True
    input:
        [products for paper in PRODUCTS.values() for products in paper],
        [table for paper in plan.configuration.papers for table in warnings_files(paper)],
        f"{RESULTS}/provenance.html",
