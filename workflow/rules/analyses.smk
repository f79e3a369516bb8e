# Analyses: what coders make of signals and of attacked images, for figures and tables to show.


rule analyse:
    input:
        unpack(analysis_input),
    output:
        f"{RESULTS}/{{paper}}/analyses/{{analysis}}.npz",
    log:
        f"{RESULTS}/logs/{{paper}}/analyses/{{analysis}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{paper}}/analyses/{{analysis}}.tsv"
    conda:
        "../../envs/advsparse.yaml"
    threads: plan.configuration.threads
    resources:
        **requested("{paper}/analyses/{analysis}", mem_mb=2000, runtime=120),
        gpu=gpus,
    params:
        settings=lambda w: plan.analysis_settings(w.paper, w.analysis),
        # Not an output: it is what is left when there is none.
        failure=lambda w: failure_file("analyses", w.analysis, w.paper),
        code=lambda w: code("analyse.py", *plan.analysis_modules(w.paper, w.analysis)),
    script:
        "../scripts/analyse.py"
