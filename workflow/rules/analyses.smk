# Analyses: what coders make of signals and of attacked images.

ANALYSIS = wiring.rule("analysis", "analyse.py")


rule analyse:
    input:
        unpack(ANALYSIS.input),
    output:
        ANALYSIS.output(),
    log:
        ANALYSIS.log,
    benchmark:
        ANALYSIS.benchmark
    conda:
        "../../envs/advsparse.yaml"
    threads: plan.configuration.threads
    resources:
        **ANALYSIS.resources,
    params:
        **ANALYSIS.params,
    script:
        "../scripts/analyse.py"
