# Targets. What is built, from what and how large, is decided in config.yaml.
from snakemake.utils import min_version

min_version("9.20")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"


console.follow(workflow, plan.configuration.preset)


for rules_file in sorted((WORKFLOW / "rules").glob("*.smk")):
    if rules_file.name != "common.smk":

        include: str(rules_file)


if unwired := wiring.unwired():
    give_up(f"no rule makes what the stage {unwired!r} declares: it needs a file in workflow/rules")


onstart:
    global BEGAN
    BEGAN = check_results_folder()
    failures.keep_earlier_records(workflow)
    look_when_a_job_ends(workflow)
    copy_for_each_job(workflow, plan.configuration.threads)


onerror:
    failures.draw_gaps(workflow, wiring.records(), BEGAN)


rule all:
    default_target: True
    input:
        built_of(*plan.configuration.papers),
        f"{RESULTS}/provenance.html",
        f"{RESULTS}/index.html",
    localrule: True


for paper in plan.configuration.papers:

    rule:
        name:
            paper
        input:
            built_of(paper),
        localrule: True
